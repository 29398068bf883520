"""The Wyoming protocol's events as bytes, whole and in pieces, and as the published package reads and writes them."""

import asyncio
import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wyoming.event import Event as PublishedEvent
from wyoming.event import async_read_event, write_event

from model_worker.duplex.cascade.wyoming import (
    MAX_DATA_BYTES,
    MAX_LINE_BYTES,
    MAX_PAYLOAD_BYTES,
    Event,
    Events,
    WyomingError,
    write,
)

EVENTS = [
    Event("synthesize", {"text": "José 🥐\n", "voice": {"name": "alba"}}),
    Event("audio-chunk", {"rate": 22_050, "width": 2, "channels": 1}, bytes(range(256))),
    Event("audio-stop"),
    Event("future", {}, b"{}\n"),
]


def published(event: Event) -> bytes:
    file = io.BytesIO()
    write_event(PublishedEvent(event.type, event.data, event.payload or None), file)
    return file.getvalue()


@given(st.booleans(), st.lists(st.integers(0, 2_000), max_size=8))
def test_any_split_gives_the_same_events(ours: bool, cuts: list[int]) -> None:
    whole = b"".join(write(event) if ours else published(event) for event in EVENTS)
    places = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    reader = Events()
    assert [event for start, end in pairwise(places) for event in reader.feed(whole[start:end])] == EVENTS


async def test_the_published_package_reads_what_is_written_here() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(write(event) for event in EVENTS))
    reader.feed_eof()
    for event in EVENTS:
        read = await async_read_event(reader)
        assert read is not None
        assert (read.type, read.data, read.payload or b"") == (event.type, event.data, event.payload)


def test_data_in_the_line_counts_too() -> None:
    assert Events().feed(b'{"type":"info","data":{"a":1},"data_length":7}\n{"b":2}') == [
        Event("info", {"a": 1, "b": 2})
    ]


@pytest.mark.parametrize(
    "received",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"[]\n",
        b'{"type":7}\n',
        b'{"data_length":1}\n',
        b'{"type":"a","data_length":-1}\n',
        b'{"type":"a","payload_length":-1}\n',
        f'{{"type":"a","data_length":{MAX_DATA_BYTES + 1}}}\n'.encode(),
        f'{{"type":"a","payload_length":{MAX_PAYLOAD_BYTES + 1}}}\n'.encode(),
        b'{"type":"a","data_length":2}\n[]',
        b'{"type":"a","data_length":2}\n\xff\xff',
        b"[" * (MAX_LINE_BYTES + 1),
        b"[" * MAX_LINE_BYTES + b"\n",
    ],
)
def test_what_is_no_event_is_told(received: bytes) -> None:
    with pytest.raises(WyomingError):
        Events().feed(received)


@given(st.binary(max_size=300))
def test_garbage_does_no_more_than_that(received: bytes) -> None:
    reader = Events()
    try:
        reader.feed(received)
    except WyomingError:
        return
