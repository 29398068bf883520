"""The nets with the decoder on vLLM. The tower and the log-mel stay here, where the sound of every call is."""

import asyncio
from collections.abc import Sequence
from math import exp, isfinite, nan

from model_worker.duplex.audio_interaction.hearing import Hearing
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.tokens import KEEP_SILENCE, TEXT_BEGIN
from model_worker.duplex.audio_interaction.work import (
    Decided,
    Failed,
    Listen,
    NonFiniteLogitsError,
    Outcome,
    Work,
    Write,
    Written,
)
from model_worker.duplex.audio_interaction_vllm.loop_thread import LoopThread
from model_worker.duplex.audio_interaction_vllm.prompts import Vectors
from model_worker.duplex.audio_interaction_vllm.sessions import Logits, Sessions
from model_worker.seams import EngineLostError, Pcm

DECISIONS = (KEEP_SILENCE, TEXT_BEGIN)


class HostedNets:
    """``Nets``. ``sessions`` are used on the thread of ``host`` alone. ``position_bytes``: of one position in vLLM."""

    def __init__(
        self, hearing: Hearing, sessions: Sessions, host: LoopThread, policy: Policy, position_bytes: int
    ) -> None:
        self.position_bytes = position_bytes
        self._hearing = hearing
        self._sessions = sessions
        self._host = host
        self._policy = policy

    @property
    def slots(self) -> None:
        """vLLM does not give keys away."""
        return None

    def encode(self, chunks: Sequence[tuple[int, Pcm]]) -> list[Vectors]:
        """The vectors of some chunks, each of a slot; those of one slot are in order."""
        return [Vectors(tensor) for tensor in self._hearing.encode(chunks)]

    def run(self, works: Sequence[Work]) -> list[Outcome]:
        """Have it all done at once, and wait; what fails costs its own work only. Raises EngineLostError."""
        outcomes = self._host.wait(self._all_of(works)) if works else []
        if self._sessions.lost:
            raise EngineLostError("a process of vLLM has ended")
        return outcomes

    def forget(self, slot: int) -> None:
        """The call of this slot ended: nothing of it counts for the next one."""
        self._hearing.mel.reset(slot)
        self._host.begin(self._sessions.forget(slot))

    def evict(self, slot: int, pinned: int, dropped: int, length: int) -> None:
        """Take ``dropped`` positions after the ``pinned`` ones out; vLLM reads the others anew."""
        self._host.wait(self._sessions.evict(slot, pinned, dropped))

    async def _all_of(self, works: Sequence[Work]) -> list[Outcome]:
        return await asyncio.gather(*(self._one(work) for work in works))

    async def _one(self, work: Work) -> Outcome:
        try:
            return await (self._write(work) if isinstance(work, Write) else self._listen(work))
        except Exception as error:
            return Failed(error)

    async def _write(self, work: Write) -> Outcome:
        logits = await self._sessions.feed(work.slot, work.start, work.tokens)
        if not all(map(isfinite, logits.values())):
            raise NonFiniteLogitsError("in a reply")
        return Written(self._choose(logits, work.chance))

    async def _listen(self, work: Listen) -> Outcome:
        """One question to vLLM for each decision: it tells nothing of places before the last."""
        decided: list[tuple[float, float]] = []
        begin = 0
        for read in work.read:
            end = read + 1
            chunks = [(at - begin, vectors) for at, vectors in work.vectors if begin <= at < end]
            logits = await self._sessions.feed(
                work.slot, work.start + begin, work.tokens[begin:end], chunks, allowed=DECISIONS
            )
            silence, speak = (logits.get(token, nan) for token in DECISIONS)
            if not isfinite(silence) or not isfinite(speak):
                raise NonFiniteLogitsError("in a decision")
            decided.append((silence, speak))
            begin = end
        return Decided(decided)

    def _choose(self, logits: Logits, chance: float) -> int:
        """The likeliest token, or one of the ``top_k`` likeliest by temperature."""
        best = sorted(logits, key=logits.__getitem__, reverse=True)[: self._policy.top_k]
        if self._policy.temperature <= 0:
            return best[0]
        weights = [exp((logits[token] - logits[best[0]]) / self._policy.temperature) for token in best]
        left = chance * sum(weights)
        for token, weight in zip(best, weights, strict=True):
            left -= weight
            if left < 0:
                return token
        return best[-1]
