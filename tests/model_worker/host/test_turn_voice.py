"""Words and samples of a turn on their way to the gateway."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.engine.turn_voice import TurnVoice
from model_worker.seams import Speech
from wire.audio.codecs import Codec
from wire.ids import TurnId


def pieces_of(codec: Codec, engine_rate_hz: int, *speeches: Speech):
    voice = TurnVoice(TurnId(1), codec, engine_rate_hz)
    pieces = [piece for speech in speeches for piece in voice.speak(speech)]
    return [*pieces, *voice.finish()], voice


@pytest.mark.parametrize("codec", list(Codec))
def test_a_word_goes_with_the_piece_in_which_it_begins(codec: Codec):
    rate = codec.sample_rate_hz / 16_000
    first = Speech(np.zeros(16_000, np.int16), "we are open", (0, 5_000, 12_000))
    second = Speech(np.zeros(8_000, np.int16), "until six", (100, 7_999))
    pieces, _ = pieces_of(codec, 16_000, first, second)
    told = {word: start for piece in pieces for word, start in zip(piece.text.split(), piece.word_starts, strict=True)}
    assert told == {
        word: round(at * rate)
        for word, at in [("we", 0), ("are", 5_000), ("open", 12_000), ("until", 16_100), ("six", 23_999)]
    }
    for piece in pieces:
        end = piece.start_samples + len(piece.payload) // codec.bytes_per_sample
        assert all(piece.start_samples <= start <= end for start in piece.word_starts)


def test_a_voice_that_does_not_tell_has_its_words_in_the_first_piece():
    pieces, _ = pieces_of(Codec.PCMU, 8_000, Speech(np.zeros(8_000, np.int16), "good morning"))
    assert [(piece.text, piece.word_starts) for piece in pieces] == [("good morning", ()), ("", ()), ("", ())]


@given(
    st.lists(st.tuples(st.integers(1, 9_000), st.integers(0, 4), st.booleans()), min_size=1, max_size=8),
    st.sampled_from([8_000, 16_000, 22_050]),
)
def test_no_word_is_lost_and_starts_never_go_back(parts: list[tuple[int, int, bool]], rate_hz: int):
    speeches, words = [], []
    for number, (samples, count, told) in enumerate(parts):
        own = [f"{number}.{word}" for word in range(count)]
        starts = sorted(samples * word // max(1, count) for word in range(count)) if told else ()
        speeches.append(Speech(np.zeros(samples, np.int16), " ".join(own), starts))
        words += own
    pieces, voice = pieces_of(Codec.PCMU, rate_hz, *speeches)
    assert sorted(" ".join(piece.text for piece in pieces).split()) == sorted(words)
    starts = [start for piece in pieces for start in piece.word_starts]
    assert starts == sorted(starts)
    assert all(start <= voice.total_samples for start in starts)
