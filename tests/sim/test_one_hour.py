"""An hour on the phone, in seconds of machine time: nothing grows, no sample is lost."""

import base64
import json
import random
from collections import deque

from gateway.call import CallLimits
from gateway.effects import ClearAudio, NoteDecision, NoteTurnEnded, SendAudio, SendMark, SendUp
from gateway.events import CallEvent, MarkPlayed, WorkerSaid
from gateway.twilio.stream import StreamStarted, TwilioStream
from tests.gateway.calls import FRAME, Driven, decision, done, speech
from tests.sim.footprint import footprint_bytes
from tests.speech import jfk_ulaw
from wire.messages import AudioChunk, DecisionKind, TurnCancelled

HOUR_S = 3_600
FRAMES = HOUR_S * 50
SEED = 20_261_123


class Network:
    """Delivers packets late, in bursts, or not at all; the same way for the same seed."""

    def __init__(self, seed: int, loss: float, jitter_s: float) -> None:
        self._chance = random.Random(seed)
        self._loss = loss
        self._jitter_s = jitter_s
        self._arrives = 0.0

    def arrival(self, sent_at: float) -> float | None:
        """When a packet of a TCP stream arrives: never before the one sent before it; None when discarded."""
        if self._chance.random() < self._loss:
            return None
        self._arrives = max(self._arrives, sent_at + self._chance.random() * self._jitter_s)
        return self._arrives


class Worker:
    """Decides on every chunk, a little late, and speaks 3 s every 16 s, as a real one would."""

    def __init__(self, driven: Driven) -> None:
        self.driven = driven
        self.mail: deque[tuple[float, CallEvent]] = deque()
        self.turn = 0
        self.cancelled: list[TurnCancelled] = []

    def take(self, chunk: AudioChunk, now: float) -> None:
        driven, at = self.driven, now + 0.05
        if chunk.index % 40 != 7:
            self.mail.append((at, WorkerSaid(decision(driven, chunk.index))))
            return
        self.turn += 1
        self.mail.append((at, WorkerSaid(decision(driven, chunk.index, DecisionKind.SPEAK, self.turn))))
        for n in range(8):
            self.mail.append((at + 0.3 * n, WorkerSaid(speech(driven, self.turn, 3_200 * n, 3_200, f"word{n}"))))
        self.mail.append((at + 2.4, WorkerSaid(done(driven, self.turn, 25_600))))


def caller_frame(n: int) -> bytes:
    """The caller talks over every fourth turn, and is silent otherwise."""
    second = n / 50 % 64
    if 4.5 < second < 6.5:
        at = 43_200 + int((second - 4.5) * 8_000) // FRAME * FRAME
        return jfk_ulaw()[at : at + FRAME]
    return b"\xff" * FRAME


def media(n: int) -> bytes:
    payload = base64.b64encode(caller_frame(n)).decode()
    details = {"track": "inbound", "chunk": str(n + 1), "timestamp": str(20 * n), "payload": payload}
    return json.dumps({"event": "media", "streamSid": "MZ1", "media": details}).encode()


def test_an_hour_with_loss_and_jitter_leaves_no_growth_in_any_buffer():
    driven = Driven(limits=CallLimits(max_duration_s=2 * HOUR_S))
    worker, network, stream = Worker(driven), Network(SEED, loss=0.02, jitter_s=0.08), TwilioStream()
    start = {
        "streamSid": "MZ1",
        "accountSid": "AC1",
        "callSid": "CA1",
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }
    assert isinstance(
        stream.receive(json.dumps({"event": "start", "streamSid": "MZ1", "start": start}).encode()), StreamStarted
    )
    marks: deque[tuple[float, str]] = deque()
    leg_dry_at, chunks, decided, turns, sizes, now = 0.0, 0, 0, [], {}, 0.0

    def perform() -> None:
        nonlocal leg_dry_at, chunks, decided
        for effect in driven.drain():
            match effect:
                case SendUp(AudioChunk() as chunk):
                    assert chunk.index == chunks
                    chunks += 1
                    worker.take(chunk, now)
                case SendUp(TurnCancelled() as cancelled):
                    worker.cancelled.append(cancelled)
                case SendAudio(payload):
                    leg_dry_at = max(leg_dry_at, now) + len(payload) / 8_000
                case SendMark(name):
                    marks.append((leg_dry_at + 0.05, name))
                case ClearAudio():
                    leg_dry_at = now
                    for index, (_, name) in enumerate(marks):
                        marks[index] = (now + 0.05, name)
                case NoteDecision():
                    decided += 1
                case NoteTurnEnded():
                    turns.append(effect)
        driven.effects.clear()

    for n in range(FRAMES):
        arrives = network.arrival(n / 50)
        now = max(now, n / 50 if arrives is None else arrives)
        while worker.mail and worker.mail[0][0] <= now:
            driven.call.receive(worker.mail.popleft()[1], now)
            perform()
        while marks and marks[0][0] <= now:
            driven.call.receive(MarkPlayed(marks.popleft()[1]), now)
            perform()
        due = driven.call.next_deadline()
        if due is not None and due <= now:
            driven.call.handle_deadline(now)
            perform()
        if arrives is not None:
            payload = stream.receive(media(n))
            assert isinstance(payload, bytes)
            driven.call.receive_media(payload, now)
            perform()
        if n % (FRAMES // 60) == 0:
            sizes[n // (FRAMES // 60)] = footprint_bytes(driven.call)

    assert not driven.call.ended, f"seed {SEED}"
    assert chunks == HOUR_S * 5 // 2 or chunks == HOUR_S * 5 // 2 - 1, (
        f"seed {SEED}: the chunk clock is exact under loss"
    )
    assert decided >= chunks - 1
    assert driven.call.stats()["missing_decisions"] == 0
    ends = [turn.end.value for turn in turns]
    assert ends.count("barged_in") >= 40
    assert ends.count("played") >= 150
    assert all(turn.ledger.played <= turn.ledger.sent <= turn.ledger.generated for turn in turns)
    assert max(sizes[minute] for minute in range(50, 60)) <= max(sizes[minute] for minute in range(2, 12)) + 4_096
