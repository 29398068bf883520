"""A thousand callers talk over an agent whose worker is late: what the caller's ear gets, to the sample.

The agent's voice is noise of which 48 samples tell where in which turn they are, however loud it is. The leg is
Twilio's, or our own: it plays what it has, drops it at a clear, and is some way off.
"""

import itertools
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from gateway.call import CallLimits
from gateway.effects import ClearAudio, NoteOverlap, NoteTurnEnded, OverlapEnd, SendAudio, SendMark, SendUp, TurnEnd
from gateway.events import CallEvent, MarkPlayed, WorkerSaid
from gateway.seams import PlayoutProfile
from tests.gateway.calls import CALL, FRAME, PROFILE, SILENCE, STREAM_LIKE, Driven, decision, done
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, encode
from wire.ids import TurnId
from wire.messages import AudioChunk, DecisionKind, SpeechChunk, TurnCancelled

RATE_HZ = 8_000
TURN_SAMPLES = 40_000
NOWHERE = (-1, -1)  # of no turn
WORD_SAMPLES = 2_400  # 0.3 s
KEY_SAMPLES = 48
SPEECH = jfk_ulaw()[43_200:61_600]  # 2.3 s without a pause
CALLS, BARGE_INS_PER_CALL = 40, 25
NEVER = 1e9


class Voice:
    """Noise that says where it is: one turn after the other takes the next of two sequences."""

    def __init__(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        self.signs = chance.integers(0, 2, (2, TURN_SAMPLES + KEY_SAMPLES), dtype=np.int8)
        self.ulaw = [encode(Codec.PCMU, np.where(row > 0, 8_000, -8_000).astype(np.int16)) for row in self.signs]
        self._places = {
            row[at : at + KEY_SAMPLES].tobytes(): (parity, at)
            for parity, row in enumerate(self.signs)
            for at in range(TURN_SAMPLES)
        }

    def speech(self, turn: int, start: int, samples: int) -> bytes:
        return self.ulaw[turn % 2][start : start + samples]

    def place(self, frame: bytes) -> tuple[int, int] | None:
        """(turn modulo 2, sample) at which ``frame`` begins; None for silence and for what is not of one piece."""
        signs = (decode(Codec.PCMU, frame[:KEY_SAMPLES]) > 0).astype(np.int8)
        return self._places.get(signs.tobytes())


VOICE = Voice(20_261_123)


@dataclass
class Leg:
    """The far end: ``delay_s`` away each way; plays 20 ms frames, and remembers what was in each."""

    delay_s: float
    buffer: bytearray = field(default_factory=bytearray)
    marks: deque[tuple[int, str]] = field(default_factory=deque)  # (bytes before it, name)
    mail: deque[tuple[float, SendAudio | SendMark | ClearAudio]] = field(default_factory=deque)
    back: deque[tuple[float, CallEvent]] = field(default_factory=deque)
    heard: list[bytes] = field(default_factory=list)

    def tick(self, now: float) -> None:
        while self.mail and self.mail[0][0] <= now:
            match self.mail.popleft()[1]:
                case SendAudio(payload):
                    self.buffer += payload
                case SendMark(name):
                    self.marks.append((len(self.buffer), name))
                case ClearAudio():
                    self.buffer.clear()
                    self.marks = deque((0, name) for _, name in self.marks)
        frame = bytes(self.buffer[:FRAME])
        del self.buffer[:FRAME]
        self.heard.append(frame + SILENCE * (FRAME - len(frame)))
        self.marks = deque((max(0, at - FRAME), name) for at, name in self.marks)
        while self.marks and self.marks[0][0] == 0:
            self.back.append((now + self.delay_s, MarkPlayed(self.marks.popleft()[1])))


class LateWorker:
    """Speaks turn after turn, and learns of a stop up to a second late; says so much more of what is over."""

    def __init__(self, driven: Driven, chance: random.Random) -> None:
        self.driven, self.chance = driven, chance
        self.mail: list[tuple[float, int, CallEvent]] = []
        self.turn = 0
        self.order = 0
        self.cancelled: list[TurnCancelled] = []
        self.next_turn_at = 0.0

    def post(self, at: float, event: CallEvent) -> None:
        self.order += 1
        self.mail.append((at, self.order, event))

    def take(self, chunk: AudioChunk, now: float) -> None:
        at = now + self.chance.uniform(0.02, 0.1)
        if now < self.next_turn_at:
            self.post(at, WorkerSaid(decision(self.driven, chunk.index)))
            return
        self.next_turn_at = NEVER
        self.turn += 1
        self.post(at, WorkerSaid(decision(self.driven, chunk.index, DecisionKind.SPEAK, self.turn)))
        for n, start in enumerate(range(0, TURN_SAMPLES, 3_200)):
            samples = min(3_200, TURN_SAMPLES - start)
            words = [word for word in range(0, TURN_SAMPLES, WORD_SAMPLES) if start <= word < start + samples]
            piece = SpeechChunk(
                CALL,
                0,
                self.driven.next_seq(),
                TurnId(self.turn),
                start,
                VOICE.speech(self.turn, start, samples),
                " ".join(f"w{word // WORD_SAMPLES}" for word in words),
                tuple(words),
            )
            self.post(at + 0.25 * n, WorkerSaid(piece))  # of a stopped turn too: it has not heard yet
        self.post(at + 4.0, WorkerSaid(done(self.driven, self.turn, TURN_SAMPLES)))

    def stopped(self, cancelled: TurnCancelled, now: float) -> None:
        self.cancelled.append(cancelled)
        self.next_turn_at = now + self.chance.uniform(0.1, 1.0)

    def due(self, now: float) -> Iterator[CallEvent]:
        for entry in sorted(entry for entry in self.mail if entry[0] <= now):
            self.mail.remove(entry)
            yield entry[2]


@dataclass
class Talk:
    """One call: the caller sounds over every turn, ``said_s`` at a time, ``after_s`` into it."""

    profile: PlayoutProfile
    seed: int
    said_s: float
    leg: Leg = field(init=False)
    ends: list[tuple[int, NoteTurnEnded]] = field(default_factory=list)  # the tick, and what was noted
    overlaps: list[tuple[int, NoteOverlap]] = field(default_factory=list)

    def run(self, turns: int) -> None:
        chance = random.Random(self.seed)
        driven = Driven(self.profile, CallLimits(max_duration_s=36_000))
        delay_s = chance.uniform(0.005, 0.06) if self.profile.marks else 0.0
        self.leg = leg = Leg(delay_s)
        worker = LateWorker(driven, chance)
        say_at, said_turn, tick = NEVER, 0, 0
        while len(self.ends) < turns:
            tick += 1
            now = tick / 50
            for event in worker.due(now):
                driven.call.receive(event, now)
            while leg.back and leg.back[0][0] <= now:
                driven.call.receive(leg.back.popleft()[1], now)
            driven.tick_to(now)
            if worker.turn > said_turn and VOICE.place(leg.heard[-1] if leg.heard else SILENCE * FRAME) is not None:
                said_turn, say_at = worker.turn, now + chance.uniform(0.3, 1.5)
            into = round((now - say_at) * 50) * FRAME
            speaks = 0 <= into < round(self.said_s * RATE_HZ)
            driven.media(SPEECH[into : into + FRAME] if speaks else SILENCE * FRAME, now)
            self._perform(driven, worker, tick, now)
            leg.tick(now)
            assert tick < 50 * 20 * turns, "the turns go on"

    def _perform(self, driven: Driven, worker: LateWorker, tick: int, now: float) -> None:
        for effect in driven.effects:
            match effect:
                case SendAudio() | SendMark() | ClearAudio():
                    self.leg.mail.append((now + self.leg.delay_s, effect))
                case SendUp(AudioChunk() as chunk):
                    worker.take(chunk, now)
                case SendUp(TurnCancelled() as cancelled):
                    worker.stopped(cancelled, now)
                case NoteOverlap():
                    self.overlaps.append((tick, effect))
                case NoteTurnEnded():
                    self.ends.append((tick, effect))
                    if effect.end is TurnEnd.PLAYED:
                        worker.next_turn_at = now + 0.2
        driven.effects.clear()

    def places(self) -> list[tuple[int, int] | None]:
        return [VOICE.place(frame) for frame in self.leg.heard]


@pytest.mark.parametrize("profile", [PROFILE, STREAM_LIKE], ids=["marks", "no marks"])
def test_of_a_thousand_turns_that_were_stopped_not_a_frame_is_heard_again(profile: PlayoutProfile):
    stops = 0
    for seed in range(CALLS):
        talk = Talk(profile, seed, said_s=2.0)
        talk.run(BARGE_INS_PER_CALL)
        places = [place or NOWHERE for place in talk.places()]
        for number, (tick, note) in enumerate(talk.ends):
            assert note.end is TurnEnd.BARGED_IN, f"seed {seed}, turn {number + 1}"
            assert note.stop_s is not None
            assert note.onset_at_s is not None
            stopped = round((note.onset_at_s + note.stop_s + talk.leg.delay_s) * 50) + 1
            parity = (number + 1) % 2
            until = talk.ends[number + 1][0] if number + 1 < len(talk.ends) else len(places)
            stale = [at for at in range(stopped, until) if places[at][0] == parity]
            assert stale == [], f"seed {seed}, turn {number + 1}, stopped in tick {stopped}, over in {tick}"
            last = max(at for at in range(stopped) if places[at][0] == parity)
            ear = places[last][1] + FRAME
            assert abs(note.ledger.played - ear) <= 0.1 * RATE_HZ, f"seed {seed}, turn {number + 1}"
            assert abs(len(note.text_heard.split()) - (-(-ear // WORD_SAMPLES))) <= 1
            stops += 1
    assert stops == CALLS * BARGE_INS_PER_CALL


@pytest.mark.parametrize("profile", [PROFILE, STREAM_LIKE], ids=["marks", "no marks"])
def test_a_turn_that_was_stopped_by_mistake_goes_on_from_the_word_it_was_stopped_in(profile: PlayoutProfile):
    gaps_s = []
    for seed in range(20):
        talk = Talk(profile, seed, said_s=0.62)
        talk.run(10)
        places = [place or NOWHERE for place in talk.places()]
        resumed = [note for _, note in talk.overlaps if note.end is OverlapEnd.RESUMED]
        assert len(resumed) == 10, f"seed {seed}"
        assert {note.end for _, note in talk.ends} == {TurnEnd.PLAYED}
        for note in resumed:
            assert note.stopped_at_s is not None
            stop = round((note.stopped_at_s + talk.leg.delay_s) * 50)
            before = next(at for at in range(stop + 1, 0, -1) if places[at] is not NOWHERE)
            after = next(at for at in range(before + 1, len(places)) if places[at] is not NOWHERE)
            cut, again = places[before][1] + FRAME, places[after][1]
            assert places[before][0] == places[after][0]
            gaps_s.append((after - before - 1) * 0.02)
            # from the first sample of a word, to the frame that the ear sees: the word that was cut, or the one after
            begin = min(range(0, TURN_SAMPLES, WORD_SAMPLES), key=lambda word: abs(word - again))
            assert abs(again - begin) <= FRAME, f"seed {seed}"
            assert begin <= cut + 0.1 * RATE_HZ
            assert cut - begin <= WORD_SAMPLES + 0.1 * RATE_HZ
    assert len(gaps_s) == 200
    assert sorted(gaps_s)[190] <= 0.6


@pytest.mark.parametrize("profile", [PROFILE, STREAM_LIKE], ids=["marks", "no marks"])
def test_an_acknowledgement_costs_the_caller_nothing_of_what_is_said(profile: PlayoutProfile):
    for seed in range(20):
        talk = Talk(profile, seed, said_s=0.3)
        talk.run(5)
        assert {note.end for _, note in talk.overlaps} == {OverlapEnd.KEPT}
        assert {note.end for _, note in talk.ends} == {TurnEnd.PLAYED}
        known = [place for place in talk.places() if place is not None]
        for (parity, at), (next_parity, next_at) in itertools.pairwise(known):
            if parity == next_parity:
                assert abs(next_at - at) % TURN_SAMPLES <= 2 * FRAME + 80, f"seed {seed}: {at} then {next_at}"
