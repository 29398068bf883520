"""What goes out to the caller, packet by packet."""

import struct
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.fade import fade_out
from gateway.rtp.sender import MAX_QUEUED_S, NoTelephoneEventsError, RtpSender, SenderConfig
from tests.speech import is_quiet
from wire.audio.codecs import Codec
from wire.audio.g711 import decode

SPEECH = b"\x11"
SILENCE = b"\xff"


class Sent(NamedTuple):
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def read(datagram) -> Sent:
    first, sequence, timestamp, ssrc = struct.unpack_from("!HHII", datagram)
    assert first >> 8 == 0x80
    return Sent(bool(first & 0x80), first & 0x7F, sequence, timestamp, ssrc, bytes(datagram[12:]))


def config(**changes) -> SenderConfig:
    fields: dict[str, Any] = {
        "codec": Codec.PCMU,
        "clock_hz": 8_000,
        "payload_type": 0,
        "ptime_ms": 20,
        "ssrc": 0xCAFE,
        "first_seq": 1_000,
        "first_timestamp": 5_000,
        "dtmf_type": 101,
    } | changes
    return SenderConfig(**fields)


def sender(**changes) -> RtpSender:
    return RtpSender(config(**changes))


def take(stream: RtpSender, packets: int) -> list[Sent]:
    return [read(stream.next_packet()) for _ in range(packets)]


def test_an_idle_stream_is_a_steady_stream_of_quiet_noise():
    packets = take(sender(), 3)
    assert [p.sequence for p in packets] == [1_000, 1_001, 1_002]
    assert [p.timestamp for p in packets] == [5_000, 5_160, 5_320]
    assert all(is_quiet(p.payload) for p in packets)
    assert len({p.payload for p in packets}) == 3, "one packet over and over would hum"
    assert {p.ssrc for p in packets} == {0xCAFE}


def test_the_noise_is_in_the_codec():
    assert is_quiet(take(sender(codec=Codec.PCMA, payload_type=8), 1)[0].payload, Codec.PCMA)


def test_only_the_first_packet_of_a_steady_stream_has_the_marker():
    stream = sender()
    first = take(stream, 3)
    stream.queue(SPEECH * 320)
    assert [p.marker for p in first + take(stream, 4)] == [True] + [False] * 6


def test_queued_speech_goes_out_in_order_and_its_tail_is_padded_with_silence():
    stream = sender()
    stream.queue(b"\x01" * 160 + b"\x02" * 50)
    stream.queue(b"\x03" * 10)
    assert stream.queued_samples == 220
    packets = take(stream, 3)
    assert packets[0].payload == b"\x01" * 160
    assert packets[1].payload == b"\x02" * 50 + b"\x03" * 10 + SILENCE * 100
    assert is_quiet(packets[2].payload)
    assert stream.queued_samples == 0


@given(st.lists(st.integers(0, 700), max_size=12), st.sampled_from([10, 20, 30, 40, 60]))
def test_any_split_of_the_speech_gives_the_same_octets(sizes, ptime_ms):
    stream = sender(ptime_ms=ptime_ms)
    speech = bytes(1 + n % 200 for n in range(sum(sizes)))
    start = 0
    for size in sizes:
        stream.queue(speech[start : start + size])
        start += size
    packets = take(stream, -(-len(speech) // (8 * ptime_ms)) or 1)
    assert b"".join(p.payload for p in packets)[: len(speech)] == speech
    assert {len(p.payload) for p in packets} == {8 * ptime_ms}
    assert {b.timestamp - a.timestamp for a, b in pairwise(packets)} <= {8 * ptime_ms}


def test_sequence_and_timestamp_wrap():
    packets = take(sender(first_seq=65_534, first_timestamp=2**32 - 200), 4)
    assert [p.sequence for p in packets] == [65_534, 65_535, 0, 1]
    assert [p.timestamp for p in packets] == [2**32 - 200, 2**32 - 40, 120, 280]


def test_the_first_packet_after_a_clear_fades_and_the_next_is_silent():
    stream = sender()
    stream.queue(b"\x00" * 1_600)  # the loudest negative sample
    take(stream, 1)
    assert stream.clear() == 1_600 - 160 - 40
    faded, silent = take(stream, 2)
    level = np.abs(decode(Codec.PCMU, faded.payload[:40]).astype(int))
    assert level[0] > 31_000
    assert level[-1] < 200
    assert (np.diff(level) <= 0).all()
    assert np.abs(np.diff(level)).max() < 2_500
    assert faded.payload[40:] == SILENCE * 120
    assert is_quiet(silent.payload)
    assert faded.timestamp + 160 == silent.timestamp


def test_clearing_an_empty_queue_changes_nothing():
    stream = sender()
    assert stream.clear() == 0
    assert is_quiet(take(stream, 1)[0].payload)


def test_a_clear_with_less_than_the_ramp_queued_ramps_what_there_is():
    stream = sender()
    stream.queue(b"\x00" * 7)
    assert stream.clear() == 0
    payload = take(stream, 1)[0].payload
    level = np.abs(decode(Codec.PCMU, payload).astype(int))
    assert (np.diff(level[:7]) <= 0).all()
    assert payload[7:] == SILENCE * 153


def test_a_new_turn_can_follow_a_clear_at_once():
    stream = sender()
    stream.queue(SPEECH * 800)
    stream.clear()
    stream.queue(b"\x22" * 160)
    first, second = take(stream, 2)
    assert first.payload[40:] == b"\x22" * 120
    assert second.payload == b"\x22" * 40 + SILENCE * 120


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA, Codec.L16_16K])
def test_a_fade_is_as_long_as_what_it_fades(codec):
    payload = (codec.silence + b"\x10" * codec.bytes_per_sample) * 20
    assert len(fade_out(codec, payload)) == len(payload)
    assert fade_out(codec, b"") == b""


def test_hold_sends_nothing_and_media_time_runs_on():
    stream = sender()
    take(stream, 1)
    stream.queue(SPEECH * 480)
    stream.hold()
    assert [stream.next_packet() for _ in range(2)] == [None, None]
    stream.resume()
    resumed, after = take(stream, 2)
    assert (resumed.sequence, resumed.timestamp, resumed.marker) == (1_001, 5_000 + 3 * 160, True)
    assert resumed.payload == SPEECH * 160  # two of three packets of speech played to nobody
    assert is_quiet(after.payload)
    assert not after.marker


def test_a_quiet_stream_leaves_silence_out_and_marks_the_talkspurt():
    stream = sender(quiet=True)
    assert stream.next_packet() is None
    stream.queue(SPEECH * 320)
    first, second = take(stream, 2)
    assert stream.next_packet() is None
    assert (first.sequence, first.timestamp, first.marker) == (1_000, 5_160, True)
    assert (second.sequence, second.timestamp, second.marker) == (1_001, 5_320, False)
    stream.queue(SPEECH * 160)
    assert take(stream, 1)[0][:4] == (True, 0, 1_002, 5_000 + 160 * 4)


def test_missed_packet_times_leave_a_gap_in_time_and_none_in_the_sequence():
    stream = sender()
    take(stream, 1)
    stream.skip(5)
    late = take(stream, 2)
    assert [(p.sequence, p.timestamp, p.marker) for p in late] == [(1_001, 5_960, True), (1_002, 6_120, False)]


def test_an_encoder_gets_whole_packets_and_the_noise_of_pauses_too():
    seen: list[bytes] = []

    def halve(pcm: bytes) -> bytes:
        seen.append(pcm)
        return pcm[::4]

    stream = sender(codec=Codec.L16_16K, payload_type=9, encode=halve)
    stream.queue(b"\x01\x02" * 330)
    packets = take(stream, 3)
    assert seen[:2] == [b"\x01\x02" * 320, b"\x01\x02" * 10 + bytes(620)]
    assert is_quiet(seen[2], Codec.L16_16K)
    assert [len(p.payload) for p in packets] == [160, 160, 160]
    assert [p.timestamp for p in packets] == [5_000, 5_160, 5_320]
    assert stream.stats()["octets_sent"] == 480


def test_audio_that_ends_within_a_sample_is_refused():
    with pytest.raises(ValueError, match="whole samples of 2 bytes, got 3"):
        sender(codec=Codec.L16_16K).queue(b"abc")


def test_the_queue_is_bounded():
    stream = sender()
    limit = round(MAX_QUEUED_S * 8_000)
    stream.queue(bytes(limit - 10))
    stream.queue(bytes(30))
    stream.queue(bytes(5))
    assert stream.queued_samples == limit
    assert stream.stats()["overflow_samples"] == 25


@pytest.mark.parametrize(
    "changes", [{"ptime_ms": 5}, {"ptime_ms": 80}, {"payload_type": 128}, {"dtmf_type": -1}, {"clock_hz": 11_025}]
)
def test_a_configuration_that_cannot_be_sent_is_refused(changes):
    with pytest.raises(ValueError, match="expected"):
        config(**changes)


class Event(NamedTuple):
    event: int
    end: bool
    volume: int
    duration: int


def event(packet: Sent) -> Event:
    code, flags, duration = struct.unpack("!BBH", packet.payload)
    return Event(code, bool(flags & 0x80), flags & 0x3F, duration)


def test_a_digit_is_one_event_of_growing_duration_with_three_end_packets():
    stream = sender()
    take(stream, 1)
    stream.queue(SPEECH * 160)
    stream.send_dtmf("5")
    packets = take(stream, 8)
    events = packets[:7]
    assert {p.payload_type for p in events} == {101}
    assert [p.marker for p in events] == [True] + [False] * 6
    assert {p.timestamp for p in events} == {5_160}
    assert [p.sequence for p in packets] == list(range(1_001, 1_009))
    assert [event(p).duration for p in events] == [160, 320, 480, 640, 800, 800, 800]
    assert [event(p).end for p in events] == [False] * 4 + [True] * 3
    assert {(event(p).event, event(p).volume) for p in events} == {(5, 10)}
    audio = packets[7]
    assert (audio.payload_type, audio.timestamp, audio.marker) == (0, 5_160 + 7 * 160, False)
    assert audio.payload == SPEECH * 160  # it waited


def test_digits_keep_their_distance_and_silence_lies_between():
    stream = sender()
    stream.send_dtmf("1#", duration_ms=60, gap_ms=100)
    packets = take(stream, 14)
    kinds = "".join("e" if p.payload_type == 101 else "a" for p in packets)
    assert kinds == "eeeee" + "aaa" + "eeeee" + "a"
    assert packets[8].timestamp - packets[0].timestamp == (60 + 100) * 8
    assert [event(packets[n]).event for n in (0, 8)] == [1, 11]
    assert all(is_quiet(p.payload) for p in packets[5:8])
    assert not stream.sending_dtmf
    assert stream.stats()["digits_sent"] == 2


@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 60])
def test_an_event_has_its_duration_and_three_ends_at_any_ptime(ptime_ms):
    stream = sender(ptime_ms=ptime_ms)
    stream.send_dtmf("9", duration_ms=100)
    events = []
    while stream.sending_dtmf:
        packet = read(stream.next_packet())
        assert packet.payload_type == 101
        events.append(event(packet))
    assert [e.duration for e in events if e.end] == [800] * 3
    assert [e.duration for e in events if not e.end] == list(range(8 * ptime_ms, 800, 8 * ptime_ms))


def test_every_key_has_its_code():
    stream = sender()
    stream.send_dtmf("0123456789*#ABCDabcd", duration_ms=40, gap_ms=40)
    codes = {}
    while stream.sending_dtmf:
        packet = read(stream.next_packet())
        codes[packet.timestamp] = event(packet).event
    assert list(codes.values()) == [*range(16), 12, 13, 14, 15]


def test_digits_that_cannot_be_sent_are_refused_as_a_whole():
    stream = sender()
    for digits, duration_ms, gap_ms in (("1x", 100, 100), ("1", 10, 100), ("1", 9_000, 100), ("1", 100, 0)):
        with pytest.raises(ValueError, match="expected"):
            stream.send_dtmf(digits, duration_ms, gap_ms)
    with pytest.raises(ValueError, match="at most 64"):
        stream.send_dtmf("1" * 65)
    assert not stream.sending_dtmf


def test_digits_need_an_agreed_payload_type():
    stream = sender(dtmf_type=None)
    assert not stream.can_send_dtmf
    with pytest.raises(NoTelephoneEventsError):
        stream.send_dtmf("1")


def test_a_clear_leaves_digits_alone():
    stream = sender()
    stream.send_dtmf("7")
    stream.queue(SPEECH * 160)
    take(stream, 2)
    assert stream.clear() == 120
    assert take(stream, 1)[0].payload_type == 101


def test_a_reconfigured_stream_goes_on_with_its_counters():
    stream = sender()
    take(stream, 2)
    stream.queue(SPEECH * 400)
    stream.reconfigure(config(payload_type=8, codec=Codec.PCMU, ptime_ms=30, ssrc=1, first_seq=1, first_timestamp=1))
    packets = take(stream, 2)
    assert [p[:5] for p in packets] == [(False, 8, 1_002, 5_320, 0xCAFE), (False, 8, 1_003, 5_560, 0xCAFE)]
    assert packets[0].payload == SPEECH * 240


def test_audio_of_the_codec_before_is_dropped():
    stream = sender()
    stream.queue(SPEECH * 400)
    stream.reconfigure(config(payload_type=8, codec=Codec.PCMA))
    assert stream.queued_samples == 0
    assert is_quiet(take(stream, 1)[0].payload, Codec.PCMA)


def test_digits_stop_when_the_peer_takes_them_no_longer():
    stream = sender()
    stream.send_dtmf("123")
    take(stream, 2)
    stream.reconfigure(config(dtmf_type=None))
    assert not stream.sending_dtmf
    assert take(stream, 1)[0].payload_type == 0


def test_an_hour_of_packets_has_no_gap():
    stream = sender(first_seq=60_000, first_timestamp=2**32 - 1_000)
    expected_seq, expected_timestamp = 60_000, 2**32 - 1_000
    for n in range(180_000):
        if n % 50 == 0:
            stream.queue(SPEECH * 1_000)
        buffer = stream.next_packet()
        assert buffer is not None
        assert (buffer[2] << 8) | buffer[3] == expected_seq
        assert int.from_bytes(buffer[4:8]) == expected_timestamp
        expected_seq = (expected_seq + 1) & 0xFFFF
        expected_timestamp = (expected_timestamp + 160) & 0xFFFF_FFFF
    assert stream.stats() == {
        "packets_sent": 180_000,
        "octets_sent": 180_000 * 160,
        "overflow_samples": 0,
        "digits_sent": 0,
    }
