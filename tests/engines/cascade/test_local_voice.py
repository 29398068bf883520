"""The voice of this machine, behind the seam of voices that are polled."""

from collections.abc import Iterator

import numpy as np
import pytest

from model_worker.duplex.cascade.local_voice import LocalVoice, voice_name
from model_worker.duplex.cascade.seam import OUTPUT_RATE_HZ, VoiceWish
from model_worker.duplex.remote.effects import SessionFault
from model_worker.seams import TtsError, Utterance, Word
from model_worker.tts.espeak import EspeakTts
from wire.ids import CallId

ONE, TWO = CallId("call-1"), CallId("call-2")


class FakeVoice:
    """At 8 kHz, a second for each sentence; ``!`` is more than it can say."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False

    def synthesize(self, text: str) -> Utterance:
        if "!" in text:
            raise TtsError("it cannot be said")
        return Utterance(np.full(8_000, 500, np.int16), 8_000, [Word(text, 4_000)], exact_words=True)

    def close(self) -> None:
        self.closed = True


class Cabinet:
    """Voices by name, each made once."""

    def __init__(self) -> None:
        self.made: list[FakeVoice] = []
        self.voice = LocalVoice(self._make)

    def _make(self, name: str) -> FakeVoice:
        self.made.append(FakeVoice(name))
        return self.made[-1]


def test_a_part_is_there_when_it_was_asked_for_at_the_rate_of_the_cascade():
    cabinet = Cabinet()
    cabinet.voice.ask(ONE, 3, "hello", VoiceWish())
    assert cabinet.voice.ready
    (piece,) = cabinet.voice.poll()
    assert (piece.call, piece.part, piece.done, piece.fault, piece.exact_words) == (ONE, 3, True, None, True)
    assert len(piece.pcm) == pytest.approx(OUTPUT_RATE_HZ, abs=100)
    assert piece.words == [Word("hello", OUTPUT_RATE_HZ // 2)]
    assert cabinet.voice.poll() == []
    assert not LocalVoice(FakeVoice).ready


def test_what_cannot_be_said_is_a_fault_of_that_part():
    cabinet = Cabinet()
    cabinet.voice.ask(ONE, 1, "no!", VoiceWish())
    cabinet.voice.ask(TWO, 1, "yes", VoiceWish())
    pieces = {piece.call: piece for piece in cabinet.voice.poll()}
    assert (pieces[ONE].done, pieces[ONE].fault, len(pieces[ONE].pcm)) == (True, SessionFault.SERVER_ERROR, 0)
    assert pieces[TWO].fault is None


def test_a_part_replaces_the_one_before_and_is_dropped_when_it_is_cancelled():
    cabinet = Cabinet()
    cabinet.voice.ask(ONE, 1, "old", VoiceWish())
    cabinet.voice.ask(ONE, 2, "new", VoiceWish())
    cabinet.voice.ask(TWO, 1, "other", VoiceWish())
    cabinet.voice.cancel(TWO)
    assert [(piece.call, piece.part) for piece in cabinet.voice.poll()] == [(ONE, 2)]


def test_calls_share_the_voices_and_all_are_closed_in_the_end():
    cabinet = Cabinet()
    for wish in (VoiceWish("", "de"), VoiceWish("", "de-AT"), VoiceWish("", "en"), VoiceWish("anna", "de")):
        cabinet.voice.ask(ONE, 1, "hello", wish)
    assert [voice.name for voice in cabinet.made] == ["de", "en-us", "anna"]
    cabinet.voice.close()
    assert all(voice.closed for voice in cabinet.made)


@pytest.mark.parametrize(
    ("language", "name"),
    [("en", "en-us"), ("en-GB", "en-gb"), ("en-AU", "en-us"), ("zh-Hant", "cmn"), ("pt", "pt-br"), ("no", "nb")],
)
def test_a_language_finds_its_voice(language: str, name: str):
    assert voice_name(VoiceWish("", language)) == name


@pytest.fixture(scope="module")
def espeak() -> Iterator[LocalVoice]:
    voice = LocalVoice(lambda name: EspeakTts(name))
    yield voice
    voice.close()


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Sorry, I could not hear that."),
        ("en-GB", "Sorry, I could not hear that."),
        ("de", "Das habe ich nicht gehört."),
        ("fr", "Je n'ai pas entendu."),
        ("es", "No le he oído."),
        ("pt", "Não ouvi."),
        ("no", "Jeg hørte det ikke."),
        ("zh", "对不起，我没有听清楚，请再说一遍。"),
    ],
)
def test_espeak_ng_says_an_excuse_in_each_language(espeak: LocalVoice, language: str, text: str):
    espeak.ask(ONE, 1, text, VoiceWish("", language))
    (piece,) = espeak.poll()
    assert piece.fault is None
    assert piece.done
    length_s = len(piece.pcm) / OUTPUT_RATE_HZ
    assert 0.4 < length_s < 8.0
    assert np.abs(piece.pcm.astype(np.int32)).max() > 3_000, "it is heard"
    assert " ".join(word.text for word in piece.words) == text
    starts = [word.start_samples for word in piece.words]
    assert starts == sorted(starts)
    assert starts[-1] < len(piece.pcm)


def test_a_language_that_espeak_ng_does_not_know_is_a_fault_and_harms_no_other(espeak: LocalVoice):
    espeak.ask(ONE, 1, "hello", VoiceWish("", "tlh"))
    espeak.ask(TWO, 1, "hello", VoiceWish("nobody-knows-me", "en"))
    espeak.ask(CallId("call-3"), 1, "hello", VoiceWish())
    faults = {piece.call: piece.fault for piece in espeak.poll()}
    assert faults == {ONE: SessionFault.SERVER_ERROR, TWO: SessionFault.SERVER_ERROR, CallId("call-3"): None}
