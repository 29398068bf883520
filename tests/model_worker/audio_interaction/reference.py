"""The model without any engine: one call, every token, no cache; each answer is computed from the whole sequence.

What the sequence holds follows the published layout and the rules that ``model_call`` states; written as plainly as
can be, so that it can be read against them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from model_worker.duplex.audio_interaction.context import BLOCK
from model_worker.duplex.audio_interaction.model_folder import LoadedModel
from model_worker.duplex.audio_interaction.tokens import KEEP_SILENCE, SYSTEM_PROMPT, TEXT_BEGIN, TEXT_END, prefix


@dataclass
class Reference:
    """``pace``: tokens of a reply between two chunks. ``decisions`` holds p(speak) of every chunk, None in a reply."""

    model: LoadedModel
    pace: int
    reply_tokens: int = 256
    bias: float = 0.0
    decisions: list[float | None] = field(default_factory=list)
    replies: list[list[int]] = field(default_factory=list)
    writing: bool = False

    def __post_init__(self) -> None:
        ids = self.model.tokenizer.encode(SYSTEM_PROMPT, add_special_tokens=False).ids
        self._sequence: list[int | Tensor] = list(prefix(ids))
        self._queue: list[Tensor] = []
        self._reply_at = 0
        self._since: list[Tensor] = []

    def hear(self, vectors: Tensor) -> None:
        """One chunk (10, hidden): queued in a reply, else decided on; then as many tokens as the pace allows."""
        self.listen_on(vectors)
        self._write(self.pace)

    def listen_on(self, vectors: Tensor) -> None:
        """As ``hear``, and nothing is written."""
        self._since.append(vectors)
        if self.writing:
            self._queue.append(vectors)
            self.decisions.append(None)
        else:
            self._listen(vectors)

    def first_token(self) -> int:
        """What the model would write next."""
        return int(self._logits().argmax())

    def force(self, tokens: Sequence[int], emotion: int) -> None:
        """Have the model say these tokens, whatever it would have said."""
        self._sequence += [emotion, *tokens, TEXT_END]
        self.replies[-1] += tokens
        self.writing = False

    def interrupt(self, kept: int) -> None:
        """Keep ``kept`` tokens of the last reply, TEXT_BEGIN being the first; close it; hear again what followed."""
        del self._sequence[self._reply_at + kept :]
        self._sequence.append(TEXT_END)
        self._queue = list(self._since)
        self.writing = False

    def _listen(self, vectors: Tensor) -> None:
        for waiting in self._queue:
            self._append(waiting)
            self._sequence.append(KEEP_SILENCE)
        self._queue = []
        self._append(vectors)
        logits = self._logits()
        speak = torch.sigmoid(logits[TEXT_BEGIN] + self.bias - logits[KEEP_SILENCE]).item()
        self.decisions.append(speak)
        if speak < 0.5:
            self._sequence.append(KEEP_SILENCE)
            return
        self._reply_at = len(self._sequence)
        self._sequence.append(TEXT_BEGIN)
        self.writing, self._since = True, []
        self.replies.append([])

    def _write(self, tokens: int) -> None:
        for _ in range(tokens):
            if not self.writing:
                return
            token = int(self._logits().argmax())
            self._sequence.append(token)
            if token != TEXT_END:
                self.replies[-1].append(token)
                if len(self.replies[-1]) < self.reply_tokens:
                    continue
                self._sequence.append(TEXT_END)
            self.writing = False

    def _append(self, vectors: Tensor) -> None:
        self._sequence += [BLOCK[0], *vectors.unbind(0), BLOCK[-1]]

    @torch.inference_mode()
    def _logits(self) -> Tensor:
        embed: Any = self.model.decoder.get_input_embeddings()
        vectors = [embed(torch.tensor(one)) if isinstance(one, int) else one for one in self._sequence]
        logits: Tensor = self.model.decoder(inputs_embeds=torch.stack(vectors)[None], logits_to_keep=1).logits[0, -1]
        return logits


def close(found: Sequence[float | None], wanted: Sequence[float | None], within: float = 1e-4) -> bool:
    """Whether two lists of p(speak) are the same."""
    return len(found) == len(wanted) and all(
        (a is None) == (b is None) and (a is None or b is None or abs(a - b) < within)
        for a, b in zip(found, wanted, strict=True)
    )
