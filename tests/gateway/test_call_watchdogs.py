"""What a call does about an engine that does its caller no good, and about a line that echoes."""

import numpy as np
import pytest

from gateway.call import CallLimits
from gateway.echo.aec3 import Aec3
from gateway.echo.guard import EchoGuard
from gateway.effects import (
    ClearAudio,
    EndLeg,
    NoteAlarm,
    NoteDucked,
    NoteEcho,
    NoteEnded,
    NoteOverlap,
    NoteTurnEnded,
    OverlapEnd,
    SendAudio,
    TurnEnd,
)
from gateway.events import WorkerSaid
from gateway.turn.watchdog import WatchdogLimits
from load_tests.duplex.echo import EchoPath
from load_tests.duplex.recordings import Recording, samples
from tests.gateway.calls import CALL, CHUNK, FRAME, RTP_LIKE, Driven, decision, done, speech
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, encode
from wire.ids import TurnId
from wire.messages import AudioChunk, DecisionKind, SpeechChunk, TurnCancelled

WORDS = jfk_ulaw()[round(8.2 * 8_000) :]


def decided(driven: Driven, seconds: float, voice: bytes = b"") -> None:
    """Chunks of the caller, each decided on at once."""
    for n in range(round(seconds / 0.4)):
        if driven.call.ended:
            return
        index = len(driven.up(AudioChunk))
        now = 0.4 * (index + 1)
        driven.tick_to(now)
        driven.media(voice[n * CHUNK : (n + 1) * CHUNK].ljust(CHUNK, b"\xff"), now)
        driven.call.receive(WorkerSaid(decision(driven, index)), now)  # ignored when the call is over
        driven.drain()


def opened(driven: Driven, text: str, samples_: int, now: float) -> None:
    driven.call.receive(WorkerSaid(speech(driven, 1, 0, samples_, text)), now)
    driven.drain()


def test_an_engine_that_never_speaks_fails_the_call():
    driven = Driven(limits=CallLimits(watchdogs=WatchdogLimits(never_speaks_s=6.0)))
    decided(driven, 20.0, WORDS)
    assert [note.alarm for note in driven.of(NoteAlarm)] == ["dead_air", "never_speaks"]
    assert [effect.action for effect in driven.of(EndLeg)] == ["failed"]
    assert driven.of(NoteEnded)[0].reason == "never_spoke"


def test_dead_air_is_counted_and_the_call_goes_on():
    driven = Driven()
    opened(driven, "hello", 3_200, 0.0)
    driven.call.receive(WorkerSaid(done(driven, 1, 3_200)), 0.0)
    driven.drain()
    decided(driven, 4.0)
    assert [note.end for note in driven.of(NoteTurnEnded)] == [TurnEnd.PLAYED]
    decided(driven, 10.0, WORDS)
    assert [note.alarm for note in driven.of(NoteAlarm)] == ["dead_air"]
    assert not driven.call.ended


def test_a_turn_that_goes_round_in_circles_is_ended():
    driven = Driven()
    decided(driven, 0.4)
    opened(driven, "We are open from eight. " * 3, 80_000, 0.5)
    (note,) = driven.of(NoteTurnEnded)
    assert note.end is TurnEnd.RUNAWAY
    assert [alarm.alarm for alarm in driven.of(NoteAlarm)] == ["loops"]
    assert driven.of(ClearAudio)
    assert [cancelled.cause for cancelled in driven.up(TurnCancelled)] == ["runaway"]
    opened(driven, "and more", 3_200, 0.6)
    assert len(driven.of(NoteTurnEnded)) == 1  # its rest is dropped


def test_a_turn_without_end_is_ended():
    driven = Driven(RTP_LIKE, CallLimits(watchdogs=WatchdogLimits(reply_s=2.0)))
    opened(driven, "hello", 80_000, 0.0)
    decided(driven, 3.2)
    (note,) = driven.of(NoteTurnEnded)
    assert note.end is TurnEnd.RUNAWAY
    assert note.ledger.played == pytest.approx(2.0 * 8_000, abs=FRAME)


def echoing(echo: EchoGuard | None) -> Driven:
    """A minute's begin: the agent talks, and the line sends it back 12 dB down, 0.2 s late."""
    driven, path = Driven(RTP_LIKE, echo=echo), EchoPath(12, 0.2, seed=3)
    agent = encode(Codec.PCMU, samples(Recording.CONVERSATION).astype(np.int16))
    payload = agent[: 12 * 8_000]
    driven.call.receive(WorkerSaid(SpeechChunk(CALL, 0, driven.next_seq(), TurnId(1), 0, payload, "talk")), 0.0)
    driven.drain()
    leg, seen = bytearray(), 0
    for n in range(500):
        now = 0.02 * (n + 1)
        driven.tick_to(now)
        for effect in driven.effects[seen:]:
            match effect:
                case SendAudio(audio):
                    leg += audio
                case ClearAudio():
                    leg.clear()
        seen = len(driven.effects)
        heard = bytes(leg[:FRAME])
        del leg[:FRAME]
        came = path.push(heard.ljust(FRAME, b"\xff"))
        driven.media(encode(Codec.PCMU, np.rint(np.clip(came, -32_768, 32_767)).astype(np.int16)), now)
        while driven.call.stats()["undecided_chunks"]:
            index = len(driven.up(AudioChunk)) - 1
            driven.call.receive(WorkerSaid(decision(driven, index, DecisionKind.LISTEN)), now)
            driven.drain()
    return driven


def test_an_echo_is_no_caller_and_the_engine_does_not_hear_it():
    driven = echoing(EchoGuard(Codec.PCMU, Aec3))
    (note,) = driven.of(NoteEcho)
    assert note.return_loss_db == pytest.approx(12, abs=4)
    assert {overlap.end for overlap in driven.of(NoteOverlap)} <= {OverlapEnd.KEPT}
    assert all(duck.at_s < note.at_s + 1.5 for duck in driven.of(NoteDucked))
    heard = decode(Codec.PCMU, b"".join(chunk.payload for chunk in driven.up(AudioChunk))).astype(np.float64)
    before, after = heard[: round(note.at_s * 8_000)], heard[round((note.at_s + 2) * 8_000) :]
    assert np.sqrt(np.mean(after**2)) < 0.1 * np.sqrt(np.mean(before[before != 0] ** 2))
    assert len(heard) == 10 * 8_000


def test_without_a_guard_the_agent_stops_for_its_own_voice():
    driven = echoing(None)
    assert [note.end for note in driven.of(NoteTurnEnded)] == [TurnEnd.BARGED_IN]
