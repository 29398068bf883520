"""Opus: the codec over libopus, and a stream of it through loss, pauses and garbage. Time is a number."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.opus import DTX_BYTES, FRAME_SAMPLES, MAX_PACKET_TICKS, RATE_HZ, OpusDecoder, OpusEncoder, ticks_of
from gateway.rtp.receiver import RtpReceiver
from gateway.rtp.reception import ReceiverConfig
from gateway.rtp.transcode import Decoding, WireCodec, decoding, encoder
from tests.gateway.rtp.network import Line, packet
from tests.interop.audio import compare
from tests.interop.impairment import ImpairedPath, Impairment
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.audio.g711 import decode_ulaw
from wire.audio.resample import Resampler

FRAME_TICKS = 960
TYPE = 111


def frames(seconds: float = 11.0) -> list[bytes]:
    """Speech in 20 ms pieces of 16 kHz."""
    pcm = Resampler(8_000, RATE_HZ).push(decode_ulaw(jfk_ulaw()))
    count = round(seconds * 50)
    looped = np.resize(pcm, count * FRAME_SAMPLES)
    return [looped[n * FRAME_SAMPLES : (n + 1) * FRAME_SAMPLES].tobytes() for n in range(count)]


def config(how: Decoding | None = None, leg: Codec = Codec.L16_16K) -> ReceiverConfig:
    how = how or decoding(WireCodec.OPUS, leg)
    return ReceiverConfig(
        leg,
        TYPE,
        clock_hz=48_000,
        dtmf_type=101,
        decode=how.decode,
        ticks_of=how.ticks_of,
        recover=how.recover,
        pause_bytes=how.pause_bytes,
    )


class Talker:
    """Numbers Opus packets as a browser does; drops those of a pause, as its encoder does."""

    def __init__(self, *, loss_percent: int = 10) -> None:
        self._encode = OpusEncoder(loss_percent=loss_percent).encode
        self.sequence = 65_500
        self.timestamp = 2**32 - 96_000

    def next(self, pcm: bytes) -> bytes:
        datagram = packet(self.sequence & 0xFFFF, self.timestamp, self._encode(pcm), payload_type=TYPE)
        self.sequence += 1
        self.timestamp = self.timestamp + FRAME_TICKS & 0xFFFF_FFFF
        return datagram


def correlations(ours: bytes, theirs: bytes) -> list[float]:
    """Of each whole second, at the lag that fits it best."""
    seconds = compare(np.frombuffer(ours, np.int16), np.frombuffer(theirs, np.int16), RATE_HZ)
    return [second.correlation for second in seconds]


def test_speech_comes_through():
    encode, decode = OpusEncoder().encode, OpusDecoder().decode
    source = frames()
    heard = b"".join(decode(encode(frame)) for frame in source)
    assert len(heard) == len(source) * 2 * FRAME_SAMPLES
    assert np.median(correlations(heard, b"".join(source))) > 0.95


@pytest.mark.parametrize(
    ("toc", "more", "ticks"),
    [
        (0 << 3, b"", 480),
        (3 << 3, b"", 2_880),
        (9 << 3, b"", 960),
        (12 << 3, b"", 480),
        (16 << 3, b"", 120),
        (31 << 3, b"", 960),
        (31 << 3 | 1, b"", 1_920),
        (31 << 3 | 2, b"", 1_920),
        (16 << 3 | 3, b"\x30", 5_760),
        (3 << 3 | 3, b"\x03", 0),  # 180 ms: longer than any packet
        (31 << 3 | 3, b"", 0),
    ],
)
def test_the_first_octets_tell_how_long_a_packet_is(toc, more, ticks):
    assert ticks_of(bytes([toc]) + more) == ticks


def test_nothing_is_no_packet():
    assert ticks_of(b"") == 0


def test_an_encoders_packets_are_as_long_as_they_are():
    encode = OpusEncoder().encode
    assert {ticks_of(encode(frame)) for frame in frames(2)} == {FRAME_TICKS}


@given(st.binary(min_size=1, max_size=200))
def test_no_payload_raises_and_each_gives_as_much_as_it_says(payload):
    decoder = OpusDecoder()
    for _ in range(2):
        assert len(decoder.decode(payload)) == 2 * (ticks_of(payload) // 3)
    assert ticks_of(payload) <= MAX_PACKET_TICKS


@given(st.integers(0, 6_000))
def test_concealment_is_as_long_as_asked_for(samples):
    assert len(OpusDecoder().conceal(samples)) == 2 * samples


def test_a_lost_packet_is_found_again_in_the_next_one():
    encode, decoder, source = OpusEncoder(loss_percent=20).encode, OpusDecoder(), frames(6)
    packets = [encode(frame) for frame in source]
    recovered: list[bytes] = []
    concealed: list[bytes] = []
    for fec, heard in ((True, recovered), (False, concealed)):
        decoder = OpusDecoder()
        for n, payload in enumerate(packets[:-1]):
            if n % 8 != 4:
                heard.append(decoder.decode(payload))
            elif fec:
                heard.append(decoder.recover(packets[n + 1], FRAME_SAMPLES))
            else:
                heard.append(decoder.conceal(FRAME_SAMPLES))
    whole = OpusDecoder()
    pristine = np.frombuffer(b"".join(whole.decode(payload) for payload in packets[:-1]), np.int16).astype(float)

    def error(heard: list[bytes]) -> float:
        lost = [n for n in range(len(heard)) if n % 8 == 4]
        mine = np.frombuffer(b"".join(heard), np.int16).astype(float)
        return sum(
            float(np.sum((mine[n * 320 : n * 320 + 320] - pristine[n * 320 : n * 320 + 320]) ** 2)) for n in lost
        )

    assert error(recovered) < error(concealed) / 2


def test_silence_is_encoded_until_it_has_settled_and_then_repeated():
    encode = encoder(WireCodec.OPUS, Codec.L16_16K)
    assert encode is not None
    silence = bytes(2 * FRAME_SAMPLES)
    encode(frames(0.02)[0])
    packets = [encode(silence) for _ in range(50)]
    assert len({id(payload) for payload in packets[12:]}) == 1, "the very same packet"
    decode = OpusDecoder().decode
    heard = np.frombuffer(b"".join(map(decode, packets)), np.int16)
    assert np.abs(heard[-FRAME_SAMPLES * 30 :].astype(int)).max() < 30


@pytest.mark.parametrize("leg", [Codec.L16_16K, Codec.PCMU])
def test_a_stream_without_loss_is_handed_on_at_once_and_whole(leg):
    line, talker, source = Line(config(leg=leg)), Talker(), frames(4)
    for frame in source:
        line.now += 0.02
        assert line.arrive(talker.next(frame)), "at once"
    samples = len(line.audio) // leg.bytes_per_sample
    assert samples == pytest.approx(4 * leg.sample_rate_hz, abs=leg.sample_rate_hz // 40)
    assert line.receiver.stats()["concealed_samples"] == 0


def test_stereo_is_heard_as_one_voice():
    payload = bytes([9 << 3 | 4, *range(40)])  # 20 ms of two channels
    assert len(OpusDecoder().decode(payload)) == 2 * FRAME_SAMPLES


@pytest.mark.parametrize(
    "model",
    [Impairment(loss=0.01, delay_s=0.02, jitter_s=0.01), Impairment(loss=0.05, burst=3.0, delay_s=0.04, jitter_s=0.03)],
    ids=["1 %", "5 % in bursts"],
)
@pytest.mark.parametrize("seed", range(2))
def test_loss_leaves_no_standing_delay_and_no_stall(model, seed):
    seconds = 60
    path, talker, arrivals = ImpairedPath(model, seed), Talker(), []
    source = frames(seconds)
    for n, frame in enumerate(source):
        path.receive(talker.next(frame), 0.02 * (n + 1))
        while (due := path.next_deadline()) is not None and due <= 0.02 * (n + 2):
            path.handle_deadline(due)
            while (datagram := path.poll()) is not None:
                arrivals.append((due, datagram))
    line = Line(config())
    line.run(arrivals)
    stats = line.receiver.stats()
    assert stats["lost"] > 10
    assert stats["recovered_samples"] > 0
    stalls = [after - before for (before, _), (after, _) in pairwise(line.outputs)]
    assert max(stalls[5:]) <= 0.060 + model.jitter_s
    fixed_s = model.delay_s + model.jitter_s
    for at, octets in line.outputs[5:]:
        assert at - octets / 2 / RATE_HZ <= fixed_s + 0.02 + 0.060, "behind by no more than one gap"
    late_s = [at - octets / 2 / RATE_HZ for at, octets in line.outputs]
    assert np.median(late_s[-500:]) - np.median(late_s[100:600]) <= 0.020, "no delay that stays"
    assert np.median(correlations(bytes(line.audio), b"".join(source))) > 0.85


def test_a_sender_that_pauses_keeps_media_time():
    """Discontinuous transmission: tiny packets every 0.4 s while nobody speaks."""
    line, talker, source = Line(config()), Talker(), frames(3)
    for n, frame in enumerate(source[:50]):
        line.run_until(0.02 * n)
        line.arrive(talker.next(frame))
    for n in range(50, 150):
        at = 0.02 * n
        line.run_until(at)
        datagram = talker.next(bytes(2 * FRAME_SAMPLES))
        if n % 20 == 10:
            line.arrive(datagram[:12] + bytes([9 << 3]))
        else:
            talker.sequence -= 1  # never sent: its number is the next one's
    for n in range(150, 200):
        line.run_until(0.02 * n)
        line.arrive(talker.next(source[n % 150]))
    assert len(line.audio) / 2 / RATE_HZ == pytest.approx(4.0, abs=0.1)
    stats = line.receiver.stats()
    assert stats["quiet_samples"] > stats["concealed_samples"]
    assert DTX_BYTES == 2


def test_an_hour_with_a_drifting_clock_and_loss_stays_exact():
    drift, rng = 100e-6, random.Random(5)
    encode = OpusEncoder().encode
    payloads = [encode(frame) for frame in frames(2)]
    receiver = RtpReceiver(config(), 0.0)
    samples, sequence, timestamp = 0, 100, 7
    now = 0.0
    for n in range(3_600 * 50):
        now = 0.02 * n * (1 + drift)
        while receiver.next_deadline() <= now:
            samples += len(receiver.handle_deadline(receiver.next_deadline())) // 2
        if rng.random() >= 0.01:
            payload = payloads[n % len(payloads)]
            samples += len(receiver.receive(packet(sequence, timestamp, payload, payload_type=TYPE), now)) // 2
        sequence = sequence + 1 & 0xFFFF
        timestamp = timestamp + FRAME_TICKS & 0xFFFF_FFFF
    assert samples == receiver.media_samples
    assert samples / RATE_HZ == pytest.approx(3_600, abs=0.5)


@given(st.lists(st.tuples(st.binary(max_size=60), st.integers(0, 3)), max_size=30))
def test_no_datagram_of_garbage_raises_or_breaks_the_clock(inputs):
    receiver, now, samples = RtpReceiver(config(), 0.0), 0.0, 0
    for n, (payload, jump) in enumerate(inputs):
        now += 0.02
        data = packet(n + jump, n * FRAME_TICKS + jump * 77, payload, payload_type=TYPE)
        samples += len(receiver.receive(data, now)) // 2
        samples += len(receiver.handle_deadline(now)) // 2
        assert samples == receiver.media_samples
