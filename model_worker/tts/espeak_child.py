"""espeak-ng in a process of its own: sentences in on stdin, samples and word times out on stdout.

Run by ``model_worker.tts.espeak`` as ``python -m model_worker.tts.espeak_child VOICE RATE_WPM PITCH``.
The library is GPL-3; nothing of ours is linked with it but this process. It is the espeak-ng of
the ``espeakng-loader`` wheel, through its C API (``speak_lib.h``).

Both directions are frames of a 4-byte big-endian length and a MessagePack body: a string in; out
``[pcm_bytes, [[char_position, start_samples], ...]]``, or a string that says what failed.
The first frame out, before any is read, is ``[rate_hz, reason]``: the reason is empty when all is well.
Otherwise it says what failed, and the rate is 0 if that was the library and not the voice.
"""

import ctypes
import signal
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_EVENT_LIST_TERMINATED = 0
_EVENT_WORD = 1
_RATE, _PITCH = 1, 3
_CHARS_UTF8 = 1
_POS_CHARACTER = 1
_OK = 0
_BUFFER_MS = 200
_HANG_LIMIT_S = 30  # should the parent be gone and the library hang, nobody else would end this process


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),  # of a voice that was chosen: a byte of priority before each
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class UnknownVoiceError(Exception):
    """The library is there and does not have the voice; the text names it."""


class Espeak:
    """The library with one voice, to be chosen before it speaks. Raises OSError when it or its data is not there."""

    def __init__(self) -> None:
        import espeakng_loader

        self._lib: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._data = Path(espeakng_loader.get_data_path())
        self.rate_hz: int = self._lib.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, str(self._data).encode(), _INITIALIZE_DONT_EXIT
        )
        if self.rate_hz <= 0:
            raise OSError("espeak-ng found no data of its own")
        self._pcm = bytearray()
        self._words: list[tuple[int, int]] = []
        self._callback = _Callback(self._collect)  # kept: the library holds only its address
        self._lib.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str) -> tuple[bytes, list[tuple[int, int]]]:
        """Int16 samples, and per word (position in ``text`` from 0, start_samples)."""
        self._pcm = bytearray()
        self._words = []
        encoded = text.encode()
        code = self._lib.espeak_Synth(encoded, len(encoded) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        if code != _OK:
            raise OSError(f"espeak-ng refused the sentence with code {code}")
        return bytes(self._pcm), self._words

    def choose(self, voice: str, rate_wpm: int, pitch: int) -> None:
        """Speak like this from now on. Raises UnknownVoiceError."""
        self._find(voice)
        self._lib.espeak_SetParameter(_RATE, rate_wpm, 0)
        self._lib.espeak_SetParameter(_PITCH, pitch, 0)

    def _find(self, voice: str) -> None:
        """Take a voice by its name or, as the program does, by its language: "en-gb" names none of them."""
        language, plus, variant = voice.partition("+")
        # It speaks without a variant that it does not have, and says nothing. Numbers are its own names for some.
        if plus and not variant.isdigit() and not (self._data / "voices" / "!v" / variant).is_file():
            raise UnknownVoiceError(f"espeak-ng has no voice {voice!r}: no variant {variant!r}")
        if self._lib.espeak_SetVoiceByName(voice.encode()) == _OK:
            return
        wanted = _Voice(languages=language.encode())
        if self._lib.espeak_SetVoiceByProperties(ctypes.byref(wanted)) == _OK:
            self._lib.espeak_GetCurrentVoice.restype = ctypes.POINTER(_Voice)
            chosen = self._lib.espeak_GetCurrentVoice().contents
            # It takes some voice for any language at all: the first one of that voice must be the one asked for.
            if chosen.languages[1:].lower() == language.lower().encode() and (
                not plus or self._lib.espeak_SetVoiceByName(chosen.identifier + f"+{variant}".encode()) == _OK
            ):
                return
        raise UnknownVoiceError(f"espeak-ng has no voice {voice!r}")

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._pcm += ctypes.string_at(samples, 2 * count)
        index = 0
        while events[index].type != _EVENT_LIST_TERMINATED:
            event = events[index]
            if event.type == _EVENT_WORD:
                self._words.append((event.text_position - 1, event.sample))
            index += 1
        return 0


def _write(pipe: BinaryIO, body: object) -> None:
    data = msgspec.msgpack.encode(body)
    pipe.write(struct.pack("!I", len(data)) + data)
    pipe.flush()


def main() -> None:
    pipe_in, pipe_out = sys.stdin.buffer, sys.stdout.buffer
    try:
        espeak = Espeak()
    except (OSError, ImportError) as error:
        _write(pipe_out, (0, str(error)))
        return
    try:
        espeak.choose(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    except UnknownVoiceError as error:
        _write(pipe_out, (espeak.rate_hz, str(error)))
        return
    _write(pipe_out, (espeak.rate_hz, ""))
    while len(head := pipe_in.read(4)) == 4:
        (length,) = struct.unpack("!I", head)
        text = msgspec.msgpack.decode(pipe_in.read(length), type=str)
        signal.alarm(_HANG_LIMIT_S)
        try:
            _write(pipe_out, espeak.speak(text))
        except OSError as error:
            _write(pipe_out, str(error))
        signal.alarm(0)


if __name__ == "__main__":
    main()
