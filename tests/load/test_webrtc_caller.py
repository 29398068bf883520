"""The browser caller's mouth and ear."""

import math
import random

import pytest

pytest.importorskip("aiortc", reason="the load test of the browser door needs it")
pytest.importorskip("uvloop", reason="the load tests run where uvloop does")

import numpy as np
from aiortc import RTCCertificate

from gateway.sdp.formats import MediaCodec
from gateway.turn.floor import FloorAction
from gateway.turn.overlap import OverlapWatch
from gateway.webrtc.offer import read_offer
from load_tests.schedule import FRAMES_PER_CHUNK, Questions
from load_tests.stack import OPUS_ABOVE
from load_tests.tally import LOUD, Tally, line_noise
from load_tests.webrtc_caller import RTP_HEADER, WebRtcCaller, payload_offset
from load_tests.webrtc_peer import LightPeer, PeerError
from load_tests.webrtc_sound import OpusEar, Voice, voice
from wire.audio.codecs import Codec
from wire.audio.opus import OpusDecoder
from wire.messages import OverlapRules

ANSWER_MS = 60


def opus_packets(*, questions_after: tuple[int, ...], count: int) -> list[bytes]:
    """What a caller sends: noise, and questions after so many packets of it."""
    said = voice("opus")
    packets: list[bytes] = []
    for number in range(count):
        packets.append(said.noise[number % len(said.noise)])
        if number + 1 in questions_after:
            packets += said.question
    return packets


def mean_levels(packets: list[bytes]) -> list[float]:
    decoder = OpusDecoder()
    return [float(np.abs(np.frombuffer(decoder.decode(packet), "<i2").astype(int)).mean()) for packet in packets]


@pytest.mark.parametrize("after", [1, 17, 50, 51, 120])
def test_a_question_in_opus_is_loud_in_one_packet_wherever_it_is_put(after: int) -> None:
    levels = mean_levels(opus_packets(questions_after=(after,), count=150))
    assert [number for number, level in enumerate(levels) if level > OPUS_ABOVE] == [after]


def test_the_loop_of_noise_is_heard_as_noise_where_it_begins_anew() -> None:
    assert max(mean_levels(opus_packets(questions_after=(), count=200))[1:]) < 100


@pytest.mark.parametrize("after", range(40, 60, 3))
def test_a_question_does_not_interrupt_its_own_answer(after: int) -> None:
    watch, decoder = OverlapWatch(Codec.L16_16K, OverlapRules()), OpusDecoder()
    actions: list[FloorAction] = []
    for number, packet in enumerate(opus_packets(questions_after=(after,), count=150)):
        actions += watch.push(decoder.decode(packet), (number + 1) / 50)
    assert not {FloorAction.STOP, FloorAction.GIVE} & set(actions)


def test_an_ear_for_opus_hears_questions_and_no_noise() -> None:
    ear = OpusEar()
    packets = opus_packets(questions_after=(30, 90), count=150)
    assert [number for number, packet in enumerate(packets) if ear(packet)] == [30, 92]


def test_a_broken_packet_of_opus_is_not_loud() -> None:
    ear, chance = OpusEar(), random.Random(1)
    assert not ear(b"\xff")
    for _ in range(50):
        ear(chance.randbytes(30))


def test_an_ear_for_pcmu_hears_a_tone() -> None:
    ear = voice("pcmu").ear()
    assert ear(LOUD)
    assert not ear(line_noise())


class Peer(LightPeer):
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, packet: bytes) -> None:
        self.sent.append(packet)


class Line:
    """A caller whose packets stay here."""

    def __init__(self, said: Voice, answer_ms: int = ANSWER_MS, loss: float = 0.0) -> None:
        self.tally = Tally()
        self.caller = WebRtcCaller(0, Questions(1), answer_ms, self.tally, said, loss=loss)
        self.peer = self.caller.peer = Peer()
        self.said = said
        self.sequence = 0

    def send(self, frames: int) -> list[bytes]:
        """Payloads of frames that are due at 20 ms each, beginning with 0."""
        before = len(self.peer.sent)
        for _ in range(frames):
            self.caller.send_frame(self.caller.frames_sent * 0.02)
        return [packet[RTP_HEADER.size :] for packet in self.peer.sent[before:]]

    def hear(self, payload: bytes, at: float, payload_type: int = 0) -> None:
        self.sequence += 1
        self.caller.take(RTP_HEADER.pack(0x80, payload_type, self.sequence, self.sequence * 160, 9) + payload, at)


@pytest.fixture
def line() -> Line:
    return Line(voice("pcmu"))


@pytest.mark.parametrize("name", ["opus", "pcmu"])
def test_what_is_sent_is_a_stream_with_the_clock_of_its_codec(name: str) -> None:
    line = Line(voice(name))
    line.send(3)
    first, second, third = (RTP_HEADER.unpack_from(packet) for packet in line.peer.sent)
    assert [head[1] & 0x80 for head in (first, second, third)] == [0x80, 0, 0]
    assert {head[1] & 0x7F for head in (first, second, third)} == {111 if name == "opus" else 0}
    assert third[2] - second[2] == second[2] - first[2] == 1
    assert third[3] - second[3] == second[3] - first[3] == (960 if name == "opus" else 160)
    assert first[4] == second[4] == third[4]


def test_a_question_is_sent_whole_with_its_loud_packet_last_in_the_chunk() -> None:
    line = Line(voice("opus"))
    line.caller.ask()
    payloads = line.send(FRAMES_PER_CHUNK + 1)
    assert tuple(payloads[FRAMES_PER_CHUNK - 1 :]) == line.said.question
    assert set(payloads[: FRAMES_PER_CHUNK - 1]) <= set(line.said.noise)


def test_the_latency_runs_from_the_due_time_to_the_arrival(line: Line) -> None:
    line.caller.ask()
    line.send(FRAMES_PER_CHUNK)
    for number in range(3):
        line.hear(LOUD, 0.38 + 0.011 + number * 0.02)
    line.hear(line_noise(), 0.47)
    line.caller.close()
    assert line.tally.latencies_s == [pytest.approx(0.011)]
    assert (line.tally.wrong_answers, line.tally.gaps) == (0, 0)


def test_an_answer_that_never_comes_is_infinitely_late(line: Line) -> None:
    line.caller.ask()
    line.send(FRAMES_PER_CHUNK)
    line.caller.close()
    assert line.tally.latencies_s == [math.inf]


@pytest.mark.parametrize(("packets", "wrong"), [(2, 1), (3, 0), (4, 0), (5, 1)])
def test_an_answer_in_opus_may_sound_in_one_packet_more_than_it_has(packets: int, wrong: int) -> None:
    line = Line(voice("opus"))
    loud = line.said.question[0]
    line.caller.ask()
    line.send(FRAMES_PER_CHUNK)
    for number in range(packets):
        line.hear(loud, 0.4 + number * 0.02, payload_type=111)
    line.caller.close()
    assert line.tally.wrong_answers == wrong


def test_loss_takes_its_share_of_the_noise_and_no_question() -> None:
    line = Line(voice("pcmu"), loss=0.25)
    line.caller.ask()
    payloads = line.send(2_000)
    assert payloads.count(LOUD) == 2_000 // FRAMES_PER_CHUNK
    assert line.caller.dropped == 2_000 - len(payloads) == pytest.approx(475, abs=60)
    sequences = [RTP_HEADER.unpack_from(packet)[2] for packet in line.peer.sent]
    assert max(sequences) - min(sequences) > len(sequences)  # what was lost had its number


def test_packets_of_another_payload_type_and_scraps_are_strange(line: Line) -> None:
    line.caller.ask()
    line.hear(LOUD, 0.1, payload_type=13)
    line.caller.take(b"\x80\x00", 0.1)
    assert line.caller.strange == 2
    assert len(line.caller.pace.transits_s) == 0


def test_the_payload_begins_behind_sources_and_extensions() -> None:
    head = bytes(11)
    assert payload_offset(b"\x80" + head) == 12
    assert payload_offset(b"\x82" + head + bytes(8)) == 20
    assert payload_offset(b"\x90" + head + b"\xbe\xde\x00\x02" + bytes(8)) == 24
    assert payload_offset(b"\x90" + head) == 12


@pytest.mark.parametrize("events", [True, False])
@pytest.mark.parametrize("name", ["opus", "pcmu"])
async def test_the_gateway_reads_what_a_caller_offers(name: str, events: bool) -> None:
    peer = LightPeer(RTCCertificate.generateCertificate(), lambda _packet, _at: None, lambda: None, events=events)
    try:
        await peer.gather()
        offer = read_offer(peer.offer(voice(name)))
    finally:
        await peer.close()
    assert offer.audio.codec is (MediaCodec.OPUS if name == "opus" else MediaCodec.PCMU)
    assert (offer.data is not None) is events
    assert offer.ice.candidates


async def test_a_machine_without_an_address_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [])
    peer = LightPeer(RTCCertificate.generateCertificate(), lambda _packet, _at: None, lambda: None, events=False)
    try:
        with pytest.raises(PeerError, match="ip link add dummy0"):
            await peer.gather()
    finally:
        await peer.close()


@pytest.mark.parametrize("answer", ["", "rubbish", "v=0\r\ns=-\r\n"])
async def test_an_answer_that_is_none_is_an_error_of_the_call(answer: str) -> None:
    peer = LightPeer(RTCCertificate.generateCertificate(), lambda _packet, _at: None, lambda: None, events=False)
    try:
        await peer.gather()
        with pytest.raises(PeerError, match="expected an answer"):
            await peer.connect(answer)
    finally:
        await peer.close()
