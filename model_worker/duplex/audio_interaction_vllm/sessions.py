"""Calls as streaming-input sessions of vLLM: one request a slot, which is given more prompt whenever there is more.

Two habits of such sessions shape this (vLLM 0.32): the token sampled last is dropped from the keys when more prompt
comes, so that it is given again in front of it, as ``Context.pending`` does anyway; and more prompt waits until all
that was asked for before is sampled. One token is asked for at a time. So nothing ever waits for more than that, an
interruption has nothing to take back, and which token follows is chosen here, by the same law as in the torch engine,
rather than by chance numbers of vLLM's that would depend on the other calls of its batch.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Any

from vllm.engine.protocol import StreamingInput
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM

from model_worker.duplex.audio_interaction_vllm.prompts import Vectors, prompt
from model_worker.duplex.audio_interaction_vllm.slot_text import SlotText

Logits = dict[int, float]
"""Of some tokens, by their ids."""


class Sessions:
    """The requests of one vLLM, for use on its event loop. ``likeliest``: of so many tokens the logits are told."""

    def __init__(self, llm: AsyncLLM, slots: int, likeliest: int) -> None:
        self._llm: AsyncLLM | None = llm
        self._likeliest = likeliest
        self._slots = [_Slot() for _ in range(slots)]
        self._numbers = 0

    async def feed(
        self,
        slot: int,
        start: int,
        tokens: Sequence[int],
        chunks: Sequence[tuple[int, Vectors]] = (),
        allowed: Sequence[int] | None = None,
    ) -> Logits:
        """Let ``tokens`` follow the first ``start`` of a slot, and tell what may come next, the likeliest first.

        Raises what vLLM raises; the slot is as before then.
        """
        held = self._slots[slot]
        if start < held.keyed:
            await held.end()
        held.text.put(start, tokens, chunks)
        if (outputs := held.outputs) is None:
            self._numbers += 1
            outputs = held.begin(self._llm, f"slot-{slot}-{self._numbers}", self._params(None))
        given = prompt(*held.text.part(held.keyed, len(held.text.tokens)))
        try:
            held.inputs.put_nowait(StreamingInput(given, self._params(allowed)))
            output = await anext(outputs)
        except BaseException:
            await held.end()
            raise
        held.keyed = len(held.text.tokens)
        (told,) = output.outputs[0].logprobs
        return {token: one.logprob for token, one in told.items()}

    async def forget(self, slot: int) -> None:
        """Its call ended."""
        held = self._slots[slot]
        self._slots[slot] = _Slot()
        await held.end()

    async def evict(self, slot: int, pinned: int, dropped: int) -> None:
        """Take a part out; what is left is read anew with the next tokens."""
        held = self._slots[slot]
        held.text.evict(pinned, dropped)
        await held.end()

    @property
    def lost(self) -> bool:
        """vLLM is gone, and comes back only with a new process."""
        return self._llm is None or bool(self._llm.errored)

    def open_requests(self) -> int:
        """As vLLM's client counts them."""
        return 0 if self._llm is None else int(self._llm.output_processor.get_num_unfinished_requests())

    def shutdown(self) -> None:
        """End vLLM's processes, and let its client go while there is still an interpreter for it."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.shutdown()

    def _params(self, allowed: Sequence[int] | None) -> SamplingParams:
        return SamplingParams(
            temperature=0,
            max_tokens=1,
            allowed_token_ids=None if allowed is None else list(allowed),
            logprobs=self._likeliest,  # of a whole session: vLLM keeps to the number that it began with
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )


class _Slot:
    """``keyed``: so many of its tokens have keys in vLLM's session, which is there when ``outputs`` is."""

    def __init__(self) -> None:
        self.text: SlotText[Vectors] = SlotText()
        self.keyed = 0
        self.inputs: asyncio.Queue[StreamingInput] = asyncio.Queue()
        self.outputs: AsyncGenerator[Any, None] | None = None

    def begin(self, llm: AsyncLLM, name: str, params: SamplingParams) -> AsyncGenerator[Any, None]:
        self.inputs = asyncio.Queue()
        self.outputs = llm.generate(_all_of(self.inputs), params, name)
        return self.outputs

    async def end(self) -> None:
        """Have vLLM drop the keys; the text stays."""
        outputs, self.outputs, self.keyed = self.outputs, None, 0
        if outputs is not None:
            with suppress(Exception):  # what it did not like was told where it was fed
                await outputs.aclose()


async def _all_of(inputs: asyncio.Queue[StreamingInput]) -> AsyncGenerator[StreamingInput, None]:
    while True:
        yield await inputs.get()
