"""Opus as a codec, over libopus. Its streams are in ``test_opus_stream``."""

import ctypes.util
import importlib.util
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.filler import Filler
from gateway.rtp.transcode import WireCodec, decoding, encoder
from tests.gateway.rtp.opus_speech import correlations, frames, samples
from wire.audio import opus
from wire.audio.codecs import Codec
from wire.audio.comfort_noise import quiet_frames
from wire.audio.opus import (
    BITRATE_BPS,
    DTX_BYTES,
    FRAME_SAMPLES,
    MAX_PACKET_TICKS,
    RATE_HZ,
    OpusDecoder,
    OpusEncoder,
    OpusMissingError,
    has_repeat,
    packet_ms,
    require_libopus,
    ticks_of,
)

SILENCE = bytes(2 * FRAME_SAMPLES)


@pytest.mark.parametrize(("bitrate_bps", "loss_percent"), [(BITRATE_BPS, 0), (32_000, 10)])
def test_every_second_of_speech_comes_through(bitrate_bps, loss_percent):
    encode, decode = OpusEncoder(bitrate_bps, loss_percent=loss_percent).encode, OpusDecoder().decode
    source = frames()
    packets = [encode(frame) for frame in source]
    heard = b"".join(map(decode, packets))
    assert len(heard) == len(source) * 2 * FRAME_SAMPLES
    assert len(found := correlations(heard, b"".join(source))) >= 9
    assert min(found) >= 0.95
    assert sum(map(len, packets)) * 8 / 11 <= 1.05 * bitrate_bps


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
        (31 << 3 | 3, b"\x00", 0),
        (31 << 3 | 3, b"", 0),
    ],
)
def test_the_first_octets_tell_how_long_a_packet_is(toc, more, ticks):
    assert ticks_of(bytes([toc]) + more) == ticks


def test_nothing_is_no_packet():
    assert (ticks_of(b""), has_repeat(b""), OpusDecoder().decode(b"")) == (0, False, b"")


@pytest.mark.parametrize("size_ms", [10, 20, 40, 60])
def test_packets_are_as_long_as_what_they_were_made_of(size_ms):
    speech = b"".join(frames(3.0))
    size = 2 * RATE_HZ * size_ms // 1_000
    encode, decode = OpusEncoder().encode, OpusDecoder().decode
    packets = [encode(speech[at : at + size]) for at in range(0, len(speech), size)]
    assert {ticks_of(payload) for payload in packets} == {48 * size_ms}
    assert {len(decode(payload)) for payload in packets} == {size}


def test_a_packet_is_no_longer_than_asked_for():
    assert [packet_ms(asked) for asked in (10, 20, 30, 40, 50, 60)] == [10, 20, 20, 40, 40, 60]


def test_stereo_is_heard_as_one_voice():
    payload = bytes([9 << 3 | 4, *range(40)])  # 20 ms of two channels
    assert len(OpusDecoder().decode(payload)) == 2 * FRAME_SAMPLES


@given(st.binary(min_size=1, max_size=200))
def test_no_payload_raises_and_each_gives_what_it_says_or_nothing(payload):
    decoder = OpusDecoder()
    for _ in range(2):
        assert len(decoder.recover(payload)) in (0, 2 * (ticks_of(payload) // 3))
        assert len(decoder.decode(payload)) in (0, 2 * (ticks_of(payload) // 3))
    assert ticks_of(payload) <= MAX_PACKET_TICKS


@given(st.data())
def test_a_damaged_packet_is_as_long_as_a_whole_one_or_nothing(data):
    encode, decoder = OpusEncoder().encode, OpusDecoder()
    for frame in frames(0.4)[10:]:
        payload = bytearray(encode(frame))
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
        damaged = bytes(payload[: data.draw(st.integers(1, len(payload)))])
        assert len(decoder.decode(damaged)) in (0, 2 * (ticks_of(damaged) // 3))
    assert len(decoder.decode(encode(SILENCE))) == len(SILENCE), "a whole one is decoded after it"


def test_only_packets_that_repeat_the_one_before_say_so():
    """As libopus reads them, where it can be asked (from 1.5 on)."""
    speech = b"".join(frames())
    shares = []
    for loss_percent in (0, 10):
        encode = OpusEncoder(loss_percent=loss_percent).encode
        packets = [encode(frame) for frame in frames()]
        shares.append(sum(map(has_repeat, packets)) / len(packets))
    assert shares[0] == 0.0
    assert shares[1] > 0.5, "at this rate there is room for repeats; pauses need none"
    ask = getattr(opus._library(), "opus_packet_has_lbrr", lambda payload, _octets: has_repeat(payload))
    for size_ms in (10, 20, 40, 60):
        size = 2 * RATE_HZ * size_ms // 1_000
        encode = OpusEncoder().encode
        for at in range(0, len(speech) - size, size):
            payload = encode(speech[at : at + size])
            assert has_repeat(payload) == (ask(payload, len(payload)) == 1)


def test_a_lost_packet_is_found_again_in_the_next_one():
    encode = OpusEncoder().encode
    packets = [encode(frame) for frame in frames()]
    whole = OpusDecoder()
    pristine = [whole.decode(payload) for payload in packets]

    def error(*, fec: bool) -> float:
        decoder, filler, total = OpusDecoder(), Filler(Codec.L16_16K), 0.0
        for n, payload in enumerate(packets[:-1]):
            if n % 8 != 4 or not has_repeat(packets[n + 1]):
                filler.keep(decoder.decode(payload))
                continue
            heard = decoder.recover(packets[n + 1]) if fec else filler.fill(FRAME_SAMPLES, quiet=False)
            assert len(heard) == len(pristine[n])
            total += float(np.sum((samples(heard).astype(float) - samples(pristine[n])) ** 2))
        return total

    assert error(fec=True) < error(fec=False) / 3


def test_a_packet_that_repeats_nothing_recovers_nothing():
    encode = OpusEncoder(BITRATE_BPS, loss_percent=0).encode
    packets = [encode(frame) for frame in frames(1.0)]
    assert OpusDecoder().recover(packets[-1]) == b""


def test_a_pause_becomes_packets_of_an_octet_or_two():
    encode = OpusEncoder(dtx=True).encode
    for frame in frames(1.0):
        encode(frame)
    sizes = [len(encode(SILENCE)) for _ in range(100)]
    assert sum(size > DTX_BYTES for size in sizes[20:]) <= 6, "what is left says every 0.4 s how the pause sounds"
    assert min(sizes) <= DTX_BYTES


def test_the_noise_of_pauses_is_encoded_once_it_has_settled_and_then_repeated():
    encode = encoder(WireCodec.OPUS, Codec.L16_16K)
    assert encode is not None
    encode(frames(1.0)[-1])
    noise = quiet_frames(Codec.L16_16K, FRAME_SAMPLES)
    packets = [encode(noise[n % len(noise)]) for n in range(200)]
    assert len({id(payload) for payload in packets[10:]}) == len(noise), "the very same packets"
    assert np.mean([len(packet) for packet in packets[10:]]) < 100
    heard = samples(b"".join(map(OpusDecoder().decode, packets)))[-FRAME_SAMPLES * 100 :].astype(float)
    assert 3 < np.sqrt(np.mean(heard**2)) < 60
    assert np.abs(heard).max() < 300


def test_speech_after_silence_that_was_repeated_is_as_good_as_any():
    source = [*frames(3.0)[50:], *[SILENCE] * 100, *frames(11.0)[150:]]
    encode, decode = encoder(WireCodec.OPUS, Codec.L16_16K), OpusDecoder().decode
    assert encode is not None
    heard = b"".join(decode(encode(frame)) for frame in source)
    assert len(found := correlations(heard, b"".join(source))) >= 8
    assert min(found) >= 0.95


@pytest.mark.parametrize(
    ("limit_bps", "fec", "most_bps", "repeats"),
    [(510_000, True, 33_000, True), (510_000, False, 25_000, False), (16_000, True, 17_000, False)],
)
def test_what_the_peer_asks_for_is_kept(limit_bps, fec, most_bps, repeats):
    encode = encoder(WireCodec.OPUS, Codec.L16_16K, bitrate_bps=limit_bps, fec=fec)
    assert encode is not None
    packets = [encode(frame) for frame in frames()]
    assert sum(map(len, packets)) * 8 / 11 <= most_bps
    assert any(map(has_repeat, packets)) == repeats


@pytest.mark.parametrize("leg", [Codec.PCMU, Codec.PCMA, Codec.L16_24K])
def test_a_leg_of_another_rate_hears_what_was_said(leg):
    how, encode, source = decoding(WireCodec.OPUS, leg), OpusEncoder().encode, frames()
    assert how.decode is not None
    heard = [how.decode(encode(frame)) for frame in source]
    assert {len(piece) for piece in heard} == {leg.sample_rate_hz // 50 * leg.bytes_per_sample}


def test_without_libopus_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(opus, "_library", cache(opus._library.__wrapped__))
    monkeypatch.setattr(opus, "find_spec", lambda _name: None)
    monkeypatch.setattr(ctypes.util, "find_library", lambda _name: None)
    for use in (require_libopus, OpusDecoder, OpusEncoder):
        with pytest.raises(OpusMissingError, match=r"twowire\[webrtc\]"):
            use()


def test_the_library_of_pyav_is_found_beside_it(monkeypatch, tmp_path):
    monkeypatch.setattr(ctypes.util, "find_library", lambda _name: None)
    for place, name in (("av.libs", "libopus-1a2b.so.0.11.1"), ("av/.dylibs", "libopus.0.dylib")):
        home = tmp_path / name
        (home / "av").mkdir(parents=True)
        (home / place).mkdir(exist_ok=True)
        library = home / place / name
        library.touch()
        spec = importlib.util.spec_from_file_location("av", home / "av" / "__init__.py")
        monkeypatch.setattr(opus, "find_spec", lambda _name, spec=spec: spec)
        assert opus._find() == str(library)
