"""What callers hear when nobody serves them for a while."""

from gateway.call import Call
from gateway.effects import SendAudio, SendUp
from gateway.events import BusAway, BusBack, Moved, WorkerSaid
from gateway.seams import CallSetup
from tests.gateway.calls import CALL, CHUNK, PROFILE, SILENCE, Driven, audio_sent, decision, lease, speech
from wire.audio.codecs import Codec
from wire.bus.seam import Lease
from wire.ids import GatewayId, WorkerId
from wire.messages import DecisionKind

CLIP = b"\x33" * 8_000


class Held(Driven):
    """A call with a hold clip of one second."""

    def __init__(self) -> None:
        super().__init__()
        setup = CallSetup("twilio", Codec.PCMU, PROFILE, "front-desk")
        self.call = Call(lease(), GatewayId("g1"), setup, now=0.0, hold_clip=CLIP)
        self.drain()


def clips(driven: Driven) -> list[float]:
    return [effect.at_s for effect in driven.of(SendAudio) if effect.payload == CLIP]


def test_two_seconds_without_the_bus_are_bridged_once():
    held = Held()
    held.call.receive(BusAway(), 1.0)
    held.tick_to(2.99)
    assert not clips(held)
    held.tick_to(3.1)
    assert clips(held) == [3.0]
    held.tick_to(4.0)
    assert len(clips(held)) == 1
    held.call.receive(BusBack(), 4.0)
    held.media(SILENCE, 4.0)
    held.call.receive(BusAway(), 4.2)
    held.tick_to(6.5)
    assert len(clips(held)) == 2


def test_a_short_absence_is_not_spoken_of():
    held = Held()
    held.call.receive(BusAway(), 1.0)
    held.call.receive(BusBack(), 2.5)
    held.tick_to(4.0)
    assert not clips(held)


def test_what_was_generated_plays_on_and_the_clip_waits_for_its_end():
    held = Held()
    now = held.chunks(1)
    held.call.receive(WorkerSaid(decision(held, 0, DecisionKind.SPEAK, 1)), now)
    held.call.receive(WorkerSaid(speech(held, 1, 0, 80_000)), now)
    held.call.receive(BusAway(), now)
    held.drain()
    for step in range(1, 20):
        held.media(SILENCE * CHUNK, now + 0.4 * step)
        held.tick_to(now + 0.4 * step)
    assert not clips(held)
    assert len(audio_sent(held.effects)) > 60_000


def test_a_call_that_finds_no_worker_is_bridged_too_and_the_next_turn_follows_the_clip():
    held = Held()
    now = held.chunks(2)
    while not clips(held):
        now = held.chunks(1, now)
        held.tick_to(now)
    told_at = clips(held)[0]
    held.call.receive(Moved(Lease(CALL, WorkerId("w2"), "scripted", 400, 400)), told_at + 0.2)
    fresh = held.drain()
    assert any(isinstance(effect, SendUp) and effect.to == "w2" for effect in fresh)
    spoken = speech(held, 1, 0, 3_200)
    held.call.receive(WorkerSaid(type(spoken)(CALL, 1, 0, spoken.turn, 0, spoken.payload)), told_at + 0.3)
    held.tick_to(told_at + 1.5)
    turn = [effect.at_s for effect in held.of(SendAudio) if effect.payload != CLIP]
    assert turn[0] >= told_at + 1.0
