"""G.711 against the tables of the Recommendation, written out as decision and quantized values."""

from bisect import bisect_left, bisect_right

import numpy as np
import pytest

from wire.audio import g711
from wire.audio.codecs import Codec

ALL_CODES = bytes(range(256))
ALL_SAMPLES = np.arange(-32_768, 32_768).astype(np.int16)


def ulaw_decisions() -> list[int]:
    """Decision values x(1) to x(127) of table 2a, 14-bit: one interval of 1, then 15 of 2, then 16 each of 4 to 256."""
    widths = [1] + [2] * 15 + [2 << segment for segment in range(1, 8) for _ in range(16)]
    return [sum(widths[:n]) for n in range(1, 128)]


def alaw_decisions() -> list[int]:
    """Decision values x(1) to x(127) of table 1a, 12-bit magnitudes: 32 of 1, then 16 each of 2 to 64."""
    widths = [1] * 32 + [1 << segment for segment in range(1, 7) for _ in range(16)]
    return [sum(widths[:n]) for n in range(1, 128)]


def interval(decisions: list[int], magnitude: float, negative: bool) -> int:
    """Which interval holds the magnitude; on a boundary, negative samples take the inner one (one's complement)."""
    return bisect_left(decisions, magnitude) if negative else bisect_right(decisions, magnitude)


def test_every_sample_gets_the_ulaw_code_of_its_interval() -> None:
    decisions = ulaw_decisions()
    for sample, code in zip(ALL_SAMPLES.tolist(), g711.encode_ulaw(ALL_SAMPLES), strict=True):
        number = interval(decisions, abs(sample) / 4, sample < 0)
        assert code == (0x7F if sample < 0 else 0xFF) - number, sample


def test_every_sample_gets_the_alaw_code_of_its_interval() -> None:
    decisions = alaw_decisions()
    for sample, code in zip(ALL_SAMPLES.tolist(), g711.encode_alaw(ALL_SAMPLES), strict=True):
        number = interval(decisions, abs(sample) / 16, sample < 0)
        assert code == ((0x00 if sample < 0 else 0x80) | number) ^ 0x55, sample


def test_every_ulaw_code_decodes_to_the_middle_of_its_interval() -> None:
    edges = [-1, *ulaw_decisions(), 8_159]  # the innermost interval spans zero: -1 to 1
    decoded = g711.decode_ulaw(ALL_CODES)
    for number in range(128):
        middle = (edges[number] + edges[number + 1]) / 2 if number else 0
        assert decoded[0xFF - number] == 4 * middle
        assert decoded[0x7F - number] == -4 * middle


def test_every_alaw_code_decodes_to_the_middle_of_its_interval() -> None:
    edges = [0, *alaw_decisions(), 2_048]
    decoded = g711.decode_alaw(ALL_CODES)
    for number in range(128):
        middle = (edges[number] + edges[number + 1]) / 2
        assert decoded[(0x80 | number) ^ 0x55] == 16 * middle
        assert decoded[number ^ 0x55] == -16 * middle


def test_what_was_decoded_encodes_to_the_same_code() -> None:
    assert g711.encode_alaw(g711.decode_alaw(ALL_CODES)) == ALL_CODES
    kept = g711.encode_ulaw(g711.decode_ulaw(ALL_CODES))
    assert [code for code in range(256) if kept[code] != code] == [0x7F]  # minus zero has no sample of its own


@pytest.mark.parametrize("codec", list(Codec))
def test_silence_of_a_codec_decodes_to_its_smallest_value(codec: Codec) -> None:
    assert np.abs(g711.decode(codec, codec.silence * 10)).max() <= 8


@pytest.mark.parametrize("codec", list(Codec))
def test_a_batch_decodes_row_by_row(codec: Codec) -> None:
    rows = np.random.default_rng(1).integers(0, 256, (3, 320)).astype(np.uint8)
    batch = g711.decode(codec, rows)
    assert batch.shape == (3, 320 // codec.bytes_per_sample)
    for row, pcm in zip(rows, batch, strict=True):
        assert np.array_equal(pcm, g711.decode(codec, row.tobytes()))
        assert np.array_equal(pcm, g711.decode(codec, memoryview(row.tobytes())))


@pytest.mark.parametrize("codec", [Codec.L16_16K, Codec.L16_24K])
def test_linear_audio_crosses_unchanged(codec: Codec) -> None:
    assert g711.encode(codec, ALL_SAMPLES)[:4] == b"\x00\x80\x01\x80"  # little-endian
    assert np.array_equal(g711.decode(codec, g711.encode(codec, ALL_SAMPLES)), ALL_SAMPLES)


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="3 bytes of L16/16000"):
        g711.decode(Codec.L16_16K, b"abc")


def test_encode_follows_the_codec() -> None:
    pcm = np.array([0, 1_000, -1_000], np.int16)
    assert g711.encode(Codec.PCMU, pcm) == g711.encode_ulaw(pcm)
    assert g711.encode(Codec.PCMA, pcm) == g711.encode_alaw(pcm)
