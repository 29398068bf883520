"""Who picked up: speech as an envelope of noise, beeps as tones."""

import numpy as np
import numpy.typing as npt
import pytest

from gateway.rtp.call_progress import congestion
from gateway.turn.answering_machine import WINDOW_S, AnsweredBy, AnsweringMachineDetector
from wire.audio.codecs import Codec
from wire.audio.g711 import encode

Samples = npt.NDArray[np.float64]
CODECS = [Codec.PCMU, Codec.PCMA, Codec.L16_16K]


class Line:
    """Sound put together piece by piece."""

    def __init__(self, codec: Codec = Codec.PCMU) -> None:
        self.codec = codec
        self._chance = np.random.default_rng(7)
        self._pieces: list[Samples] = []

    def speech(self, seconds: float, level: float = 3_000.0) -> "Line":
        """Syllables: noise that swells and fades four times a second, never to nothing for half a second."""
        t = self._time(seconds)
        envelope = 0.15 + 0.85 * np.abs(np.sin(2 * np.pi * 2 * t))
        return self._add(self._chance.normal(0, level, len(t)) * envelope)

    def pause(self, seconds: float, noise: float = 40.0) -> "Line":
        return self._add(self._chance.normal(0, noise, len(self._time(seconds))))

    def tone(self, seconds: float, hz: float, level: float = 6_000.0) -> "Line":
        return self._add(np.sin(2 * np.pi * hz * self._time(seconds)) * level)

    def audio(self) -> bytes:
        return encode(self.codec, np.clip(np.concatenate(self._pieces), -32_768, 32_767).astype(np.int16))

    def _time(self, seconds: float) -> Samples:
        return np.arange(round(seconds * self.codec.sample_rate_hz)) / self.codec.sample_rate_hz

    def _add(self, piece: Samples) -> "Line":
        self._pieces.append(piece)
        return self


def verdict(line: Line, piece: int = 160) -> AnsweredBy:
    detector = AnsweringMachineDetector(line.codec)
    audio = line.audio()
    for at in range(0, len(audio), piece):
        detector.push(audio[at : at + piece])
    return detector.verdict


@pytest.mark.parametrize("codec", CODECS)
def test_a_short_greeting_and_then_silence_is_a_person(codec):
    assert verdict(Line(codec).pause(0.4).speech(0.9).pause(1.2)) is AnsweredBy.HUMAN


@pytest.mark.parametrize("codec", CODECS)
def test_speech_that_goes_on_for_more_than_two_seconds_is_a_machine(codec):
    assert verdict(Line(codec).pause(0.3).speech(2.4)) is AnsweredBy.MACHINE


def test_a_breath_does_not_end_the_greeting_of_a_machine():
    assert verdict(Line().speech(1.2).pause(0.3).speech(1.2)) is AnsweredBy.MACHINE


def test_a_pause_as_between_two_utterances_does():
    assert verdict(Line().speech(1.2).pause(0.7).speech(1.2)) is AnsweredBy.UNKNOWN


def test_a_long_utterance_after_a_short_one_is_a_machine():
    assert verdict(Line().speech(0.6).pause(0.7).speech(2.4)) is AnsweredBy.MACHINE


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("hz", [360.0, 440.0, 800.0, 990.0])
def test_a_beep_is_a_machine(codec, hz):
    assert verdict(Line(codec).pause(0.5).tone(0.4, hz)) is AnsweredBy.MACHINE


def test_a_machine_of_few_words_is_known_by_its_beep():
    line = Line().speech(1.2).pause(1.3)
    assert verdict(line) is AnsweredBy.HUMAN
    assert verdict(line.tone(0.4, 880.0)) is AnsweredBy.MACHINE


@pytest.mark.parametrize(("seconds", "hz"), [(0.2, 800.0), (0.6, 300.0), (0.6, 1_400.0)])
def test_other_tones_are_no_beep(seconds, hz):
    assert verdict(Line().pause(0.3).tone(seconds, hz).pause(0.3)) is AnsweredBy.UNKNOWN


def test_two_tones_at_once_are_no_beep():
    low, high = Line().tone(0.6, 770.0), Line().tone(0.6, 1_336.0)
    both = np.frombuffer(low.audio(), np.uint8), np.frombuffer(high.audio(), np.uint8)
    from wire.audio.g711 import decode

    detector = AnsweringMachineDetector(Codec.PCMU)
    mixed = (decode(Codec.PCMU, both[0]).astype(np.int32) + decode(Codec.PCMU, both[1])).astype(np.int16)
    assert detector.push(encode(Codec.PCMU, mixed)) is AnsweredBy.UNKNOWN
    assert AnsweringMachineDetector(Codec.PCMU).push(congestion(Codec.PCMU, 1.0)) is AnsweredBy.UNKNOWN


def test_a_click_is_no_greeting():
    assert verdict(Line().pause(0.5).speech(0.03).pause(1.5)) is AnsweredBy.UNKNOWN


def test_a_line_on_which_nobody_speaks_stays_unknown():
    detector = AnsweringMachineDetector(Codec.PCMU)
    assert detector.push(Line().pause(WINDOW_S - 0.02).audio()) is AnsweredBy.UNKNOWN
    assert not detector.done
    detector.push(Line().pause(0.02).audio())
    assert detector.done


def test_what_comes_after_the_window_changes_nothing():
    detector = AnsweringMachineDetector(Codec.PCMU)
    detector.push(Line().speech(0.8).pause(WINDOW_S - 0.8).audio())
    assert detector.done
    assert detector.push(Line().speech(3.0).audio()) is AnsweredBy.HUMAN


@pytest.mark.parametrize("piece", [1, 7, 160, 333, 100_000])
def test_the_pieces_do_not_matter(piece):
    assert verdict(Line().pause(0.4).speech(0.9).pause(1.2), piece) is AnsweredBy.HUMAN
