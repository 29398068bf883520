"""A call on its own, driven by hand: what the tests of the pure core share."""

from typing import TypeVar

from gateway.call import Call, CallLimits
from gateway.echo.guard import EchoGuard
from gateway.effects import Effect, SendAudio, SendUp
from gateway.resumption import Resumption
from gateway.seams import CallSetup, PlayoutProfile
from wire.audio.codecs import Codec
from wire.bus.seam import Lease
from wire.ids import CallId, GatewayId, TurnId, WorkerId
from wire.messages import AudioChunk, Decision, DecisionKind, SpeechChunk, TurnDone, UpMessage

CALL = CallId("CA1")
RATE_HZ = 8_000
FRAME = 160
CHUNK = 3_200
SILENCE = b"\xff"
PROFILE = PlayoutProfile(lead_s=0.4, piece_s=0.1, marks=True)
RTP_LIKE = PlayoutProfile(lead_s=0.02, piece_s=0.02, marks=False)
STREAM_LIKE = PlayoutProfile(lead_s=0.2, piece_s=0.1, marks=False)

E = TypeVar("E")


def lease(chunk_ms: int = 400, first_chunk_ms: int = 400) -> Lease:
    return Lease(CALL, WorkerId("w1"), "scripted", chunk_ms, first_chunk_ms)


class Driven:
    """A call and everything it wanted so far."""

    def __init__(
        self,
        profile: PlayoutProfile = PROFILE,
        limits: CallLimits | None = None,
        echo: EchoGuard | None = None,
        resumed: Resumption | None = None,
    ) -> None:
        setup = CallSetup("twilio", Codec.PCMU, profile, "front-desk")
        self.call = Call(lease(), GatewayId("g1"), setup, now=0.0, limits=limits, echo=echo, resumed=resumed)
        self.effects: list[Effect] = []
        self.seq = 0
        self.drain()

    def drain(self) -> list[Effect]:
        """Poll to None; returns what came, keeps all."""
        fresh: list[Effect] = []
        while (effect := self.call.poll()) is not None:
            fresh.append(effect)
        self.effects += fresh
        return fresh

    def of(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def up(self, kind: type[E]) -> list[E]:
        messages: list[UpMessage] = [effect.message for effect in self.of(SendUp)]
        return [message for message in messages if isinstance(message, kind)]

    def media(self, payload: bytes, now: float) -> list[Effect]:
        self.call.receive_media(payload, now)
        return self.drain()

    def chunks(self, count: int, start: float = 0.0) -> float:
        """Whole silent chunks, one per 0.4 s; returns the time of the last."""
        now = start
        for _ in range(count):
            now += 0.4
            self.media(SILENCE * CHUNK, now)
        return now

    def tick_to(self, now: float) -> list[Effect]:
        """Handle every deadline up to ``now`` on the 20 ms grid of the ticker."""
        fresh: list[Effect] = []
        while (due := self.call.next_deadline()) is not None and due <= now:
            self.call.handle_deadline(max(due, 0.0))
            fresh += self.drain()
        return fresh

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq - 1


def decision(driven: Driven, index: int, kind: DecisionKind = DecisionKind.LISTEN, turn: int = 0) -> Decision:
    return Decision(CALL, 0, driven.next_seq(), index, kind, TurnId(turn))


def speech(
    driven: Driven, turn: int, start_samples: int, samples: int, text: str = "", byte: bytes = b"\x10"
) -> SpeechChunk:
    return SpeechChunk(CALL, 0, driven.next_seq(), TurnId(turn), start_samples, byte * samples, text)


def done(driven: Driven, turn: int, total_samples: int) -> TurnDone:
    return TurnDone(CALL, 0, driven.next_seq(), TurnId(turn), total_samples)


def audio_sent(effects: list[Effect]) -> bytes:
    return b"".join(effect.payload for effect in effects if isinstance(effect, SendAudio))


def last_chunk(driven: Driven) -> AudioChunk:
    return driven.up(AudioChunk)[-1]
