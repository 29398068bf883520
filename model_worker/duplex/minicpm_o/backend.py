"""One call's session on a MiniCPM-o backend (``/backend``), as llama.cpp-omni and the reference server have it.

An inner protocol: whoever breaks a rule of it loses the session. ``session.init`` is answered with
``session.created``; then a unit goes up in every second, and down comes, each by itself, text, sound and that the
model listens, which is also all that tells of the end of a turn. The reference server's newer gateway speaks the same
to the outside, with a queue before it: nothing may be sent until ``session.queue_done``.
"""

from collections import deque

import msgspec
import numpy as np

from model_worker.duplex.minicpm_o import admission, prompts, voice
from model_worker.duplex.minicpm_o.admission import ErrorEvent, Queued
from model_worker.duplex.minicpm_o.realtime_v2 import CONTEXT_FULL, CONTEXT_LEFT_S
from model_worker.duplex.minicpm_o.turns import Turns
from model_worker.duplex.minicpm_o.units import Units, sound
from model_worker.duplex.remote.effects import Broken, Effect, Expiring, Frame, Ready, Send, SessionFault
from model_worker.duplex.remote.json_frames import Events, GarbageError, write
from model_worker.duplex.remote.seam import Opening
from model_worker.seams import Pcm

_SILENCE: Pcm = np.empty(0, np.int16)


class Metrics(msgspec.Struct):
    kv_cache_length: int = 0


class Created(msgspec.Struct):
    session_id: str


class QueueDone(msgspec.Struct):
    pass


class Delta(msgspec.Struct):
    kind: str
    text: str | None = None
    audio: bytes | None = None
    metrics: Metrics | None = None


class Closed(msgspec.Struct):
    reason: str = ""


EVENTS = Events(
    {
        "session.queue_done": QueueDone,
        "session.created": Created,
        "response.output.delta": Delta,
        "session.closed": Closed,
        **admission.EVENTS,
    }
)
_CLOSED = {"timeout": SessionFault.EXPIRED, "context_full": SessionFault.EXPIRED, "busy": SessionFault.FULL}


class BackendSession:
    """A ``ServerSession``. ``queues``: there is a gateway with a queue before the backend."""

    def __init__(self, opening: Opening, voice_pcm: bytes = b"", *, queues: bool = False) -> None:
        self._opening = opening
        self._voice_pcm = voice_pcm
        self._queued = queues
        self._effects: deque[Effect] = deque()
        self._turns = Turns(self._effects)
        self._units = Units()
        self._ready = False
        self._over = False
        self._warned = False

    def connected(self) -> None:
        if not self._queued:
            self._begin()

    def receive(self, frame: Frame) -> None:
        if self._over:
            return
        try:
            self._take(EVENTS.read(frame))
        except GarbageError as error:
            self._break(SessionFault.GARBAGE, str(error))

    def hear(self, pcm: Pcm) -> None:
        if not self._over:
            given = {"audio": self._units.write(pcm), "force_listen": self._turns.silenced}
            self._effects.append(Send(write({"type": "input.append", "input": given})))

    def played(self, heard_s: float) -> None:
        """The protocol has no word for it: a turn is never more than a second ahead."""

    def interrupt(self, heard_s: float) -> None:
        self._turns.interrupt()

    def press(self, keys: str) -> None:
        """There is no way to tell the model; a telephone's tones are taken out of the sound."""

    def say(self, text: str) -> None:
        """There is no way to make it say given words: the capabilities say so."""

    def end(self) -> None:
        if self._ready and not self._over:
            self._effects.append(Send(write({"type": "session.close", "reason": "user_stop"})))

    def poll(self) -> Effect | None:
        return self._effects.popleft() if self._effects else None

    def _begin(self) -> None:
        payload: dict[str, object] = {
            "mode": "full_duplex",
            "system_prompt": prompts.instructions(self._opening),
            "use_tts": True,  # not in its schema, but its clients send it: some servers are mute without
        }
        if self._voice_pcm:
            payload["voice"] = {"ref_audio": voice.bare(self._voice_pcm)}
        self._effects.append(Send(write({"type": "session.init", "payload": payload})))

    def _take(self, event: object) -> None:
        match event:
            case QueueDone() if self._queued:
                self._queued = False
                self._begin()
            case Queued() | ErrorEvent():
                if (broken := admission.refusal(event, ready=self._ready)) is not None:
                    self._break(broken.fault, broken.reason)
            case Created() if not self._ready:
                self._ready = True
                self._effects.append(Ready())
            case Delta(kind, text, audio, metrics):
                self._take_delta(kind, text or "", audio or b"")
                if metrics is not None and metrics.kv_cache_length >= CONTEXT_FULL and not self._warned:
                    self._warned = True
                    self._effects.append(Expiring(CONTEXT_LEFT_S))
            case Closed(reason):
                self._break(_CLOSED.get(reason, SessionFault.SERVER_ERROR), "the server closed the session")

    def _take_delta(self, kind: str, text: str, audio: bytes) -> None:
        match kind:
            case "text":
                self._turns.speak(text, _SILENCE)
            case "audio":
                self._turns.speak("", sound(audio))
            case "listen":
                self._turns.end()
            case _:
                raise GarbageError("a delta of no kind that the protocol has")

    def _break(self, fault: SessionFault, reason: str) -> None:
        self._over = True
        self._effects.append(Broken(fault, reason))
