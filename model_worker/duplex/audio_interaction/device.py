"""The device's part: sound to vectors, work of many calls to one forward, one wait for the device per tick."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from model_worker.duplex.audio_interaction.hearing import Hearing
from model_worker.duplex.audio_interaction.model_folder import LoadedModel
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.tokens import KEEP_SILENCE, TEXT_BEGIN
from model_worker.duplex.audio_interaction.work import (
    Decided,
    DeviceMemoryError,
    Failed,
    Listen,
    NonFiniteLogitsError,
    Outcome,
    Work,
    Write,
    Written,
)
from model_worker.nets.log_mel import MelState
from model_worker.nets.ragged_decoder import RaggedDecoder, Row
from model_worker.seams import Pcm


class Device:
    """The nets of one engine with the state of ``policy.sessions`` slots."""

    def __init__(self, model: LoadedModel, policy: Policy) -> None:
        self.decoder = RaggedDecoder(model.decoder, policy.sessions, policy.capacity)
        self._hearing = Hearing(model.tower, policy.sessions)
        self.mel = self._hearing.mel
        self._temperature = policy.temperature
        self._top_k = policy.top_k
        self._decisions = torch.tensor([KEEP_SILENCE, TEXT_BEGIN], device=self.decoder.device)

    def encode(self, chunks: Sequence[tuple[int, Pcm]]) -> list[Tensor]:
        """The vectors (10, hidden) of some chunks, each of a slot; those of one slot are in order."""
        return self._hearing.encode(chunks)

    def run(self, works: Sequence[Work]) -> list[Outcome]:
        """Do some work, at most one of each slot, in one forward; what fails is found by halves."""
        if not works:
            return []
        try:
            return self._run(works)
        except Exception as error:
            if len(works) > 1:
                half = len(works) // 2
                return [*self.run(works[:half]), *self.run(works[half:])]
            memory = isinstance(error, torch.OutOfMemoryError)
            return [Failed(DeviceMemoryError(str(error).splitlines()[0]) if memory else error)]

    def forget(self, slot: int) -> None:
        """The call of this slot ended: nothing of it counts for the next one, not even its NaN."""
        self.mel.reset(slot)
        self.decoder.cache.clear(slot)

    def evict(self, slot: int, pinned: int, dropped: int, length: int) -> None:
        """Take ``dropped`` positions after the ``pinned`` ones out of a slot that holds ``length``."""
        self.decoder.cache.evict(slot, pinned, dropped, length)

    @property
    def position_bytes(self) -> int:
        """Keys and values of one position."""
        cache = self.decoder.cache
        return cache.shape.bytes_per_position(cache.keys.dtype)

    @property
    def slots(self) -> "Device":
        """They can be read and written."""
        return self

    def read(self, slot: int, length: int) -> tuple[Tensor, Tensor, MelState]:
        """Keys, values and log-mel of a slot that holds ``length`` positions."""
        return *self.decoder.cache.read(slot, length), self.mel.state(slot)

    def write(self, slot: int, keys: Tensor, values: Tensor, mel: MelState) -> None:
        """Fill a slot with what ``read`` gave. Raises ValueError when that is of another model."""
        self.decoder.cache.write(slot, keys, values)
        self.mel.load(slot, mel)

    @torch.inference_mode()
    def _run(self, works: Sequence[Work]) -> list[Outcome]:
        rows = [_row(work) for work in works]
        hidden = self.decoder.forward(rows)
        starts = list(accumulate((len(row.read) for row in rows[:-1]), initial=0))
        deciding = [start + n for start, row, work in _each(starts, rows, works, Listen) for n in range(len(row.read))]
        writing = [start for start, _, _ in _each(starts, rows, works, Write)]
        pairs, tokens = self._read(
            hidden, deciding, writing, [work.chance for work in works if isinstance(work, Write)]
        )
        outcomes: list[Outcome] = []
        for work in works:
            if isinstance(work, Write):
                token, finite = tokens.pop(0)
                outcomes.append(Written(int(token)) if finite else Failed(NonFiniteLogitsError("in a reply")))
            else:
                own, pairs = pairs[: len(work.read)], pairs[len(work.read) :]
                finite = bool(np.isfinite(own).all())
                decided = Decided([(float(silence), float(speak)) for silence, speak in own])
                outcomes.append(decided if finite else Failed(NonFiniteLogitsError("in a decision")))
        return outcomes

    def _read(
        self, hidden: Tensor, deciding: Sequence[int], writing: Sequence[int], chances: Sequence[float]
    ) -> "tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], list[list[float]]]":
        """Decision logits, and [token, whether all was finite] of each reply; the one wait for the device."""
        device = hidden.device
        pairs = self.decoder.logits_of(
            hidden[torch.tensor(deciding, device=device, dtype=torch.int64)], self._decisions
        )
        written = hidden[torch.tensor(writing, device=device, dtype=torch.int64)]
        logits = self.decoder.logits(written)
        chance = torch.tensor(chances, device=device, dtype=torch.float64)
        finite = written.isfinite().all(dim=-1)  # where the hidden state is, the logits are
        chosen = torch.stack((self._choose(logits, chance), finite), dim=-1).double()
        both = torch.cat((pairs.double().flatten(), chosen.flatten())).cpu().numpy()
        return both[: pairs.numel()].reshape(-1, 2), both[pairs.numel() :].reshape(-1, 2).tolist()

    def _choose(self, logits: Tensor, chance: Tensor) -> Tensor:
        """The likeliest token, or one of the ``top_k`` likeliest by temperature."""
        if self._temperature <= 0:
            return logits.argmax(dim=-1)
        best, tokens = logits.topk(min(self._top_k, logits.shape[-1]), dim=-1)
        passed = (best / self._temperature).double().softmax(dim=-1).cumsum(dim=-1) <= chance[:, None]
        return tokens.gather(-1, passed.sum(dim=-1, keepdim=True).clamp_max(best.shape[-1] - 1)).squeeze(-1)


def _row(work: Work) -> Row:
    if isinstance(work, Write):
        return Row(work.slot, work.start, work.tokens, read=(len(work.tokens) - 1,))
    return Row(work.slot, work.start, work.tokens, work.vectors, work.read)


def _each(
    starts: Sequence[int], rows: Sequence[Row], works: Sequence[Work], kind: type[Listen] | type[Write]
) -> list[tuple[int, Row, Work]]:
    return [(start, row, work) for start, row, work in zip(starts, rows, works, strict=True) if isinstance(work, kind)]
