"""One call of an hour in some seconds: the core of a gateway, its record and a worker, joined on a clock of numbers.

A caller who says nothing, and one who never stops; an agent who talks whenever he may.
"""

import gc
import tracemalloc
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from gateway.call import Call, CallLimits
from gateway.effects import ClearAudio, Effect, SendAgain, SendAudio, SendMark, SendUp
from gateway.events import MarkPlayed, Moved, WorkerGone, WorkerSaid
from gateway.runner.record import CallRecord
from gateway.seams import CallSetup, PlayoutProfile
from load_tests.chaos.worker_faults import WORDS
from load_tests.duplex.recordings import Recording, samples
from model_worker.duplex.script import Behaviour, Delivery, Say, Script, Talk
from model_worker.duplex.scripted import ScriptedEngine
from model_worker.engine import EngineLoop
from wire.audio.codecs import Codec
from wire.audio.comfort_noise import comfort_noise
from wire.audio.g711 import encode_ulaw
from wire.bus.seam import Lease
from wire.ids import CallId, GatewayId, WorkerId

FRAME, FRAME_S = 160, 0.02
HOUR_S = 3_600.0
WARM_S = 600.0  # the log of a minute is full by then, and what is bounded by counts has much of it
MOVE_EVERY_S = 300.0
_EAR_S = 0.05
_PROFILE = PlayoutProfile(lead_s=0.4, piece_s=0.1, marks=True)
_CALL = CallId("hour")


def silence() -> Iterator[bytes]:
    """A line on which nobody speaks."""
    noise = comfort_noise(Codec.PCMU, 50 * FRAME, 1)
    while True:
        for at in range(0, len(noise), FRAME):
            yield noise[at : at + FRAME]


def speech() -> Iterator[bytes]:
    """Recorded speech without an end, its pauses cut to what falls between two words."""
    pcm = samples(Recording.CONVERSATION)
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    loud = np.sqrt(np.mean(frames**2, axis=1)) > 200.0
    said = encode_ulaw(frames[loud].reshape(-1).astype(np.int16))
    while True:
        for at in range(0, len(said), FRAME):
            yield said[at : at + FRAME]


class Hour:
    """One call, which another worker takes over now and then."""

    def __init__(self, sounds: Iterator[bytes]) -> None:
        setup = CallSetup("twilio", Codec.PCMU, _PROFILE, "front-desk")
        lease = Lease(_CALL, WorkerId("w0"), "scripted", 400, 400)
        self.call = Call(lease, GatewayId("g"), setup, 0.0, CallLimits(max_duration_s=2 * HOUR_S))
        self.record = CallRecord(_CALL, setup, lease.worker, lease.engine, 0.0)
        self.decided = self.moves = 0
        self._sounds = sounds
        self._loop = self._worker()
        self._marks: deque[tuple[float, str]] = deque()
        self._dry_at = 0.0

    def run(self, begin_s: float, end_s: float) -> None:
        """Live through a part of it."""
        for number in range(round(begin_s / FRAME_S), round(end_s / FRAME_S)):
            now = number * FRAME_S
            while self._marks and self._marks[0][0] <= now:
                self.call.receive(MarkPlayed(self._marks.popleft()[1]), now)
                self._perform(now)
            due = self.call.next_deadline()
            if due is not None and due <= now:
                self.call.handle_deadline(now)
                self._perform(now)
            self.call.receive_media(next(self._sounds), now)
            self._perform(now)
            if number and number % round(MOVE_EVERY_S / FRAME_S) == 0:
                self._move(now)
            assert not self.call.ended, self.record.outcome

    def _move(self, now: float) -> None:
        self.moves += 1
        self._loop = self._worker()
        self.call.receive(WorkerGone("silent"), now)
        lease = Lease(_CALL, WorkerId(f"w{self.moves}"), "scripted", 400, 400)
        self.call.receive(Moved(lease), now)
        self._perform(now)

    def _worker(self) -> EngineLoop:
        say = Say(ms=36_000, text=WORDS, delivery=Delivery.PACED)
        script = Script(default=Behaviour(rules=(Talk(when="talk", rest=2, say=say),)))
        return EngineLoop(ScriptedEngine(script), lambda: 0.0)

    def _perform(self, now: float) -> None:
        while (effect := self.call.poll()) is not None:
            self.record.note(effect)
            self._do(effect, now)

    def _do(self, effect: Effect, now: float) -> None:
        match effect:
            case SendUp(message, to) | SendAgain(message, to):
                if to == f"w{self.moves}":
                    self._loop.receive(message, 0.0, now)
                while self._loop.due:
                    for _, down in self._loop.step(now):
                        self.call.receive(WorkerSaid(down), now)
            case SendAudio(payload):
                self._dry_at = max(self._dry_at, now) + len(payload) / 8_000
            case SendMark(name):
                self._marks.append((self._dry_at + _EAR_S, name))
            case ClearAudio():
                self._dry_at = now
                self._marks = deque((now + _EAR_S, name) for _, name in self._marks)


async def of_silence(calls: int, rounds: int) -> dict[str, Any]:
    """The caller says nothing for an hour."""
    del calls, rounds
    return _figures(Hour(silence()))


async def of_speech(calls: int, rounds: int) -> dict[str, Any]:
    """The caller speaks for an hour, and never stops."""
    del calls, rounds
    return _figures(Hour(speech()))


def _figures(hour: Hour) -> dict[str, Any]:
    tracemalloc.start()
    try:
        hour.run(0.0, WARM_S)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        hour.run(WARM_S, HOUR_S)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    decisions = {row["index"] for row in hour.record.decisions}
    return {
        "hours": 1,
        "take_overs": hour.moves,
        "memory_grew_mib": round((after - before) / 2**20, 2),
        "decisions_kept": len(decisions),
        "missing_decisions": hour.call.stats()["missing_decisions"],
        "undecided_at_the_end": hour.call.stats()["undecided_chunks"],
        "turns": len(hour.record.turns),
    }
