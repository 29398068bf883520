"""One call's session on vLLM-Omni's duplex server (``/v1/realtime?duplex=1``), written against its 0.30.

OpenAI's names with a truth of their own: the model decides by itself when it speaks, a response has an id that is
never used again, and its history holds what ``playback.ack`` reported as heard (``ack_only``). The overlap policy is
``listen_only``: who has the floor is decided at the gateway, and ``barge_in`` tells the server.

A session whose connection broke is kept for 30 s, and is one of the few that the server has until then:
``session.resume`` names the last event that came, and what followed it is sent again.
"""

from collections import deque

import msgspec

from model_worker.duplex.minicpm_o import prompts, voice
from model_worker.duplex.minicpm_o.units import IN_HZ, OUT_HZ
from model_worker.duplex.minicpm_o.vllm_messages import (
    EVENTS,
    FORMAT,
    AudioDelta,
    Created,
    Ended,
    ErrorBody,
    ErrorEvent,
    Event,
    Expired,
    ResponseDone,
    Resumed,
    Transcribed,
    TranscriptDelta,
)
from model_worker.duplex.remote.effects import (
    Broken,
    Effect,
    Frame,
    Heard,
    Ready,
    Resumable,
    Send,
    SessionFault,
    Sound,
    TurnOver,
    Words,
)
from model_worker.duplex.remote.json_frames import GarbageError, sound_of, write
from model_worker.duplex.remote.seam import Opening
from model_worker.seams import Pcm
from wire.audio.codecs import Codec

_GONE = frozenset({"session_closed", "session_expired", "unknown_session"})
_TIMES_UP = frozenset({"timeout", "idle_timeout"})
# All other errors of a session that goes on are about one command.
_REFUSALS = {
    "resource_exhausted": SessionFault.FULL,
    "duplex_session_capacity_exhausted": SessionFault.FULL,
    "invalid_api_key": SessionFault.REFUSED,
    "model_not_found": SessionFault.REFUSED,
}


class Kept(msgspec.Struct):
    """What another connection needs to go on with the session."""

    session: str = ""
    token: str = ""
    """Empty: the server keeps nothing."""
    last_seq: int = 0
    response: str = ""
    """The one whose sound is being played or comes."""
    item: str = ""
    open: bool = False
    """More of it may come."""
    samples: int = 0
    """Sound of it that came."""
    dropped: set[str] = msgspec.field(default_factory=set)
    """All that were interrupted."""
    unsettled: tuple[str, int] | None = None
    """The one that was interrupted last, and the milliseconds of it that were heard, until the server stopped it."""


_kept = msgspec.json.Decoder(Kept)


class VllmOmniSession:
    """A ``ServerSession``. ``model``: as the server names it. ``voice_pcm``: ``ServerSettings.voice``, needed."""

    def __init__(self, opening: Opening, model: str, voice_pcm: bytes) -> None:
        self._opening = opening
        self._model = model
        self._voice_pcm = voice_pcm
        self._effects: deque[Effect] = deque()
        self._ready = False
        self._over = False
        self._at = _kept.decode(opening.resume) if opening.resume else Kept()

    def connected(self) -> None:
        if self._at.token:
            kept = {"session_id": self._at.session, "resume_token": self._at.token}
            self._send({"type": "session.resume", **kept, "last_received_server_event_seq": self._at.last_seq})
        else:
            self._open()

    def _open(self) -> None:
        session = {
            "modalities": ["audio", "text"],
            "instructions": prompts.instructions(self._opening),
            "input_audio_format": FORMAT,
            "output_audio_format": FORMAT,
            "ref_audio": voice.data_url(self._voice_pcm),
            "turn_detection": None,
            "overlap_policy": "listen_only",
            "playback_commit_policy": "ack_only",
            "extra_body": {"auto_response": True, "force_listen_count": 0},
        }
        if self._model:
            session["model"] = self._model
        self._send({"type": "session.update", "session": session})

    def receive(self, frame: Frame) -> None:
        if self._over:
            return
        try:
            event = EVENTS.read(frame)
            self._take(event)
        except GarbageError as error:
            self._break(SessionFault.GARBAGE, str(error))
            return
        if isinstance(event, Event) and not self._over:
            self._at.last_seq = max(self._at.last_seq, event.server_event_seq)
            self._keep()

    def hear(self, pcm: Pcm) -> None:
        if self._over:
            return
        about = {"input_audio_format": FORMAT, "sample_rate_hz": IN_HZ, "duration_ms": len(pcm) * 1_000 // IN_HZ}
        self._send({"type": "input_audio_buffer.append", "audio": pcm.astype("<i2").tobytes(), **about})

    def played(self, heard_s: float) -> None:
        if self._at.response and self._ready and not self._over:
            self._acknowledge(self._at.response, self._heard_ms(heard_s))

    def interrupt(self, heard_s: float) -> None:
        at = self._at
        if not at.response or self._over:
            return
        heard_ms = self._heard_ms(heard_s)
        if at.open:
            at.unsettled = (at.response, heard_ms)
        if self._ready:
            self._acknowledge(at.response, heard_ms)
            if at.open:
                self._send({"type": "barge_in"})
            elif at.item:
                cut = {"item_id": at.item, "content_index": 0, "audio_end_ms": heard_ms}
                self._send({"type": "conversation.item.truncate", **cut})
        at.dropped.add(at.response)
        at.response, at.item, at.open = "", "", False
        self._keep()

    def press(self, keys: str) -> None:
        """A model-native session refuses text; a telephone's tones are taken out of the sound."""

    def say(self, text: str) -> None:
        """There is no way to make it say given words: the capabilities say so."""

    def end(self) -> None:
        if self._ready and not self._over:
            self._send({"type": "session.close"})

    def poll(self) -> Effect | None:
        return self._effects.popleft() if self._effects else None

    def _take(self, event: object) -> None:
        match event:
            case Created(about, token) if not self._ready:
                self._at.session, self._at.token = about.id, token or ""
                self._begin()
            case Resumed(token) if not self._ready:
                self._at.token = token
                self._begin()
                self._settle()
            case AudioDelta():
                self._take_sound(event)
            case TranscriptDelta(response_id, text) if text and response_id not in self._at.dropped:
                self._go_on(response_id)
                self._effects.append(Words(text))
            case ResponseDone():
                self._take_done(event)
            case Transcribed(transcript) if transcript and transcript.strip():
                self._effects.append(Heard(transcript.strip()))
            case Expired():
                self._break(SessionFault.EXPIRED, "the server let the session expire")
            case Ended(reason):
                fault = SessionFault.EXPIRED if reason in _TIMES_UP else SessionFault.SERVER_ERROR
                self._break(fault, "the server closed the session")
            case ErrorEvent(error, code):
                self._take_error((error.code if isinstance(error, ErrorBody) else code) or "")

    def _begin(self) -> None:
        self._ready = True
        self._effects.append(Ready())

    def _settle(self) -> None:
        """Whether the server knew of the last interruption when the connection broke nobody can say."""
        if self._at.unsettled is not None:
            response, heard_ms = self._at.unsettled
            self._acknowledge(response, heard_ms)
            self._send({"type": "response.cancel", "response_id": response})

    def _take_error(self, code: str) -> None:
        if code in _GONE:
            self._break(SessionFault.EXPIRED, "the server does not have the session any more")
        elif not self._ready:
            self._break(_REFUSALS.get(code, SessionFault.SERVER_ERROR), "the server refuses the session")

    def _take_sound(self, delta: AudioDelta) -> None:
        at = self._at
        if delta.response_id in at.dropped:
            return
        if delta.format != FORMAT or delta.sample_rate_hz not in (None, OUT_HZ):
            raise GarbageError("sound of another form than was asked for")
        pcm = sound_of(delta.delta, Codec.L16_24K)
        self._go_on(delta.response_id)
        at.item = delta.item_id or at.item
        at.samples += len(pcm)
        if len(pcm):
            self._effects.append(Sound(pcm))

    def _take_done(self, done: ResponseDone) -> None:
        at = self._at
        if at.unsettled is not None and at.unsettled[0] == done.response_id:
            at.unsettled = None
        if at.open and at.response == done.response_id:
            at.open = False
            self._effects.append(TurnOver(cut=done.response.status == "cancelled"))

    def _go_on(self, response_id: str) -> None:
        """More of a response; a new one ends the one before, whatever became of its end."""
        at = self._at
        if response_id == at.response:
            return
        if at.open:
            self._effects.append(TurnOver())
        at.response, at.item, at.open, at.samples = response_id, "", True, 0

    def _heard_ms(self, heard_s: float) -> int:
        """Never more than there is: telephones count in samples of their own, and round."""
        return min(int(heard_s * 1_000), self._at.samples * 1_000 // OUT_HZ)

    def _acknowledge(self, response: str, heard_ms: int) -> None:
        self._send({"type": "playback.ack", "response_id": response, "played_ms": heard_ms})

    def _keep(self) -> None:
        if self._at.token:
            self._effects.append(Resumable(msgspec.json.encode(self._at).decode(), same_session=True))

    def _send(self, event: dict[str, object]) -> None:
        self._effects.append(Send(write(event)))

    def _break(self, fault: SessionFault, reason: str) -> None:
        self._over = True
        self._effects.append(Broken(fault, reason))
