"""Speak with the ``espeak-ng`` program of the system, one process per sentence."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

from model_worker.seams import TtsError, Utterance
from model_worker.tts.words import place_words

PROGRAM = "espeak-ng"
_HEADER_BYTES = 44
_PHONEMES = re.compile(r"\[(?=\[)")  # the program reads "[[" as the beginning of phonemes, and has no option against it


class EspeakProgram:
    """The program at ``path``. It tells no word places: they are in proportion to the text's characters.

    Of a language it knows it takes some voice for a region or variant it does not ("en-zz"), without a word
    (version 1.51); a language it does not know is an error.
    """

    def __init__(self, path: Path, voice: str, rate_wpm: int, pitch: int) -> None:
        self._path = path
        self._voice = voice
        self._options = ["-v", voice, "-s", str(rate_wpm), "-p", str(pitch)]

    @staticmethod
    def find() -> Path | None:
        """The program on PATH, if there is one."""
        path = shutil.which(PROGRAM)
        return None if path is None else Path(path)

    def speak(self, text: str, deadline_s: float) -> Utterance:
        """Speak one text. Raises TtsError."""
        try:
            done = subprocess.run(  # noqa: S603 (no shell, no user text among the arguments)
                [str(self._path), "-b", "1", *self._options, "--stdin", "--stdout"],
                input=_PHONEMES.sub("[ ", text).encode(),
                capture_output=True,
                timeout=deadline_s,
                check=False,
            )
        except subprocess.TimeoutExpired:  # the program has been killed
            raise TtsError(f"{self._path} did not speak {len(text)} characters within {deadline_s} s") from None
        except OSError as error:
            raise TtsError(f"cannot run {self._path}: {error.strerror}") from None
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip()[:200]
            raise TtsError(f"{self._path} with voice {self._voice!r}: {reason}")
        wav = done.stdout
        if len(wav) < _HEADER_BYTES or wav[:4] != b"RIFF" or wav[36:40] != b"data":
            raise TtsError(f"{self._path}: expected a WAV file, got {len(wav)} bytes of something else")
        # The sizes in the header were written before the sound was made; the sound is all that follows.
        body = wav[_HEADER_BYTES:]
        samples = np.frombuffer(body[: len(body) // 2 * 2], "<i2").astype(np.int16)
        return Utterance(samples, int.from_bytes(wav[24:28], "little"), place_words(text, (), len(samples)))
