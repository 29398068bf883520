"""Streams of Opus through loss, reordering, pauses, garbage and drift. Time is a number."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.receiver import RtpReceiver
from gateway.rtp.transcode import Decoding
from tests.gateway.rtp.network import PCMU, Line, Sender, packet
from tests.gateway.rtp.opus_speech import FRAME_TICKS, TYPE, Talker, config, correlations, frames, samples
from tests.interop.impairment import ImpairedPath, Impairment
from wire.audio.codecs import Codec
from wire.audio.g711 import decode
from wire.audio.opus import DTX_BYTES, FRAME_SAMPLES, RATE_HZ, OpusDecoder, OpusEncoder, has_repeat, ticks_of

SILENCE = bytes(2 * FRAME_SAMPLES)
FRAME_BYTES = 2 * FRAME_SAMPLES


def talking(line: Line, talker: Talker, source: list[bytes]) -> None:
    """A packet at once, and one every 20 ms after it."""
    for frame in source:
        line.arrive(talker.next(frame))
        line.now += 0.02


@pytest.mark.parametrize("leg", [Codec.L16_16K, Codec.L16_24K, Codec.PCMU])
def test_a_stream_without_loss_is_handed_on_at_once_and_whole(leg):
    line, talker, source = Line(config(leg)), Talker(), frames(4)
    for frame in source:
        assert len(line.arrive(talker.next(frame))) == leg.sample_rate_hz // 50 * leg.bytes_per_sample
        line.now += 0.02
    assert len(line.audio) == 4 * leg.sample_rate_hz * leg.bytes_per_sample
    assert line.receiver.media_samples == 4 * leg.sample_rate_hz
    assert line.receiver.stats()["concealed_samples"] == 0


def test_every_second_of_a_stream_is_its_source():
    line, source = Line(config()), frames()
    talking(line, Talker(), source)
    assert len(found := correlations(bytes(line.audio), b"".join(source))) >= 9
    assert min(found) >= 0.95


def test_swapped_packets_are_heard_in_order():
    straight, swapped = Line(config()), Line(config())
    talker = Talker()
    datagrams = [talker.next(frame) for frame in frames(4)]
    order = list(range(len(datagrams)))
    for n in range(20, len(order) - 1, 7):
        order[n], order[n + 1] = order[n + 1], order[n]
    for line, way in ((straight, range(len(datagrams))), (swapped, order)):
        for n in way:
            line.now += 0.02
            line.arrive(datagrams[n])
    assert straight.audio == swapped.audio
    assert swapped.receiver.stats()["reordered"] > 20


def repeating_places(datagrams: list[bytes]) -> list[int]:
    """Packets far enough apart that the next one has a copy of."""
    found: list[int] = []
    for n in range(20, len(datagrams) - 1):
        if has_repeat(datagrams[n + 1][12:]) and n - (found or [0])[-1] > 10:
            found.append(n)
    return found


@pytest.mark.parametrize("leg", [Codec.L16_16K, Codec.PCMU])
def test_one_lost_packet_comes_out_of_the_next_one(leg):
    whole, talker = Line(config(leg)), Talker()
    datagrams = [talker.next(frame) for frame in frames(6)]
    lost = repeating_places(datagrams)
    holed, plain = Line(config(leg)), Line(config(leg, without_repeats(leg)))
    for line in (whole, holed, plain):
        for n, datagram in enumerate(datagrams):
            line.run_until(0.02 * n)
            if line is whole or n not in lost:
                line.arrive(datagram)
    size = leg.sample_rate_hz // 50 * leg.bytes_per_sample
    stats = holed.receiver.stats()
    assert (stats["recovered"], stats["lost"], stats["concealed_samples"]) == (len(lost), len(lost), 0)
    assert len(holed.audio) == len(whole.audio) == len(plain.audio)
    assert plain.receiver.stats()["concealed_samples"] == len(lost) * size // leg.bytes_per_sample

    def error(line: Line) -> float:
        return sum(_distance(whole.audio, line.audio, n * size, size, leg) for n in lost)

    assert error(holed) < error(plain) / 3


def without_repeats(leg: Codec) -> Decoding:
    how = config(leg)
    return Decoding(how.decode, how.ticks_of, None, how.pause_bytes)


def _distance(one: bytearray, other: bytearray, start: int, size: int, leg: Codec) -> float:
    pieces = [decode(leg, bytes(audio[start : start + size])).astype(float) for audio in (one, other)]
    return float(np.sum((pieces[0] - pieces[1]) ** 2))


def test_of_two_lost_packets_the_second_is_recovered():
    line, talker = Line(config()), Talker()
    datagrams = [talker.next(frame) for frame in frames(4)]
    at = repeating_places(datagrams)[3]
    for n, datagram in enumerate(datagrams):
        line.run_until(0.02 * n)
        if n not in (at - 1, at):
            line.arrive(datagram)
    stats = line.receiver.stats()
    assert (stats["recovered"], stats["concealed_samples"]) == (1, FRAME_SAMPLES)
    assert len(line.audio) == len(datagrams) * FRAME_BYTES


def test_what_the_local_clock_already_made_is_not_made_again_from_a_repeat():
    line, talker = Line(config()), Talker()
    datagrams = [talker.next(frame) for frame in frames(4)]
    at = repeating_places(datagrams)[3]
    for n, datagram in enumerate(datagrams[:at]):
        line.run_until(0.02 * n)
        line.arrive(datagram)
    late = 0.02 * at + 0.1  # the path halts; when it goes on, the clock has already filled in a part
    line.run_until(late)
    made = len(line.audio) - at * FRAME_BYTES
    assert made > 0
    for n in range(at + 1, at + 60):
        line.run_until(max(late, 0.02 * n))
        line.arrive(datagrams[n])
    assert len(line.audio) == (at + 60) * FRAME_BYTES


MODELS = {
    "1 %": Impairment(loss=0.01, delay_s=0.02, jitter_s=0.01),
    "5 % in bursts": Impairment(loss=0.05, burst=3.0, delay_s=0.04, jitter_s=0.03),
}


def received(model: Impairment, seed: int, source: list[bytes]) -> Line:
    """What comes of ``source`` through a path like that."""
    path, talker, line = ImpairedPath(model, seed), Talker(), Line(config())
    arrivals = []
    for n, frame in enumerate(source):
        path.receive(talker.next(frame), 0.02 * (n + 1))
        while (due := path.next_deadline()) is not None and due <= 0.02 * (n + 2):
            path.handle_deadline(due)
            while (datagram := path.poll()) is not None:
                arrivals.append((due, datagram))
    line.run(arrivals)
    return line


def lateness_s(line: Line) -> list[float]:
    """Of each piece of audio: when it came out, less the place of its first sample in the stream."""
    return [at - octets / 2 / RATE_HZ for (_, octets), (at, _) in pairwise(line.outputs)][5:]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_loss_adds_no_more_than_20_ms_and_never_stalls_for_60(name, seed):
    model, source = MODELS[name], frames(60)
    clean, lossy = received(replace(model, loss=0.0, burst=1.0), seed, source), received(model, seed, source)
    stats = lossy.receiver.stats()
    assert stats["lost"] > 10
    assert stats["recovered"] > 5
    assert np.mean(lateness_s(lossy)) - np.mean(lateness_s(clean)) <= 0.020
    assert np.median(lateness_s(lossy)[-500:]) - np.median(lateness_s(clean)[-500:]) <= 0.020, "no delay that stays"
    assert max(lateness_s(lossy)) - max(lateness_s(clean)) <= 0.060, "after the slowest packet would have brought it"
    assert abs(len(lossy.audio) - len(clean.audio)) <= 3 * FRAME_BYTES
    found = correlations(bytes(lossy.audio), b"".join(source[: 50 * 12]))
    assert np.median(found) >= (0.95 if name == "1 %" else 0.85)


def test_a_sender_that_pauses_keeps_media_time_and_the_clock_of_chunks():
    """A real encoder with DTX: a packet or two every 0.4 s while nobody speaks."""
    line, talker = Line(config()), Talker(OpusEncoder(dtx=True))
    source = [*frames(3.0)[50:], *[SILENCE] * 200, *frames(4.0)[150:]]
    sent = 0
    for n, frame in enumerate(source):
        line.run_until(0.02 * n)
        if (datagram := talker.next_or_pause(frame)) is not None:
            sent += 1
            line.arrive(datagram)
    assert sent < 200, "most of the pause was not sent"
    stats = line.receiver.stats()
    assert stats["lost"] == 0
    assert stats["concealed_samples"] <= 3 * FRAME_SAMPLES
    assert stats["quiet_samples"] > 3 * RATE_HZ
    assert len(line.audio) == len(source) * FRAME_BYTES
    stalls = [after - before for (before, _), (after, _) in pairwise(line.outputs)]
    assert max(stalls) <= 0.08, "chunks are closed in time in the middle of a pause"
    after = samples(bytes(line.audio[300 * FRAME_BYTES :])).astype(float)
    assert after.std() > 1_000, "and speech comes through after it"


def test_tiny_packets_say_that_the_sender_pauses():
    line, talker = Line(config()), Talker()
    talking(line, talker, frames(2.0)[50:])
    line.arrive(talker.send(bytes([9 << 3])))
    line.run_until(line.now + 0.4)
    stats = line.receiver.stats()
    assert stats["concealed_samples"] == 0
    assert stats["quiet_samples"] >= 0.36 * RATE_HZ


@pytest.mark.parametrize("drift", [-100e-6, 100e-6])
def test_an_hour_with_a_drifting_clock_and_loss_stays_exact(drift):
    chance = random.Random(5)
    payload = OpusEncoder().encode(frames(1.0)[-1])
    quick = Decoding(lambda payload: bytes(2 * (ticks_of(payload) // 3)), ticks_of, lambda _payload: b"", DTX_BYTES)
    receiver = RtpReceiver(config(how=quick), 0.0)
    handed, sequence, timestamp = 0, 100, 7
    for n in range(3_600 * 50):
        now = 0.02 * n * (1 + drift)
        while receiver.next_deadline() <= now:
            handed += len(receiver.handle_deadline(receiver.next_deadline())) // 2
        if chance.random() >= 0.01:
            handed += len(receiver.receive(packet(sequence, timestamp, payload, payload_type=TYPE), now)) // 2
        sequence = sequence + 1 & 0xFFFF
        timestamp = timestamp + FRAME_TICKS & 0xFFFF_FFFF
        if not n % 5_000:
            assert handed == receiver.media_samples
            assert (n + 1) * FRAME_SAMPLES - handed <= 3 * FRAME_SAMPLES, "each chunk closes in time"
    assert handed == receiver.media_samples
    assert abs(handed - 3_600 * RATE_HZ) <= 3 * FRAME_SAMPLES, "by the sender's clock, to the packet"


BROKEN = {
    "cut short": bytes([9 << 3 | 3, 0x82]),  # two frames, the first one's length missing
    "of two unequal halves": bytes([9 << 3 | 1]) + b"odd octet",
}


@pytest.mark.parametrize("payload", BROKEN.values(), ids=BROKEN)
def test_a_broken_packet_is_concealed_for_as_long_as_it_says(payload):
    assert ticks_of(payload)
    assert OpusDecoder().decode(payload) == b""
    line, talker = Line(config()), Talker()
    source = frames(2.0)
    talking(line, talker, source[:60])
    before = len(line.audio)
    line.arrive(talker.send(payload))
    assert len(line.audio) - before == 2 * ticks_of(payload) // 3
    assert line.receiver.bad == {"payload": 1}
    talker.pause(ticks_of(payload) // FRAME_TICKS - 1)
    line.now += 0.02 * (ticks_of(payload) // FRAME_TICKS - 1)
    talking(line, talker, source[60:])
    assert len(line.audio) // 2 == line.receiver.media_samples


def test_a_broken_packet_out_of_order_counts_as_well():
    line, talker = Line(config()), Talker()
    source = frames(2.0)
    talking(line, talker, source[:60])
    broken, whole = talker.send(bytes([9 << 3 | 1]) + b"odd octet"), talker.next(source[60])
    assert not line.arrive(whole)
    line.arrive(broken)
    assert line.receiver.bad == {"payload": 1}
    assert len(line.audio) // 2 == line.receiver.media_samples


@pytest.mark.parametrize("payload", [bytes([3 << 3 | 3, 63]), bytes([9 << 3 | 3, 0]) + bytes(10)])
def test_a_packet_of_no_length_is_none(payload):
    line, talker = Line(config()), Talker()
    talking(line, talker, frames(1.0))
    assert len(line.arrive(talker.send(payload))) in (0, FRAME_BYTES)
    assert line.receiver.bad == {"payload": 1}
    line.now += 0.02
    talking(line, talker, frames(1.0))
    assert len(line.audio) == 101 * FRAME_BYTES


@given(st.lists(st.tuples(st.binary(max_size=60), st.integers(0, 3)), max_size=30), st.sampled_from(Codec))
def test_no_datagram_of_garbage_raises_or_breaks_the_clock(inputs, leg):
    receiver, now, octets = RtpReceiver(config(leg), 0.0), 0.0, 0
    encode = OpusEncoder().encode
    for n, (payload, jump) in enumerate(inputs):
        now += 0.02
        data = packet(n + jump, n * FRAME_TICKS + jump * 77, payload or encode(SILENCE), payload_type=TYPE)
        octets += len(receiver.receive(data, now))
        octets += len(receiver.handle_deadline(now))
        assert octets == receiver.media_samples * leg.bytes_per_sample


def test_another_rtp_clock_goes_on_at_the_same_place_of_the_stream():
    """A re-INVITE from PCMU to Opus and back."""
    line, phone, talker = Line(PCMU), Sender(), Talker()
    opus = config(Codec.PCMU)
    for _ in range(50):
        line.arrive(phone.next(bytes(range(160))))
        line.now += 0.02
    line.receiver.reconfigure(opus)
    assert line.receiver.media_samples == 50 * 160
    talking(line, talker, frames(1.0))
    line.receiver.reconfigure(PCMU)
    phone.skip(7)
    for _ in range(50):
        line.arrive(phone.next(bytes(range(160))))
        line.now += 0.02
    assert len(line.audio) == line.receiver.media_samples
    assert len(line.audio) == pytest.approx(150 * 160, abs=160)
    assert bytes(line.audio[-160:]) == bytes(range(160))
    stats = line.receiver.stats()
    assert (stats["received"], stats["lost"], stats["restarts"]) == (150, 0, 2)


def test_packets_that_waited_for_another_are_forgotten_with_their_clock():
    line, phone = Line(PCMU), Sender()
    for _ in range(10):
        line.arrive(phone.next(bytes(range(160))))
        line.now += 0.02
    phone.skip(1)
    assert not line.arrive(phone.next(bytes(160)))
    line.receiver.reconfigure(config(Codec.PCMU))
    line.run_until(line.now + 1.0)
    assert len(line.audio) == line.receiver.media_samples
    assert len(line.audio) == pytest.approx(60 * 160, abs=5 * 160)
