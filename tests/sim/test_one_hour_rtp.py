"""An hour of a whole SIP call in seconds of machine time: signalling, media both ways, and the call's core."""

import random
from collections import deque
from collections.abc import Callable

import pytest

from gateway.call import CallLimits
from gateway.effects import ClearAudio, SendAudio, SendUp
from gateway.events import CallEvent
from gateway.rtp.media_plan import StreamIdentity
from gateway.rtp.packet import read_fixed
from gateway.rtp.stream import TICK_S, MediaStream, SendRtcp
from gateway.sdp.formats import MediaCodec
from gateway.sdp.local import LocalMedia
from gateway.sdp.offer_answer import answer_offer, make_offer, read_answer
from gateway.sdp.parser import parse_sdp
from gateway.sdp.plan import MediaPlan
from gateway.sip.flow import Address
from gateway.sip.name_addr import NameAddr
from gateway.sip.ua.effects import CallAnswered, CallConfirmed, CallEnded, CallHandle, Effect, EndCause, IncomingCall
from gateway.transports.stream_leg import STREAM_PLAYOUT
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
        self.loss = 0.0
        self.media_lost = 0

    def send(self, datagram: bytes, now: float, *, media: bool) -> None:
        if self._chance.random() < self.loss:
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

    def __init__(self, peer: Peer, other: Address, path_in: Path, path_out: Path, drift: float, ssrc: int) -> None:
        self.local = LocalMedia(peer.address[0], MUX_PORT, 7, codecs=(MediaCodec.PCMU,))
        self.peer = peer
        self.drift = drift
        self.first_timestamp = 2**32 - ssrc * 600 * RATE_HZ  # wraps some ten minutes into the call
        self.stream: MediaStream
        self.began = 0.0
        self.ticks = 0
        self.heard_samples = 0
        self.first_arrival: float | None = None
        """In seconds of our clock since we began."""
        self.last_sent = b""
        self.take: Callable[[bytes, float], None] = lambda audio, now: None
        self._ssrc = ssrc
        self._source = other[0], MUX_PORT
        self._path_in, self._path_out = path_in, path_out

    def open(self, plan: MediaPlan, now: float) -> None:
        """Both have agreed: media passes from now on."""
        identity = StreamIdentity(self._ssrc, 65_000, self.first_timestamp, self.peer.address[0])
        self.began = now
        chance = random.Random(self._ssrc).random
        self.stream = MediaStream(plan, Codec.PCMU, identity, now, 1.7e9, chance, find_tones=True)

    def clock(self, now: float) -> float:
        """Our own monotonic clock at a moment of the world's."""
        return self.began + (now - self.began) * (1 + self.drift)

    @property
    def due(self) -> float:
        """The next tick, in the world's time."""
        return self.began + (self.ticks + 0.5) * TICK_S / (1 + self.drift)

    def tick(self, now: float) -> None:
        """What a leg does every 20 ms."""
        self.listen(now)
        packet = self.stream.tick(self.clock(now))
        assert packet is not None, "one packet in every tick"
        self.last_sent = bytes(packet)
        self._path_out.send(self.last_sent, now, media=True)
        self._hear(self.stream.handle_deadline(self.clock(now)), now)
        self.report(now)
        self.ticks += 1

    def listen(self, now: float) -> None:
        """Take what has arrived."""
        while (arrival := self._path_in.arrived(now)) is not None:
            at = self.clock(arrival[0])
            if self.first_arrival is None:
                self.first_arrival = at - self.began
            self._hear(self.stream.receive(arrival[1], self._source, at), now)

    def report(self, now: float) -> None:
        while (effect := self.stream.poll()) is not None:
            assert isinstance(effect, SendRtcp), effect
            self._path_out.send(effect.datagram, now, media=False)

    def _hear(self, audio: bytes, now: float) -> None:
        if audio:
            self.heard_samples += len(audio)
            self.take(audio, now)


def connect(network: Network, phone: Side, gateway: Side) -> CallHandle:
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
    call = phone.peer.agent.place_call(uri_of(BOB), NameAddr(uri_of(ALICE)), offer.to_bytes(), network.now)
    while not gateway.peer.of(CallConfirmed):
        network.run(TICK_S)
    return call


class Conversation:
    """The call's core between the gateway's stream and a worker, as ``CallSession`` drives it."""

    def __init__(self, side: Side) -> None:
        self.driven = Driven(STREAM_PLAYOUT, CallLimits(max_duration_s=2 * HOUR_S))
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
    alice, bob = pair(network)
    up, down = Path(SEED), Path(SEED + 1)
    phone = Side(alice, BOB, path_in=down, path_out=up, drift=drift, ssrc=1)
    gateway = Side(bob, ALICE, path_in=up, path_out=down, drift=0.0, ssrc=2)
    call = connect(network, phone, gateway)
    talk = Conversation(gateway)
    began, sizes = network.now, []

    for second in range(HOUR_S):
        up.loss = down.loss = LOSS if 0 < second < HOUR_S - 1 else 0.0
        while (due := min(phone.due, gateway.due)) < began + second + 1:
            if due == gateway.due:
                gateway.tick(due)
                talk.wake(due)
            else:
                phone.stream.queue_audio(caller_frame(phone.ticks))
                phone.tick(due)
        network.run(1.0)
        if second % 60 == 0:
            sizes.append([footprint_bytes(part) for part in (gateway.stream, talk.driven.call, bob.agent)])
    now = network.now
    gateway.listen(now + 0.1)
    phone.listen(now + 0.1)

    refreshes = {sent.message.cseq.number: sent.at - began for sent in network.sent("UPDATE")}
    assert sorted(refreshes.values()) == pytest.approx([900, 1_800, 2_700], abs=40)
    assert not alice.of(CallEnded)
    assert not bob.of(CallEnded)

    for sender, receiver, path in ((phone, gateway, up), (gateway, phone, down)):
        sent, heard = sender.stream.stats(), receiver.stream.stats()
        _, sequence, timestamp, _ = read_fixed(sender.last_sent)
        assert sent["sent_packets_sent"] == sender.ticks == pytest.approx(HOUR_S * 50 * (1 + sender.drift), abs=10)
        assert sequence == (65_000 + sender.ticks - 1) % 2**16
        assert timestamp == (sender.first_timestamp + (sender.ticks - 1) * FRAME) % 2**32
        assert (heard["heard_lost"], heard["heard_received"]) == (path.media_lost, sender.ticks - path.media_lost)
        assert path.media_lost == pytest.approx(LOSS * sender.ticks, rel=0.1)
        assert heard["heard_late"] == heard["heard_restarts"] == heard["heard_too_fast"] == heard["heard_bad"] == 0
        assert receiver.first_arrival is not None
        assert receiver.heard_samples == sender.ticks * FRAME + int(receiver.first_arrival * RATE_HZ)
        assert heard["heard_concealed_samples"] <= 1.1 * FRAME * path.media_lost
        assert heard["rtcp_received"] == pytest.approx(HOUR_S / 5, rel=0.1)
        assert heard["rtcp_bad"] == 0
        assert sent["rtcp_remote_lost"] == pytest.approx(path.media_lost, abs=10)
        assert sent["rtcp_round_trip_s"] == pytest.approx(2 * DELAY_S + JITTER_S, abs=0.04)

    assert talk.chunks == gateway.heard_samples // CHUNK
    assert talk.chunks == pytest.approx(2.5 * HOUR_S * (1 + drift), abs=1)
    stats = talk.driven.call.stats()
    assert (stats["missing_decisions"], stats["underruns"]) == (0, 0)
    assert len(talk.worker.cancelled) >= 40
    assert gateway.stream.queued_samples <= STREAM_PLAYOUT.lead_s * RATE_HZ
    # The words of the last sixty lines are kept for a take-over, all of them after a quarter of an hour. From there on
    # a growth of a hundred bytes a minute would show.
    for early, late in zip(
        map(max, zip(*sizes[15:22], strict=True)), map(max, zip(*sizes[50:], strict=True)), strict=True
    ):
        assert late <= early + 3_000, f"bytes per minute of stream, core and user agent: {sizes}"

    alice.agent.hang_up(call, now)
    network.run(60.0)
    assert bob.last(CallEnded).cause is EndCause.PEER_HUNG_UP
    assert alice.agent.next_deadline() is bob.agent.next_deadline() is None
    gateway.stream.end(now + 1)
    gateway.report(now + 1)
    phone.listen(now + 2)
    assert phone.stream.stats()["rtcp_goodbyes"] == 1
    print(
        f"\n{phone.ticks} packets up, {gateway.ticks} down, lost {up.media_lost} and {down.media_lost}; "
        f"{talk.chunks} chunks; "
        f"stream, core and user agent hold {sizes[2]} bytes after 2 min and {sizes[-1]} after 59"
    )
