"""An hour of a whole SIP call in seconds of machine time: signalling, media both ways, and the call's core."""

import random
from collections import deque
from collections.abc import Callable

import pytest

from gateway.call import CallLimits
from gateway.effects import ClearAudio, SendAudio, SendUp
from gateway.events import CallEvent, LegEnded
from gateway.rtp.media_plan import StreamIdentity
from gateway.rtp.stream import TICK_S, MediaStream, SendRtcp
from gateway.sdp.formats import MediaCodec
from gateway.sdp.local import LocalMedia
from gateway.sdp.offer_answer import answer_offer, make_offer, read_answer
from gateway.sdp.parser import parse_sdp
from gateway.sip.message import Request
from gateway.sip.name_addr import NameAddr
from gateway.sip.ua.effects import CallAnswered, CallConfirmed, CallEnded, CallHandle, Effect, EndCause, IncomingCall
from gateway.transports.rtp_leg import RTP_PLAYOUT
from tests.gateway.calls import CHUNK, FRAME, RATE_HZ, Driven
from tests.gateway.sip.network import ALICE, BOB, Network, Peer, pair, uri_of
from tests.sim.footprint import footprint_bytes
from tests.sim.test_one_hour import HOUR_S, Worker, caller_frame
from wire.audio.codecs import Codec
from wire.messages import AudioChunk, TurnCancelled

SEED = 20_261_124
LOSS = 0.02
DELAY_S, JITTER_S = 0.03, 0.02
MUX_PORT = 20_000


class Path:
    """One way through the network: late by a little more or less, in order, and now and then not at all."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._on_way: deque[tuple[float, bytes]] = deque()
        self.media_lost = 0
        self.lossless = True

    def send(self, datagram: bytes, now: float, *, media: bool) -> None:
        if not self.lossless and self._chance.random() < LOSS:
            self.media_lost += media
            return
        at = now + DELAY_S + self._chance.random() * JITTER_S
        if self._on_way:
            at = max(at, self._on_way[-1][0])
        self._on_way.append((at, datagram))

    def arrived(self, now: float) -> tuple[float, bytes] | None:
        return self._on_way.popleft() if self._on_way and self._on_way[0][0] <= now else None


class Side:
    """One end of the media: a stream on a clock of its own, which runs fast or slow by ``drift``."""

    def __init__(self, peer: Peer, path_in: Path, path_out: Path, drift: float, first_timestamp: int) -> None:
        self.local = LocalMedia(peer.address[0], MUX_PORT, 7, codecs=(MediaCodec.PCMU,))
        self.peer = peer
        self.path_in, self.path_out = path_in, path_out
        self.drift = drift
        self.first_timestamp = first_timestamp
        self.stream: MediaStream
        self.began = 0.0
        self.ticks = 0
        self.heard_samples = 0
        self.first_arrival_s: float | None = None
        self.last_sent = b""
        self.take: Callable[[bytes, float], None] = lambda audio, now: None

    def open(self, plan: object, now: float) -> None:
        """Both have agreed: media passes from now on."""
        identity = StreamIdentity(self.first_timestamp & 0xFFFF, 65_000, self.first_timestamp, self.peer.address[0])
        self.began = now
        chance = random.Random(self.first_timestamp).random
        self.stream = MediaStream(plan, Codec.PCMU, identity, self.clock(now), 1.7e9, chance)  # type: ignore[arg-type]

    def clock(self, now: float) -> float:
        """Our own monotonic clock at a moment of the world's."""
        return self.began + (now - self.began) * (1 + self.drift)

    @property
    def due(self) -> float:
        """The next tick, in the world's time; half a tick from when the stream began, not to fall together."""
        return self.began + (self.ticks + 0.5) * TICK_S / (1 + self.drift)

    def tick(self, now: float) -> None:
        """What ``RtpLeg`` does every 20 ms."""
        stream, clock = self.stream, self.clock(now)
        source = (BOB if self.peer.address == ALICE else ALICE)[0], MUX_PORT
        while (arrival := self.path_in.arrived(now)) is not None:
            at = self.clock(arrival[0])
            if self.first_arrival_s is None:
                self.first_arrival_s = at - self.began
            self._hear(stream.receive(arrival[1], source, at), now)
        packet = stream.tick(clock)
        assert packet is not None, "one packet in every tick"
        self.last_sent = bytes(packet)
        self.path_out.send(self.last_sent, now, media=True)
        self._hear(stream.handle_deadline(clock), now)
        while (effect := stream.poll()) is not None:
            assert isinstance(effect, SendRtcp)
            self.path_out.send(effect.datagram, now, media=False)
        self.ticks += 1

    def _hear(self, audio: bytes, now: float) -> None:
        if audio:
            self.heard_samples += len(audio)
            self.take(audio, now)


def connect(network: Network, phone: Side, gateway: Side) -> tuple[CallHandle, CallHandle]:
    """The phone calls; both open their media under what the SDP agreed on."""

    def key(length: int) -> bytes:
        raise AssertionError(f"plain RTP was offered, and a key of {length} octets asked for")

    offer = make_offer(phone.local, key)

    def answer(effect: Effect, now: float) -> None:
        if isinstance(effect, IncomingCall):
            agreed = answer_offer(parse_sdp(effect.offer or b""), gateway.local, key)
            gateway.open(agreed.plan, now)
            gateway.peer.agent.answer(effect.call, agreed.answer.to_bytes(), now)

    def accept(effect: Effect, now: float) -> None:
        if isinstance(effect, CallAnswered):
            phone.open(read_answer(offer, parse_sdp(effect.sdp or b""), phone.local), now)

    gateway.peer.react, phone.peer.react = answer, accept
    outgoing = phone.peer.agent.place_call(uri_of(BOB), NameAddr(uri_of(ALICE)), offer.to_bytes(), network.now)
    network.run(1.0)
    assert gateway.peer.of(CallConfirmed)
    return outgoing, gateway.peer.last(IncomingCall).call


class Conversation:
    """The call's core between the gateway's stream and a worker, as ``CallSession`` drives it."""

    def __init__(self, side: Side) -> None:
        self.driven = Driven(RTP_PLAYOUT, CallLimits(max_duration_s=2 * HOUR_S))
        self.worker = Worker(self.driven)
        self.chunks = 0
        self._side = side
        self._pending = bytearray()
        side.take = self.hear

    def hear(self, audio: bytes, now: float) -> None:
        self._pending += audio
        if len(self._pending) >= self.driven.call.wanted_bytes:
            self.driven.call.receive_media(bytes(self._pending), now - self._side.began)
            self._pending.clear()
            self.perform(now)

    def wake(self, now: float) -> None:
        call, since = self.driven.call, now - self._side.began
        mail: deque[tuple[float, CallEvent]] = self.worker.mail
        while mail and mail[0][0] <= since:
            call.receive(mail.popleft()[1], since)
            self.perform(now)
        due = call.next_deadline()
        if due is not None and due <= since:
            call.handle_deadline(since)
            self.perform(now)

    def perform(self, now: float) -> None:
        for effect in self.driven.drain():
            match effect:
                case SendUp(AudioChunk() as chunk):
                    assert (chunk.index, chunk.start_samples) == (self.chunks, self.chunks * CHUNK)
                    self.chunks += 1
                    self.worker.take(chunk, now - self._side.began)
                case SendUp(TurnCancelled() as cancelled):
                    self.worker.cancelled.append(cancelled)
                case SendAudio(payload):
                    self._side.stream.queue_audio(payload)
                case ClearAudio():
                    self._side.stream.clear()
        self.driven.effects.clear()


@pytest.mark.slow
@pytest.mark.parametrize("drift", [100e-6, -100e-6], ids=["phone 100 ppm fast", "phone 100 ppm slow"])
def test_an_hour_of_a_sip_call_loses_no_media_time_and_leaves_no_growth(drift):
    network = Network(SEED, loss=LOSS, delay_s=DELAY_S, jitter_s=JITTER_S)
    up, down = Path(SEED), Path(SEED + 1)
    alice, bob = pair(network)
    phone = Side(alice, path_in=down, path_out=up, drift=drift, first_timestamp=2**32 - 1_000 * RATE_HZ)
    gateway = Side(bob, path_in=up, path_out=down, drift=0.0, first_timestamp=2**32 - 2_000 * RATE_HZ)
    outgoing, _ = connect(network, phone, gateway)
    talk = Conversation(gateway)
    sizes = {}

    begin = network.now
    phone.began = gateway.began = begin
    for second in range(HOUR_S):
        up.lossless = down.lossless = second in (0, HOUR_S - 1)
        end = begin + second + 1
        while (due := min(phone.due, gateway.due)) < end:
            if due == gateway.due:
                gateway.tick(due)
                talk.wake(due)
            else:
                phone.stream.queue_audio(caller_frame(phone.ticks))
                phone.tick(due)
        network.run(1.0)
        if second % 60 == 0:
            sizes[second // 60] = [footprint_bytes(part) for part in (gateway.stream, talk.driven.call, bob.agent)]
