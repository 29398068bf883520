"""What vLLM-Omni's duplex server says, as far as it matters here. Each of its events has a number."""

import msgspec

from model_worker.duplex.remote.json_frames import Events

FORMAT = "pcm16"


class Event(msgspec.Struct, kw_only=True):
    server_event_seq: int = 0


class About(msgspec.Struct):
    id: str = ""


class Created(Event):
    session: About
    resume_token: str | None = None


class Resumed(Event):
    resume_token: str


class AudioDelta(Event):
    response_id: str
    delta: bytes
    item_id: str | None = None
    format: str = FORMAT
    sample_rate_hz: int | None = None
    """None: as the session has it."""


class TranscriptDelta(Event):
    response_id: str
    delta: str


class Status(msgspec.Struct):
    status: str = ""


class ResponseDone(Event):
    response_id: str
    response: Status


class Transcribed(Event):
    transcript: str | None


class Ended(Event):
    reason: str = ""


class Expired(Ended):
    pass


class ErrorBody(msgspec.Struct):
    code: str | None = None


class ErrorEvent(Event):
    error: ErrorBody | str
    code: str | None = None
    """In the flat form that errors of the handshake have."""


EVENTS = Events(
    {
        "session.created": Created,
        "session.resumed": Resumed,
        "response.output_audio.delta": AudioDelta,
        "response.output_audio_transcript.delta": TranscriptDelta,
        "response.done": ResponseDone,
        "conversation.item.input_audio_transcription.completed": Transcribed,
        "session.closed": Ended,
        "session.expired": Expired,
        "session.resync_required": Ended,
        "error": ErrorEvent,
    }
)
