"""A hundred replies whose every delay is known: the waterfall finds each, and the caller agrees on the whole."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush

import pytest

from gateway.call import Call
from gateway.effects import Effect, NoteReply, NoteTurnOpened, ReplyTrace, SendAudio, SendMark, SendUp
from gateway.events import LegMeasured, MarkPlayed, WorkerSaid
from gateway.seams import CallSetup, PlayoutProfile
from tests.gateway.calls import CALL, FRAME, RATE_HZ, SILENCE, STREAM_LIKE, lease
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.ids import GatewayId, TurnId
from wire.messages import AudioChunk, Decision, DecisionKind, SpeechChunk, TurnDone

SEED = 20_261_124
REPLIES = 100
PACKET_S = 0.02
CHUNK_S = 0.4
PATIENCE_S = 0.6  # the model answers after the chunk in which the caller has been quiet for so long
TWILIO_LIKE = PlayoutProfile(lead_s=0.4, piece_s=0.2, marks=True)
WORDS_END_S = (0.92, 1.40, 1.96, 2.08)  # where a word ends in the recording


@dataclass(frozen=True)
class Delays:
    """What is done to one reply, in seconds."""

    path_up_s: float
    jitter_s: float
    bus_up_s: float
    queue_s: float
    compute_s: float
    bus_down_s: float
    voice_s: float
    playout_s: float
    path_down_s: float
    mark_back_s: float
    tick_phase_s: float


def draw(chance: random.Random) -> Delays:
    return Delays(
        path_up_s=chance.uniform(0.005, 0.025),
        jitter_s=chance.choice((0.0, chance.uniform(0, 0.15))),
        bus_up_s=chance.uniform(0.001, 0.03),
        queue_s=chance.uniform(0, 0.1),
        compute_s=chance.uniform(0.005, 0.2),
        bus_down_s=chance.uniform(0.001, 0.03),
        voice_s=chance.uniform(0, 0.4),
        playout_s=chance.uniform(0, 0.15),
        path_down_s=chance.uniform(0.005, 0.12),
        mark_back_s=chance.uniform(0.005, 0.02),
        tick_phase_s=chance.uniform(0, PACKET_S),
    )


class Line:
    """One call with one question and one reply. The caller's clock is the truth; 0 is his first sample."""

    def __init__(self, profile: PlayoutProfile, delays: Delays, words_end_s: float, quiet_before_s: float) -> None:
        self.delays = delays
        self.profile = profile
        self.spoken_until_s = quiet_before_s + words_end_s
        self.heard_at: float | None = None
        self.sent_at = 0.0
        self.traces: list[ReplyTrace] = []
        self.effects: list[Effect] = []
        self._words = jfk_ulaw()[: round(words_end_s * RATE_HZ)]
        self._quiet_frames = round(quiet_before_s / PACKET_S)
        self._call = Call(lease(), GatewayId("g1"), CallSetup("x", Codec.PCMU, profile, "desk"), delays.path_up_s)
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._ear_free_at = 0.0
        self._answered = False
        self._seq = 0

    def run(self) -> None:
        packets = 250
        for n in range(packets):
            self._at(self._arrival(n), partial(self._call.receive_media, self._frame(n)))
        for tick in range(packets + 50):
            self._at(tick * PACKET_S + self.delays.tick_phase_s, self._tick)
        while self._due:
            now, _, happen = heappop(self._due)
            happen(now)
            self._perform(now)

    def _at(self, when: float, happen: Callable[[float], None]) -> None:
        self._seq += 1
        heappush(self._due, (when, self._seq, happen))

    def _frame(self, n: int) -> bytes:
        at = (n - self._quiet_frames) * FRAME
        frame = self._words[at : at + FRAME] if at >= 0 else b""
        return frame or SILENCE * FRAME

    def _arrival(self, n: int) -> float:
        """Packet ``n`` leaves when its last sample was spoken. The chunk with the last word is late as a whole."""
        on_time = (n + 1) * PACKET_S + self.delays.path_up_s
        late_chunk, chunk = self._chunk_of(self.spoken_until_s), self._chunk_of((n + 1) * PACKET_S)
        if chunk < late_chunk:
            return on_time
        if chunk == late_chunk:
            return on_time + self.delays.jitter_s
        return max(on_time, (late_chunk + 1) * CHUNK_S + self.delays.path_up_s + self.delays.jitter_s)

    @staticmethod
    def _chunk_of(media_s: float) -> int:
        """The chunk in which the sound that ends at ``media_s`` lies."""
        return int((media_s - 0.001) / CHUNK_S)

    def _tick(self, now: float) -> None:
        due = self._call.next_deadline()
        if due is not None and due <= now:
            self._call.handle_deadline(now)

    def _perform(self, now: float) -> None:
        while (effect := self._call.poll()) is not None:
            self.effects.append(effect)
            match effect:
                case SendUp(AudioChunk() as chunk):
                    self._decide(chunk, now)
                case NoteTurnOpened() if not self.profile.marks:
                    self._call.receive(LegMeasured(2 * self.delays.path_down_s), now)
                case SendAudio(payload):
                    self._play(len(payload) / RATE_HZ, now)
                case SendMark(name):
                    returns_at = self._ear_free_at + self.delays.mark_back_s
                    self._at(returns_at, partial(self._call.receive, MarkPlayed(name)))
                case NoteReply(trace):
                    self.traces.append(trace)

    def _play(self, seconds: float, now: float) -> None:
        """The caller hears it after the way there; without a carrier's buffer it leaves with the next tick."""
        leaves_at = now
        if not self.profile.marks:
            ticks = -((self.delays.tick_phase_s - now) // PACKET_S)
            leaves_at = max(now, self.delays.tick_phase_s + ticks * PACKET_S)
        if self.heard_at is None:
            self.sent_at = now
            self.heard_at = self._ear_free_at = leaves_at + self.delays.path_down_s
        self._ear_free_at = max(self._ear_free_at, leaves_at + self.delays.path_down_s) + seconds

    def _decide(self, chunk: AudioChunk, now: float) -> None:
        delays = self.delays
        decided_at = now + delays.bus_up_s + delays.queue_s + delays.compute_s
        speaks = not self._answered and (chunk.index + 1) * CHUNK_S >= self.spoken_until_s + PATIENCE_S
        kind, turn = (DecisionKind.SPEAK, TurnId(1)) if speaks else (DecisionKind.LISTEN, TurnId(0))
        age_s = decided_at - now
        decision = Decision(CALL, 0, 0, chunk.index, kind, turn, None, age_s, delays.queue_s, delays.compute_s)
        here_at = decided_at + delays.bus_down_s
        self._say(decision, here_at)
        if speaks:
            self._answered = True
            voice_at = here_at + delays.voice_s
            half = round(self.profile.piece_s * RATE_HZ / 2)  # too little for the leg until the other half is there
            self._say(SpeechChunk(CALL, 0, 0, turn, 0, b"\x22" * half, "yes"), voice_at)
            self._say(SpeechChunk(CALL, 0, 0, turn, half, b"\x22" * 8_000, "it is"), voice_at + delays.playout_s)
            self._say(TurnDone(CALL, 0, 0, turn, half + 8_000), voice_at + delays.playout_s + 0.01)

    def _say(self, message: Decision | SpeechChunk | TurnDone, when: float) -> None:
        self._at(when, partial(self._call.receive, WorkerSaid(message)))

    def injected(self) -> dict[str, float]:
        """What each part of the waterfall should say."""
        delays = self.delays
        chunk = self._chunk_of(self.spoken_until_s + PATIENCE_S)
        late_s = delays.jitter_s if chunk == self._chunk_of(self.spoken_until_s) else 0.0
        leg_s = self.heard_at - self.sent_at + (delays.mark_back_s if self.profile.marks else 0.0)  # type: ignore[operator]
        return {
            "jitter_buffer": delays.jitter_s,
            "endpoint": (chunk + 1) * CHUNK_S + late_s - self.spoken_until_s - delays.jitter_s,
            "bus_up": delays.bus_up_s,
            "queue": delays.queue_s,
            "compute": delays.compute_s,
            "bus_down": delays.bus_down_s,
            "voice": delays.voice_s,
            "playout": delays.playout_s,
            "leg": leg_s,
        }


@pytest.mark.parametrize("profile", [TWILIO_LIKE, STREAM_LIKE], ids=["marks", "no marks"])
def test_every_delay_of_a_hundred_replies_is_found_and_the_caller_agrees_on_the_whole(profile: PlayoutProfile):
    chance = random.Random(SEED)
    for n in range(REPLIES):
        quiet_s = PACKET_S * chance.randrange(10, 60)
        line = Line(profile, draw(chance), chance.choice(WORDS_END_S), quiet_s)
        line.run()
        (trace,) = line.traces
        injected = line.injected()
        for part, part_s in trace.parts():
            assert part_s == pytest.approx(injected[part], abs=0.002), f"seed {SEED}, reply {n}: {part}"
        assert line.heard_at is not None
        true_s = line.heard_at - line.spoken_until_s
        assert abs(trace.total_s - true_s) < 0.05 * true_s, f"seed {SEED}, reply {n}"
        parts_s = sum(part_s for _, part_s in trace.parts())
        assert abs(parts_s - trace.total_s) < 0.05 * trace.total_s, f"seed {SEED}, reply {n}"
