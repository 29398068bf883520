"""Where the caller's last words ended, found in seconds of audio."""

import numpy as np
import pytest

from gateway.turn.speech_end import speech_end
from tests.gateway.calls import FRAME, RATE_HZ, SILENCE
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, encode

WINDOW = 4 * RATE_HZ
WORD_ENDS = [frame * FRAME for frame in (46, 70, 98, 104, 216, 290, 312, 375, 424, 460, 480, 518)]
"""Ends of words in the recording, in samples."""


def words(until: int, then_quiet: int) -> bytes:
    """Two seconds of the speaker up to ``until``, then silence, at the end of four seconds."""
    audio = jfk_ulaw()[max(0, until - 2 * RATE_HZ) : until] + SILENCE * then_quiet
    return (SILENCE * WINDOW + audio)[-WINDOW:]


def noise(rms: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, rms, WINDOW)


@pytest.mark.parametrize("until", WORD_ENDS)
@pytest.mark.parametrize("rms", [0, 20, 100, 300], ids=lambda rms: f"noise {rms}")
def test_speech_that_stops_is_found_to_the_frame_whatever_the_line_hisses(until: int, rms: float):
    heard = decode(Codec.PCMU, words(until, then_quiet=6_400)) + noise(rms)
    audio = encode(Codec.PCMU, np.clip(heard, -32_768, 32_767).astype(np.int16))
    assert speech_end(Codec.PCMU, audio) == WINDOW - 6_400


@pytest.mark.parametrize("tail", [1, 79, 159, 160, 161, 3_200])
def test_the_end_is_counted_from_the_newest_sample(tail: int):
    audio = words(WORD_ENDS[3], then_quiet=tail)
    assert speech_end(Codec.PCMU, audio) == pytest.approx(WINDOW - tail, abs=FRAME)


def test_a_browser_s_sixteen_kilohertz_are_heard_as_well():
    wide = np.repeat(decode(Codec.PCMU, words(WORD_ENDS[3], then_quiet=6_400)), 2)
    assert speech_end(Codec.L16_16K, wide.astype("<i2").tobytes()) == 2 * (WINDOW - 6_400)


def test_speech_that_goes_on_ends_with_the_audio():
    assert speech_end(Codec.PCMU, words(WORD_ENDS[3], then_quiet=0)) == WINDOW


@pytest.mark.parametrize("samples", [0, 1, FRAME - 1, FRAME, WINDOW])
def test_silence_of_any_length_holds_no_speech(samples: int):
    assert speech_end(Codec.PCMU, SILENCE * samples) is None


@pytest.mark.parametrize("rms", [30, 100, 400])
def test_a_line_that_only_hisses_holds_no_speech(rms: float):
    assert speech_end(Codec.PCMU, encode(Codec.PCMU, noise(rms).astype(np.int16))) is None


def test_the_room_of_a_speaker_who_pauses_holds_no_speech():
    pause = jfk_ulaw()[112 * FRAME : 163 * FRAME]
    assert speech_end(Codec.PCMU, pause * 4) is None


def test_a_click_after_the_words_is_not_their_end():
    audio = bytearray(words(WORD_ENDS[3], then_quiet=16_000))
    audio[-8_000 : -8_000 + 2 * FRAME] = jfk_ulaw()[8_000 : 8_000 + 2 * FRAME]
    assert speech_end(Codec.PCMU, bytes(audio)) == WINDOW - 16_000
