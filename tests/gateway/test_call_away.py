"""The way to the caller breaks, and comes back: what is said meanwhile, nobody hears."""

from gateway.effects import ClearAudio, NoteTurnEnded, SendAudio, TurnEnd
from gateway.events import LegAway, LegBack, WorkerSaid
from tests.gateway.calls import RTP_LIKE, Driven, decision, speech
from wire.messages import DecisionKind, TurnCancelled


def speak(driven: Driven, index: int, turn: int, now: float) -> None:
    driven.call.receive(WorkerSaid(decision(driven, index, DecisionKind.SPEAK, turn)), now)
    driven.drain()
    driven.call.receive(WorkerSaid(speech(driven, turn, 0, 16_000, "hello")), now)
    driven.drain()


def test_the_open_turn_ends_where_the_way_broke():
    driven = Driven(RTP_LIKE)
    now = driven.chunks(1)
    speak(driven, 0, 1, now)
    driven.tick_to(now + 0.5)
    driven.call.receive(LegAway(), now + 0.5)
    driven.drain()
    (ended,) = driven.of(NoteTurnEnded)
    assert ended.end is TurnEnd.LEG_LOST
    assert 0 < ended.ledger.played <= 4_160
    (cancelled,) = driven.up(TurnCancelled)
    assert (cancelled.heard_samples, cancelled.cause) == (ended.ledger.played, "leg_lost")
    assert driven.of(ClearAudio)


def test_nothing_is_said_to_nobody_and_the_agent_is_heard_again_after():
    driven = Driven(RTP_LIKE)
    driven.call.receive(LegAway(), 0.1)
    now = driven.chunks(1)
    speak(driven, 0, 1, now)
    driven.tick_to(now + 0.1)
    assert driven.of(SendAudio) == []
    (ended,) = driven.of(NoteTurnEnded)
    assert (ended.end, ended.ledger.played) == (TurnEnd.LEG_LOST, 0)
    driven.call.receive(LegBack(), now + 0.2)
    now = driven.chunks(1, now)
    speak(driven, 1, 2, now)
    driven.tick_to(now + 0.1)
    assert driven.of(SendAudio)
