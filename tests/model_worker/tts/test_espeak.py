"""The voice with the real library in a real process."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model_worker.seams import TtsError
from model_worker.tts.espeak import EspeakTts
from model_worker.tts.espeak_program import EspeakProgram

SENTENCE = "We are open from 9:30, and a check-up costs $12.50 - really."


@pytest.fixture(scope="module")
def shared() -> Iterator[EspeakTts]:
    voice = EspeakTts()
    yield voice
    voice.close()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_sentence_becomes_sound_of_a_plausible_length_and_level(shared: EspeakTts):
    spoken = shared.synthesize("What are your opening hours?")
    assert spoken.sample_rate_hz == 22_050
    assert spoken.pcm.dtype == np.int16
    assert 0.8 < len(spoken.pcm) / spoken.sample_rate_hz < 2.5
    assert 5_000 < np.abs(spoken.pcm.astype(np.int32)).max() <= 32_767


def test_words_join_to_the_sentence_and_begin_one_after_the_other(shared: EspeakTts):
    spoken = shared.synthesize(SENTENCE)
    starts = [word.start_samples for word in spoken.words]
    assert " ".join(word.text for word in spoken.words) == SENTENCE
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert starts[-1] < len(spoken.pcm)
    assert shared.exact_words


def test_a_word_starts_where_the_sound_after_a_pause_does(shared: EspeakTts):
    spoken = shared.synthesize("Stop. Goodbye.")
    start = spoken.words[1].start_samples
    assert np.abs(spoken.pcm[start - 1_000 : start - 500]).max() < 200
    assert np.abs(spoken.pcm[start : start + 4_000]).max() > 2_000


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_no_words_are_no_sound(shared: EspeakTts, text: str):
    spoken = shared.synthesize(text)
    assert (len(spoken.pcm), list(spoken.words)) == (0, [])


@pytest.mark.parametrize("text", ["<b>bold</b> & [[hello]]", "Größe: 12 €, naïve", "a\0b", "..."])
def test_marks_and_foreign_letters_are_spoken_as_text(shared: EspeakTts, text: str):
    assert len(shared.synthesize(text).pcm) > 0 or text == "..."
    assert len(shared.synthesize("Good morning.").pcm) > 10_000


def test_a_text_without_end_is_refused(shared: EspeakTts):
    with pytest.raises(TtsError, match="5000"):
        shared.synthesize("a" * 5_001)


def test_a_sentence_spoken_again_is_the_same_object(shared: EspeakTts):
    assert shared.synthesize("Good morning.") is shared.synthesize("Good morning.")


@pytest.mark.parametrize("voice", ["en-gb", "en-gb+f3", "en-us+m4"])
def test_voices_of_the_agent_file_exist(voice: str, shared: EspeakTts):
    other = EspeakTts(voice)
    try:
        spoken = other.synthesize("good morning")
    finally:
        other.close()
    assert not np.array_equal(spoken.pcm, shared.synthesize("good morning").pcm)


def test_a_faster_voice_takes_less_time():
    slow, fast = EspeakTts(rate_wpm=120), EspeakTts(rate_wpm=240)
    try:
        assert len(fast.synthesize(SENTENCE).pcm) < 0.75 * len(slow.synthesize(SENTENCE).pcm)
    finally:
        slow.close()
        fast.close()


@pytest.mark.parametrize("name", ["en-zz", "zz", "en-us+q9", "en-zz+f3"])
def test_a_voice_that_does_not_exist_is_named_and_no_other_speaks_for_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program(tmp_path / "espeak-ng", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    voice = EspeakTts(name)
    with pytest.raises(TtsError, match=re.escape(f"no voice '{name}'")):
        voice.synthesize("a")
    assert voice.pid is None
    assert voice.exact_words


@pytest.fixture
def no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A child that finds no wheel; an empty folder that is all of PATH."""
    modules, programs = tmp_path / "modules", tmp_path / "programs"
    modules.mkdir()
    programs.mkdir()
    (modules / "espeakng_loader.py").write_text("raise ImportError('no espeakng_loader')\n")
    monkeypatch.setenv("PYTHONPATH", str(modules))
    monkeypatch.setenv("PATH", str(programs))
    return programs


def test_without_the_library_the_program_speaks(no_library: Path):
    program(no_library / "espeak-ng", f"/bin/cat {wav_of_the_program(no_library)}")
    voice = EspeakTts()
    assert len(voice.synthesize("good day").pcm) == 100
    assert not voice.exact_words
    assert voice.pid is None
    voice.close()


def test_without_library_and_program_the_remedy_is_told(no_library: Path):
    voice = EspeakTts()
    with pytest.raises(TtsError, match=r"no espeakng_loader; .*twowire\[receptionist\].*Debian"):
        voice.synthesize("good day")
    assert voice.pid is None


def test_a_child_that_died_is_replaced_unnoticed():
    voice = EspeakTts()
    try:
        voice.synthesize("one")
        first = voice.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert len(voice.synthesize("two").pcm) > 0
        assert voice.pid != first
    finally:
        voice.close()


def test_a_child_that_hangs_is_killed_at_the_deadline_and_the_sentence_spoken_by_another():
    voice = EspeakTts(deadline_s=0.5)
    try:
        voice.synthesize("one")
        hung = voice.pid
        assert hung is not None
        os.kill(hung, signal.SIGSTOP)
        assert len(voice.synthesize("two").pcm) > 0
        assert not is_running(hung)
    finally:
        voice.close()


def test_close_leaves_no_process_behind():
    voice = EspeakTts()
    voice.synthesize("one")
    pid = voice.pid
    voice.close()
    assert pid is not None
    assert not is_running(pid)


def program(path: Path, script: str) -> EspeakProgram:
    """A stand-in for the program of the system, which not every machine has."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return EspeakProgram(path, "en-us", 160, 50)


def wav_of_the_program(folder: Path) -> Path:
    """100 samples with the sizes that it writes to a pipe."""
    wav = folder / "said.wav"
    header = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0" + (22_050).to_bytes(4, "little")
    wav.write_bytes(header + b"\0" * 4 + b"\x02\0\x10\0data\xff\xff\xff\x7f" + b"\x01\0" * 100)
    return wav


def test_the_program_is_read_past_its_false_sizes(tmp_path: Path):
    wav = wav_of_the_program(tmp_path)
    spoken = program(tmp_path / "espeak-ng", f"cat > {tmp_path}/text; cat {wav}").speak("good day", 30.0)
    assert (tmp_path / "text").read_text() == "good day"
    assert (spoken.sample_rate_hz, len(spoken.pcm)) == (22_050, 100)
    assert [(word.text, word.start_samples) for word in spoken.words] == [("good", 0), ("day", 62)]


def test_the_program_gets_no_phonemes(tmp_path: Path):
    wav = wav_of_the_program(tmp_path)
    program(tmp_path / "espeak-ng", f"cat > {tmp_path}/text; cat {wav}").speak("a [[[b]]", 30.0)
    assert (tmp_path / "text").read_text() == "a [ [ [b]]"


@pytest.mark.parametrize(
    ("script", "reason"), [("echo no such >&2; exit 1", "voice 'en-us': no such"), ("echo hello", "WAV")]
)
def test_what_the_program_complains_of_is_told(tmp_path: Path, script: str, reason: str):
    with pytest.raises(TtsError, match=reason):
        program(tmp_path / "espeak-ng", script).speak("good day", 30.0)
