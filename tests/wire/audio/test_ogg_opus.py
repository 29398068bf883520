"""Ogg Opus streams: what is written is read again, by us in any split of bytes and by FFmpeg, and damage is noticed."""

import io
from contextlib import suppress
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.audio.ogg_opus import MAX_PACKET_BYTES, OggError, OggOpusReader, OggOpusWriter, checksum
from wire.audio.opus import CLOCK_HZ, OpusDecoder, OpusEncoder

RATE_HZ = 24_000
FRAME_SAMPLES = RATE_HZ // 50

_pages = st.lists(st.lists(st.binary(max_size=600), max_size=8), max_size=6)


def written(pages: list[list[bytes]]) -> bytes:
    writer = OggOpusWriter(RATE_HZ)
    return writer.begin() + b"".join(writer.page(packets, 960 * len(packets)) for packets in pages)


def repaired(page: bytes) -> bytes:
    """With the right checksum."""
    return page[:22] + checksum(page[:22] + bytes(4) + page[26:]).to_bytes(4, "little") + page[26:]


@given(_pages, st.lists(st.integers(0, 4_000), max_size=12))
def test_any_split_of_the_bytes_gives_the_same_packets(pages, cuts):
    stream = written(pages)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = OggOpusReader()
    packets = [packet for at, end in pairwise(places) for packet in reader.push(stream[at:end])]
    assert packets == [packet for page in pages for packet in page]
    assert reader.pre_skip_ticks == 312


@given(_pages, st.data())
def test_nothing_is_told_of_a_damaged_page_and_of_those_behind_it(pages, data):
    ends = [len(written(pages[:count])) for count in range(len(pages) + 1)]
    place = data.draw(st.integers(0, ends[-1] - 1))
    stream = bytearray(written(pages))
    stream[place] ^= data.draw(st.integers(1, 255))
    reader = OggOpusReader()
    packets: list[bytes] = []
    with suppress(OggError):  # or it waits for more, where a length grew
        for at in range(len(stream)):
            packets += reader.push(bytes(stream[at : at + 1]))
    before = pages[: max(0, sum(end <= place for end in ends) - 1)]
    assert packets == [packet for page in before for packet in page]


@given(st.binary(max_size=4_000))
def test_whatever_bytes_come_it_is_an_error_of_the_stream_or_nothing(octets):
    with suppress(OggError):
        assert OggOpusReader().push(octets) == []


def test_a_packet_that_goes_on_in_the_next_page_is_one_packet():
    writer = OggOpusWriter(RATE_HZ)
    reader = OggOpusReader()
    reader.push(writer.begin())
    packet = bytes(range(256)) * 2
    first = writer.page([packet[:510]], 0)
    first = repaired(first[:26] + b"\x02" + first[27:29] + first[30:])  # without the segment of 0 that ends the packet
    second = writer.page([packet[510:]], 960)
    assert reader.push(first) == []
    assert reader.push(repaired(second[:5] + b"\x01" + second[6:])) == [packet]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda page: b"NotO" + page[4:], "no page"),
        (lambda page: repaired(page[:4] + b"\x01" + page[5:]), "version"),
        (lambda page: repaired(page[:5] + b"\x01" + page[6:]), "does not go on"),
        (lambda page: repaired(page[:14] + b"\x07" + page[15:]), "another stream"),
        (lambda page: page[:-1] + b"\x00", "checksum"),
    ],
)
def test_a_page_that_is_not_of_the_stream_says_so(spoil, says):
    writer = OggOpusWriter(RATE_HZ)
    reader = OggOpusReader()
    reader.push(writer.begin())
    with pytest.raises(OggError, match=says):
        reader.push(spoil(writer.page([b"sound"], 960)))


@pytest.mark.parametrize(
    ("place", "octet", "says"),
    [(28, b"X", "no head"), (36, b"\x10", "version"), (37, b"\x03", "more than one voice"), (46, b"\x01", "voice")],
)
def test_a_stream_of_something_else_is_refused(place, octet, says):
    page = OggOpusWriter(RATE_HZ).begin()[: 28 + 19]
    with pytest.raises(OggError, match=says):
        OggOpusReader().push(repaired(page[:place] + octet + page[place + 1 :]))


def test_a_packet_without_end_is_refused():
    writer = OggOpusWriter(RATE_HZ)
    reader = OggOpusReader()
    reader.push(writer.begin())
    page = writer.page([bytes(254 * 255)], 0)
    page = page[:26] + b"\xfe" + page[27 : 27 + 254] + page[27 + 255 :]
    with pytest.raises(OggError, match=str(MAX_PACKET_BYTES)):
        reader.push(repaired(page))


def test_ffmpeg_hears_in_our_stream_what_we_said():
    encoder, writer = OpusEncoder(loss_percent=0, rate_hz=RATE_HZ), OggOpusWriter(RATE_HZ)
    tone = (8_000 * np.sin(2 * np.pi * 400 * np.arange(12 * 4 * FRAME_SAMPLES) / RATE_HZ)).astype("<i2")
    stream = writer.begin()
    for chunk in tone.reshape(-1, 4, FRAME_SAMPLES):
        stream += writer.page([encoder.encode(frame.tobytes()) for frame in chunk], CLOCK_HZ * 80 // 1_000)
    with av.open(io.BytesIO(stream), "r", format="ogg") as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    power = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert abs(len(heard) - 2 * len(tone)) < CLOCK_HZ // 50
    assert abs(power.argmax() * CLOCK_HZ / len(heard) - 400) < 5


def test_what_ffmpeg_writes_is_read():
    file = io.BytesIO()
    tone = (8_000 * np.sin(2 * np.pi * 500 * np.arange(CLOCK_HZ) / CLOCK_HZ)).astype(np.int16)
    with av.open(file, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=CLOCK_HZ, layout="mono")
        for at in range(0, CLOCK_HZ, 960):
            frame = av.AudioFrame.from_ndarray(tone[None, at : at + 960], format="s16", layout="mono")
            frame.sample_rate = CLOCK_HZ
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    reader, decoder = OggOpusReader(), OpusDecoder(RATE_HZ)
    heard = np.frombuffer(b"".join(map(decoder.decode, reader.push(file.getvalue()))), "<i2")
    power = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert abs(len(heard) - RATE_HZ) <= 3 * FRAME_SAMPLES
    assert abs(power.argmax() * RATE_HZ / len(heard) - 500) < 5
