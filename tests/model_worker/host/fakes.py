"""What the worker meets in its tests: a clock, an engine under the test's control, a bus of two lists."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from model_worker.seams import (
    BadSnapshotError,
    CallSpec,
    Capabilities,
    Speech,
    StepInput,
    StepOutput,
    UnknownAgentError,
)
from wire.audio.codecs import Codec
from wire.bus.seam import ANYTHING, BusStats, BusUnavailableError, Deliver, Lease, Wish, WorkerAdvert
from wire.ids import NO_TURN, CallId, GatewayId, TurnId, WorkerId
from wire.messages import (
    AnyMessage,
    AudioChunk,
    CallClosed,
    CallOpened,
    DecisionKind,
    Dtmf,
    OverlapRules,
    Playback,
    Say,
    TurnCancelled,
)

GATEWAY = GatewayId("gw-1")
CALL = CallId("call-1")


class Clock:
    """Monotonic seconds that move when told to."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Caller:
    """Writes what a gateway would send for one call, numbers included."""

    def __init__(self, call: str = CALL, codec: Codec = Codec.PCMU, epoch: int = 0, chunk_ms: int = 400) -> None:
        self.call = CallId(call)
        self.codec = codec
        self.epoch = epoch
        self.chunk_samples = codec.sample_rate_hz * chunk_ms // 1_000
        self.index = 0
        self._seq = 0

    def _stamp(self) -> tuple[CallId, int, int]:
        self._seq += 1
        return self.call, self.epoch, self._seq - 1

    def opens(self, agent: str = "front-desk", gateway: GatewayId = GATEWAY) -> CallOpened:
        return CallOpened(*self._stamp(), gateway, self.codec, agent)

    def speaks(
        self,
        payload: bytes | None = None,
        playback: Playback | None = None,
        age_s: float = 0.0,
        overlap_s: float = 0.0,
    ) -> AudioChunk:
        """The next chunk; silence unless told otherwise."""
        if payload is None:
            payload = self.codec.silence * self.chunk_samples
        start_samples = self.index * self.chunk_samples
        chunk = AudioChunk(*self._stamp(), self.index, start_samples, age_s, payload, playback, overlap_s)
        self.index += 1
        return chunk

    def presses(self, digit: str) -> Dtmf:
        return Dtmf(*self._stamp(), digit, 0)

    def orders(self, text: str) -> Say:
        """An operator has something said."""
        return Say(*self._stamp(), text)

    def stops(self, turn: int, heard_samples: int) -> TurnCancelled:
        return TurnCancelled(*self._stamp(), TurnId(turn), heard_samples, "barged_in")

    def closes(self) -> CallClosed:
        return CallClosed(*self._stamp(), "hung_up")


Answer = Callable[[StepInput], StepOutput]


def listen(given: StepInput) -> StepOutput:
    return StepOutput(given.call, given.index, DecisionKind.LISTEN, NO_TURN)


def speak(turn: int, samples: int = 800, text: str = "", done: bool = False) -> Answer:
    """Answer with a ramp of ``samples`` in ``turn``."""

    def answer(given: StepInput) -> StepOutput:
        speech = Speech((np.arange(samples) % 1_000 * 10).astype(np.int16), text)
        return StepOutput(given.call, given.index, DecisionKind.SPEAK, TurnId(turn), (speech,), turn_done=done)

    return answer


class FakeEngine:
    """Answers with ``answers[index]``, else listens; keeps what it was asked. ``on_step`` may raise."""

    def __init__(
        self,
        in_hz: int = 8_000,
        out_hz: int = 8_000,
        sessions: int = 8,
        chunk_ms: int = 400,
        first_chunk_ms: int = 400,
        says_given_words: bool = False,
    ) -> None:
        self.busy = False
        self.wake: Callable[[], None] = lambda: None
        self.context_positions: tuple[int, int] | None = None
        self.capabilities = Capabilities(
            "fake",
            chunk_ms,
            first_chunk_ms,
            in_hz,
            out_hz,
            True,
            True,
            sessions,
            licence_note="none",
            says_given_words=says_given_words,
        )
        self.agents: set[str] | None = None
        self.rules: OverlapRules | None = None
        self.overlaps_s: list[float] = []
        self.answers: dict[int, Answer] = {}
        self.on_step: Callable[[Sequence[StepInput]], None] = lambda _inputs: None
        self.opened: list[CallId] = []
        self.closed: list[CallId] = []
        self.batches: list[list[CallId]] = []
        self.events: list[tuple[Any, ...]] = []
        """("chunk", call, index, dtmf, playback_s) and ("interrupt", call, turn, heard_s), in order."""
        self.ordered: list[tuple[int, tuple[str, ...]]] = []
        """With the index of their chunk, an operator's words."""
        self.pcm: dict[tuple[CallId, int], np.ndarray[Any, Any]] = {}

    def on_ready(self, wake: Callable[[], None]) -> None:
        self.wake = wake

    def open(self, call: CallId, spec: CallSpec) -> OverlapRules | None:
        if self.agents is not None and spec.agent not in self.agents:
            raise UnknownAgentError(spec.agent)
        self.opened.append(call)
        return self.rules

    def snapshot(self, call: CallId) -> bytes | None:
        return None

    def restore(self, call: CallId, spec: CallSpec, state: bytes) -> OverlapRules | None:
        raise BadSnapshotError("this engine takes none")

    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        self.on_step(inputs)
        self.batches.append([given.call for given in inputs])
        for given in inputs:
            self.events.append(("chunk", given.call, given.index, given.dtmf, given.playback_s))
            self.pcm[given.call, given.index] = given.pcm
            self.overlaps_s.append(given.overlap_s)
            if given.say:
                self.ordered.append((given.index, given.say))
        return [self.answers.get(given.index, listen)(given) for given in inputs]

    def interrupt(self, call: CallId, turn: TurnId, heard_s: float) -> None:
        self.events.append(("interrupt", call, turn, heard_s))

    def history(self, call: CallId) -> list[dict[str, Any]]:
        return []

    def close(self, call: CallId) -> None:
        self.closed.append(call)


class FakeBus:
    """The worker's end of a bus: ``arrive`` stands for the gateway, ``sent`` is what it would get."""

    def __init__(self) -> None:
        self.stats = BusStats()
        self.sent: list[tuple[str, AnyMessage]] = []
        self.closed = False
        self._deliver: Deliver | None = None
        self._sent_more = asyncio.Condition()

    def send(self, to: WorkerId | GatewayId, message: AnyMessage) -> None:
        self.sent.append((to, message))
        self._tell = asyncio.ensure_future(self._notify())

    def away_s(self) -> float:
        return 0.0

    async def start(self, deliver: Deliver) -> None:
        self._deliver = deliver

    async def close(self) -> None:
        self.closed = True

    def arrive(self, messages: Iterable[AnyMessage]) -> None:
        assert self._deliver is not None, "started"
        for message in messages:
            self._deliver(message, 0.002)

    async def wait_for(self, enough: Callable[[list[AnyMessage]], bool]) -> list[AnyMessage]:
        """Everything sent, once that is enough; fails after 10 s."""
        async with asyncio.timeout(10), self._sent_more:
            await self._sent_more.wait_for(lambda: enough([message for _, message in self.sent]))
        return [message for _, message in self.sent]

    async def _notify(self) -> None:
        async with self._sent_more:
            self._sent_more.notify_all()


class FakePlacement:
    """Keeps the adverts; ``away`` makes it fail like a bus that is down."""

    def __init__(self) -> None:
        self.adverts: list[tuple[WorkerAdvert, float]] = []
        self.withdrawn: list[WorkerId] = []
        self.away = False

    async def advertise(self, advert: WorkerAdvert, ttl_s: float) -> None:
        if self.away:
            raise BusUnavailableError("away")
        self.adverts.append((advert, ttl_s))

    async def withdraw(self, worker: WorkerId) -> None:
        if self.away:
            raise BusUnavailableError("away")
        self.withdrawn.append(worker)

    async def lease(self, call: CallId, ttl_s: float, wish: Wish = ANYTHING) -> Lease | None:
        raise AssertionError("a worker leases nothing")

    async def renew(self, calls: Iterable[CallId], ttl_s: float) -> list[CallId]:
        raise AssertionError("a worker renews nothing")

    async def release(self, call: CallId) -> None:
        raise AssertionError("a worker releases nothing")
