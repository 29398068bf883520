"""One call's session on MiniCPM-o's own realtime server, version 2 of its protocol.

``session.update`` is answered with ``session.created``; from there on a unit of a second goes up in every second, and
down comes what the model does with it: ``response.listen`` or a second of speech. The server carries one session for
each GPU and lets others wait in a queue, longer than a caller would; what is sent meanwhile it reads afterwards.
"""

from collections import deque

import msgspec

from model_worker.duplex.minicpm_o import admission, prompts, voice
from model_worker.duplex.minicpm_o.admission import ErrorEvent, Queued
from model_worker.duplex.minicpm_o.turns import Turns
from model_worker.duplex.minicpm_o.units import Units, sound
from model_worker.duplex.remote.effects import Broken, Effect, Expiring, Frame, Ready, Send, SessionFault
from model_worker.duplex.remote.json_frames import Events, GarbageError, write
from model_worker.duplex.remote.seam import Opening
from model_worker.seams import Pcm

CONTEXT_FULL = 7_400  # of 8,192 tokens: some minutes are left, in which there is a pause
CONTEXT_LEFT_S = 60.0


class Created(msgspec.Struct):
    session_id: str


class Delta(msgspec.Struct):
    """A unit in which it speaks. The server sends null for sound that is not there yet, whatever its schema says."""

    text: str | None
    audio: bytes | None
    end_of_turn: bool
    kv_cache_length: int


class Listen(msgspec.Struct):
    kv_cache_length: int = 0


class GoAway(msgspec.Struct):
    reason: str
    time_left_ms: int = 0


class Closed(msgspec.Struct):
    reason: str


EVENTS = Events(
    {
        "session.created": Created,
        "response.output_audio.delta": Delta,
        "response.listen": Listen,
        "session.go_away": GoAway,
        "session.closed": Closed,
        **admission.EVENTS,
    }
)
_CLOSED = {
    "timeout": SessionFault.EXPIRED,
    "context_full": SessionFault.EXPIRED,
    "error": SessionFault.SERVER_ERROR,
}


class RealtimeV2Session:
    """A ``ServerSession``. ``voice_pcm``: as ``ServerSettings.voice``."""

    def __init__(self, opening: Opening, voice_pcm: bytes = b"") -> None:
        self._opening = opening
        self._voice_pcm = voice_pcm
        self._effects: deque[Effect] = deque()
        self._turns = Turns(self._effects)
        self._units = Units()
        self._ready = False
        self._over = False
        self._warned = False

    def connected(self) -> None:
        session: dict[str, object] = {"instructions": prompts.instructions(self._opening)}
        if self._voice_pcm:
            session["ref_audio"] = voice.bare(self._voice_pcm)
        self._effects.append(Send(write({"type": "session.update", "session": session})))

    def receive(self, frame: Frame) -> None:
        if self._over:
            return
        try:
            self._take(EVENTS.read(frame))
        except GarbageError as error:
            self._break(SessionFault.GARBAGE, str(error))

    def hear(self, pcm: Pcm) -> None:
        if not self._over:
            event = {
                "type": "input_audio_buffer.append",
                "audio": self._units.write(pcm),
                "force_listen": self._turns.silenced,
            }
            self._effects.append(Send(write(event)))

    def played(self, heard_s: float) -> None:
        """The protocol has no word for it: a turn is never more than a second ahead."""

    def interrupt(self, heard_s: float) -> None:
        self._turns.interrupt()

    def press(self, keys: str) -> None:
        """There is no way to tell the model; a telephone's tones are taken out of the sound."""

    def say(self, text: str) -> None:
        """There is no way to make it say given words: the capabilities say so."""

    def end(self) -> None:
        if not self._over:
            self._effects.append(Send(write({"type": "session.close", "reason": "user_stop"})))

    def poll(self) -> Effect | None:
        return self._effects.popleft() if self._effects else None

    def _take(self, event: object) -> None:
        match event:
            case Created() if not self._ready:
                self._ready = True
                self._effects.append(Ready())
            case Queued() | ErrorEvent():
                if (broken := admission.refusal(event, ready=self._ready)) is not None:
                    self._break(broken.fault, broken.reason)
            case Delta(text, audio, end_of_turn, positions):
                self._turns.speak(text or "", sound(audio or b""))
                if end_of_turn:
                    self._turns.end()
                self._watch_context(positions)
            case Listen(positions):
                self._turns.end()
                self._watch_context(positions)
            case GoAway(time_left_ms=left_ms):
                self._effects.append(Expiring(left_ms / 1_000))
            case Closed(reason):
                self._break(_CLOSED.get(reason, SessionFault.LOST), "the server closed the session")

    def _watch_context(self, positions: int) -> None:
        if positions >= CONTEXT_FULL and not self._warned:
            self._warned = True
            self._effects.append(Expiring(CONTEXT_LEFT_S))

    def _break(self, fault: SessionFault, reason: str) -> None:
        self._over = True
        self._effects.append(Broken(fault, reason))
