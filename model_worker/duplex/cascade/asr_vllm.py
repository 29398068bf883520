"""Transcription by vLLM's ``/v1/realtime`` (0.32), which is a protocol of its own and not OpenAI's Realtime.

A generation is begun by a commit and ended by one with ``final``; after its ``transcription.done`` the server drops all
sound that it had not used, so the next utterance may begin only then.
"""

import base64
from typing import Any

import msgspec

from model_worker.duplex.cascade.asr_link import AsrEvent, Failed, Final, Partial, Prepared
from model_worker.duplex.remote.effects import Frame, SessionFault
from model_worker.duplex.remote.json_frames import Events, GarbageError, write
from model_worker.seams import Pcm

MAX_TEXT_CHARACTERS = 20_000  # of one utterance of half a minute


class _Created(msgspec.Struct):
    pass


class _Delta(msgspec.Struct):
    delta: str


class _Done(msgspec.Struct):
    text: str


class _Error(msgspec.Struct):
    error: Any = None
    code: str | None = None


_EVENTS = Events(
    {
        "session.created": _Created,
        "transcription.delta": _Delta,
        "transcription.done": _Done,
        "error": _Error,
    }
)
_FAULTS = {"model_not_found": SessionFault.REFUSED, "model_not_validated": SessionFault.REFUSED}


class VllmTranscription:
    """An ``AsrProtocol``."""

    one_utterance = False
    prepared_on_connect = False

    def __init__(self, model: str) -> None:
        self._model = model
        self._text = ""
        self._prepared = False

    def connected(self) -> list[Frame]:
        """It speaks first."""
        return [write({"type": "session.update", "model": self._model})]

    def receive(self, frame: Frame) -> list[AsrEvent]:
        try:
            event = _EVENTS.read(frame)
        except GarbageError:
            return [Failed(SessionFault.GARBAGE)]
        match event:
            case _Created():
                repeated, self._prepared = self._prepared, True
                return [] if repeated else [Prepared()]
            case _Delta(""):  # of a step of 80 ms in which no word ended: most of them
                return []
            case _Delta(delta):
                self._text += delta
                too_long = len(self._text) > MAX_TEXT_CHARACTERS
                return [Failed(SessionFault.GARBAGE) if too_long else Partial(self._text)]
            case _Done(text):
                return [Failed(SessionFault.GARBAGE) if len(text) > MAX_TEXT_CHARACTERS else Final(text)]
            case _Error(_, code):
                return [Failed(_FAULTS.get(code or "", SessionFault.SERVER_ERROR))]
        return []

    def begin(self) -> list[Frame]:
        self._text = ""
        return [write({"type": "input_audio_buffer.commit", "final": False})]

    def audio(self, pcm: Pcm) -> list[Frame]:
        octets = base64.b64encode(pcm.astype("<i2").tobytes()).decode()
        return [write({"type": "input_audio_buffer.append", "audio": octets})]

    def finish(self) -> list[Frame]:
        return [write({"type": "input_audio_buffer.commit", "final": True})]
