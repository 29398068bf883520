"""The instrument judges what was heard: tapes made by hand, with known answers."""

import numpy as np
import pytest

from load_tests.duplex.caller import Made, Tape
from load_tests.duplex.measures import Outcome, heard_words, outcome, percentile, word_of
from load_tests.duplex.sounds import Kind, Sound, pauses, to_line
from model_worker.duplex.script import Say
from model_worker.duplex.scripted import tone
from wire.audio.codecs import Codec
from wire.audio.g711 import encode_ulaw
from wire.audio.gain import scale

FRAME = 160
WORDS = 30
SAY = Say(ms=9_000, text=" ".join(["word"] * WORDS), watermark=True)
VOICE = encode_ulaw(tone(SAY, 0, 72_000))
SILENCE = b"\xff" * FRAME


def frames(*parts: bytes) -> list[bytes]:
    whole = b"".join(parts)
    return [whole[at : at + FRAME] for at in range(0, len(whole), FRAME)]


def voice(start_s: float, end_s: float, db: float = 0.0) -> bytes:
    return scale(Codec.PCMU, VOICE[round(start_s * 8_000) : round(end_s * 8_000)], db, db)


def judged(*parts: bytes, kind: Kind = Kind.BACKCHANNEL, at_s: float = 1.0) -> Outcome:
    made = Made(Sound(kind, "x", b"\x00" * 1_600), round(at_s * 50))
    return outcome(Tape(heard=frames(*parts), made=[made]), made, watermarked=True)


@pytest.mark.parametrize("db", [0.0, -20.0])
def test_every_word_is_told_by_its_pitch_however_quiet(db: float):
    told = [word_of(frame) for frame in frames(voice(0, 9, db))]
    assert [word for n, word in enumerate(told) if n % 15 not in (0, 14)] == [
        n // 15 for n in range(450) if n % 15 not in (0, 14)
    ]
    assert word_of(SILENCE) is None


def test_a_voice_that_is_lowered_and_comes_back_stood():
    found = judged(voice(0, 1.1), voice(1.1, 1.5, -20.0), voice(1.5, 5))
    assert [found.duck_s, found.stop_s, found.gap_s] == [pytest.approx(0.1), None, None]
    assert found.stood
    assert not found.yielded


def test_a_voice_that_stops_for_good_yielded():
    found = judged(voice(0, 1.1), voice(1.1, 1.6, -20.0), SILENCE * 150, kind=Kind.INTERRUPTION)
    assert [found.duck_s, found.stop_s] == [pytest.approx(0.1), pytest.approx(0.6)]
    assert found.yielded
    assert not found.stood


def test_a_voice_that_goes_on_after_a_gap_is_not_one_that_yielded():
    found = judged(voice(0, 1.6), SILENCE * 20, voice(1.5, 5))
    assert [found.stop_s, found.gap_s] == [pytest.approx(0.6), pytest.approx(0.4)]
    assert found.right_word
    assert not found.yielded


def test_a_voice_that_goes_on_elsewhere_is_told():
    assert judged(voice(0, 1.6), SILENCE * 20, voice(3.1, 5)).gap_s is None
    assert judged(voice(0, 1.6), SILENCE * 20, voice(0, 3)).gap_s is None, "a new turn"


def test_a_short_gap_is_no_stop():
    assert judged(voice(0, 1.6), SILENCE * 10, voice(1.6, 5)).stop_s is None


def test_heard_words_are_counted_turn_by_turn():
    tape = Tape(heard=frames(voice(0, 1.6), SILENCE * 20, voice(1.5, 2.0), SILENCE * 60, voice(0, 0.7), SILENCE * 30))
    assert heard_words(tape) == [7, 3]


def test_percentiles_are_values_that_were_measured():
    assert [percentile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 0.95)] == [1.0, 2.0, 3.0]
    assert percentile([], 0.5) is None


def test_a_sound_begins_with_its_onset_and_its_pauses_are_known():
    noise = np.random.default_rng(1).normal(0, 5_000, 8_000)
    sound = to_line(np.concatenate((np.zeros(3_000), noise, np.zeros(3_000))))
    assert len(sound) == pytest.approx(8_000, abs=200)
    ((begin, end),) = pauses(sound + b"\xff" * 4_000 + sound)
    assert [begin, end] == pytest.approx([len(sound) / 8_000, len(sound) / 8_000 + 0.5], abs=0.03)
    assert list(pauses(sound)) == []
