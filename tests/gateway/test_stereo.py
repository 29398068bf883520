"""Two voices on one line of time: clicks must lie where they were, and nothing where nobody heard it."""

import random

import numpy as np
import pytest

from gateway.runner.stereo import HOLD_S, MAX_WAIT_CHUNKS, StereoTrack
from wire.audio.codecs import Codec

CHUNK = 3_200
RATE_HZ = 8_000
CLICK = 0x80
QUIET = 0xFF


def sound(samples: int, *clicks: int) -> bytes:
    """µ-law silence with a click at each of these samples."""
    octets = bytearray([QUIET]) * samples
    for at in clicks:
        octets[at] = CLICK
    return bytes(octets)


def speak(track: StereoTrack, index: int, complete_at_s: float, *clicks: int) -> None:
    """The caller's next chunk, and the decision on it."""
    track.caller(index, index * CHUNK, sound(CHUNK, *clicks))
    track.chunk_complete(index, complete_at_s)


def clicks(octets: bytes, channel: int, first: int = 0) -> list[int]:
    frames = np.frombuffer(octets, np.uint8).reshape(-1, 2)
    return [first + int(at) for at in np.flatnonzero(frames[:, channel] != QUIET)]


def test_clicks_of_both_voices_lie_on_their_sample():
    track = StereoTrack(Codec.PCMU)
    for index in range(25):
        speak(track, index, 0.15 + 0.4 * (index + 1), 0)  # the first sample came at 0.15 s; a click every 0.4 s
        if index == 4:  # a turn of 2 s from 2.5 s on, in five pieces, each with a click on its first sample
            for piece in range(5):
                track.agent(2.5 + 0.4 * piece, sound(CHUNK, 0))
    track.end_turn(0)
    octets = track.take(final=True)
    assert clicks(octets, 0) == [1_200 + CHUNK * n for n in range(25)]
    assert clicks(octets, 1) == [20_000 + CHUNK * n for n in range(5)]


def test_a_turn_in_odd_pieces_has_no_seam():
    track = StereoTrack(Codec.PCMU)
    for index in range(10):
        speak(track, index, 0.4 * (index + 1))
    at_s, sent = 1.0, 0
    for samples in (161, 799, 1_333, 7):
        track.agent(at_s, bytes([CLICK]) * samples)
        at_s += samples / RATE_HZ
        sent += samples
    track.end_turn(0)
    assert clicks(track.take(final=True), 1) == list(range(8_000, 8_000 + sent))


def test_an_underrun_is_a_hole_of_its_length():
    track = StereoTrack(Codec.PCMU)
    for index in range(10):
        speak(track, index, 0.4 * (index + 1))
    track.agent(1.0, bytes([CLICK]) * 800)
    track.agent(1.25, bytes([CLICK]) * 800)
    track.end_turn(0)
    assert clicks(track.take(final=True), 1) == [*range(8_000, 8_800), *range(10_000, 10_800)]


@pytest.mark.parametrize("drift", [-100e-6, 100e-6])
def test_after_an_hour_of_drift_the_voices_are_within_20_ms(drift):
    chance = random.Random(3)
    track = StereoTrack(Codec.PCMU)
    heard: tuple[list[int], list[int]] = ([], [])
    for index in range(9_000):
        late_s = chance.choice((0.0, 0.003, 0.04))
        true_s = 0.08 + 0.4 * (index + 1) * (1 + drift)  # when the chunk's last sample was here
        if index % 50 == 20:  # both click at the same moment, a quarter of a second ago
            track.agent(true_s - 0.25, sound(80, 0))
            track.end_turn(0)
            speak(track, index, true_s + late_s, CHUNK - 2_000)
        else:
            speak(track, index, true_s + late_s)
        first = track.written_samples
        octets = track.take(final=index == 8_999)
        for channel in (0, 1):
            heard[channel].extend(clicks(octets, channel, first))
    assert len(heard[0]) == len(heard[1]) == 180
    assert max(abs(left - right) for left, right in zip(*heard, strict=True)) <= 160


@pytest.mark.parametrize("drift", [-100e-6, 100e-6])
def test_a_turn_of_ten_minutes_follows_the_drift_too(drift):
    track = StereoTrack(Codec.PCMU)
    speak(track, 0, 0.4)
    for index in range(1, 1_500):  # by our clock the agent clicks every 0.4 s, and by his own the caller
        speak(track, index, 0.4 * (index + 1) * (1 + drift), 1_600)
        track.agent(0.4 * index, sound(CHUNK, 1_600))
    octets = track.take(final=True)
    left, right = clicks(octets, 0), clicks(octets, 1)
    assert len(left) == len(right) == 1_499
    assert max(abs(ours - (his - his * drift)) for his, ours in zip(left, right, strict=True)) <= 160
    assert abs(right[-1] - right[0] - 1_498 * CHUNK) > 300  # 10 ms at a time, it was moved by 40 ms or more


def test_what_was_not_heard_of_a_turn_is_not_recorded():
    track = StereoTrack(Codec.PCMU)
    for index in range(5):
        speak(track, index, 0.4 * (index + 1))
    track.agent(1.0, bytes([CLICK]) * 1_600)
    track.agent(1.2, bytes([CLICK]) * 1_600)
    track.agent(1.4, bytes([CLICK]) * 1_600)
    track.end_turn(2_800)
    track.agent(1.5, bytes([CLICK]) * 10)  # the next turn, where the last would still have been playing
    track.end_turn(0)
    assert clicks(track.take(final=True), 1) == [*range(8_000, 10_000), *range(12_000, 12_010)]


def test_what_the_leg_gave_back_is_laid_where_it_was_heard_in_the_end():
    track = StereoTrack(Codec.PCMU)
    for index in range(5):
        speak(track, index, 0.4 * (index + 1))
    track.agent(1.0, bytes([CLICK]) * 1_600)
    track.take_back(800)  # at 1.1 s
    track.agent(1.1, bytes([CLICK]) * 800)  # the same, more quietly
    track.take_back(400)  # at 1.15 s: held
    track.agent(1.5, bytes([CLICK]) * 500)  # and resumed
    track.end_turn(0)
    assert clicks(track.take(final=True), 1) == [*range(8_000, 9_200), *range(12_000, 12_500)]


def test_nothing_is_written_that_may_still_be_taken_back():
    track = StereoTrack(Codec.PCMU)
    written = b""
    for index in range(20):
        speak(track, index, 0.4 * (index + 1))
        written += track.take()
        assert track.written_samples == max(0, (index + 1) * CHUNK - HOLD_S * RATE_HZ)
        if index == 10:
            track.agent(4.0, bytes([CLICK]) * 8_000)
        if index == 12:
            track.end_turn(8_000)
    written += track.take(final=True)
    assert len(written) == 20 * CHUNK * 2
    assert not clicks(written, 1)


def test_in_pieces_or_at_once_the_recording_is_the_same():
    def record(often: bool) -> bytes:
        chance = random.Random(11)
        track = StereoTrack(Codec.PCMU)
        octets = b""
        for index in range(60):
            speak(track, index, 0.3 + 0.4 * (index + 1), chance.randrange(CHUNK))
            if chance.random() < 0.2:
                samples = chance.randrange(1, 6_000)
                track.agent(0.4 * (index + 1), sound(samples, *range(0, samples, 97)))
                track.end_turn(chance.randrange(samples + 1))
            octets += track.take() if often else b""
        return octets + track.take(final=True)

    assert record(often=True) == record(often=False)


def test_a_call_without_decisions_is_recorded_from_its_first_moment():
    track = StereoTrack(Codec.PCMU)
    for index in range(MAX_WAIT_CHUNKS + 1):
        track.caller(index, index * CHUNK, sound(CHUNK, 5))
    assert clicks(track.take(), 0)[:3] == [5, CHUNK + 5, 2 * CHUNK + 5]
    short = StereoTrack(Codec.PCMU)
    short.caller(0, 0, sound(CHUNK, 7))
    assert clicks(short.take(final=True), 0) == [7]


def test_an_empty_call_has_an_empty_recording():
    assert StereoTrack(Codec.PCMU).take(final=True) == b""


@pytest.mark.parametrize("codec", list(Codec))
def test_samples_of_every_codec_are_side_by_side(codec):
    width = codec.bytes_per_sample
    left, right = b"\x11\x12"[:width], b"\x21\x22"[:width]
    track = StereoTrack(codec)
    track.caller(0, 0, left * 40)
    track.chunk_complete(0, 40 / codec.sample_rate_hz)
    track.agent(0.0, right * 30)
    track.end_turn(0)
    assert track.take(final=True) == (left + right) * 30 + (left + codec.silence) * 10


def test_speech_before_the_callers_first_sample_is_not_lost():
    track = StereoTrack(Codec.PCMU)
    speak(track, 0, 0.1)  # a chunk that was on its way before the call had begun
    track.agent(0.0, sound(100, 0, 99))
    track.end_turn(0)
    assert clicks(track.take(final=True), 1) == [2_400, 2_499]
