"""Cutting the caller's audio."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.turn.chunker import Chunk, Chunker
from wire.audio.codecs import Codec

AUDIO = bytes(range(256)) * 60  # 15,360 bytes: four chunks of 0.4 s and a rest


def cut(pieces: list[bytes], chunk_ms: int = 400, first_chunk_ms: int = 400, codec: Codec = Codec.PCMU) -> list[Chunk]:
    chunker = Chunker(codec, chunk_ms, first_chunk_ms)
    return [chunk for piece in pieces for chunk in chunker.push(piece)]


@given(st.lists(st.integers(0, len(AUDIO)), max_size=40))
def test_any_split_of_the_input_gives_the_same_chunks(cuts: list[int]):
    at = [0, *sorted(cuts), len(AUDIO)]
    pieces = [AUDIO[a:b] for a, b in itertools.pairwise(at)]
    assert cut(pieces) == cut([AUDIO])


def test_chunk_n_covers_its_own_span_of_media_time():
    chunks = cut([AUDIO])
    assert [(chunk.index, chunk.start_samples, len(chunk.payload)) for chunk in chunks] == [
        (n, 3_200 * n, 3_200) for n in range(4)
    ]
    assert b"".join(chunk.payload for chunk in chunks) == AUDIO[: 4 * 3_200]


def test_the_first_unit_may_be_longer():
    chunks = cut([bytes(100_000)], chunk_ms=1_000, first_chunk_ms=1_035, codec=Codec.L16_16K)
    assert [(chunk.start_samples, len(chunk.payload)) for chunk in chunks] == [
        (0, 33_120),
        (16_560, 32_000),
        (32_560, 32_000),
    ]


@pytest.mark.parametrize("given_bytes", [0, 1, 3_199, 3_200, 3_201])
def test_missing_bytes_complete_the_chunk_exactly(given_bytes: int):
    chunker = Chunker(Codec.PCMU, 400, 400)
    list(chunker.push(bytes(given_bytes)))
    assert list(chunker.push(bytes(chunker.missing_bytes - 1))) == []
    assert len(list(chunker.push(b"\0"))) == 1
