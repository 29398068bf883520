"""How MiniCPM-o's gateways let callers in: a queue that they tell of, and refusals."""

from typing import Any

import msgspec

from model_worker.duplex.remote.effects import Broken, SessionFault
from model_worker.duplex.remote.seam import READY_WITHIN_S


class Queued(msgspec.Struct):
    estimated_wait_s: float | None = None


class ErrorBody(msgspec.Struct):
    code: str | None = None


class ErrorEvent(msgspec.Struct):
    error: ErrorBody


EVENTS: dict[str, Any] = {"session.queued": Queued, "session.queue_update": Queued, "error": ErrorEvent}
# Those of the client, and an inference that failed once, leave a session as it is that goes on.
_FATAL = {
    "service_unavailable": SessionFault.SERVER_ERROR,
    "worker_connect_failed": SessionFault.SERVER_ERROR,
    "queue_full": SessionFault.FULL,
    "worker_busy": SessionFault.FULL,
}


def refusal(event: Queued | ErrorEvent, *, ready: bool) -> Broken | None:
    """What an event means for a session, if it is the end of it. ``ready``: it goes on already."""
    match event:
        case Queued(wait_s) if wait_s is not None and wait_s > READY_WITHIN_S:
            return Broken(SessionFault.FULL, "the server has a queue")
        case ErrorEvent(error) if error.code in _FATAL:
            return Broken(_FATAL[error.code], "the server refuses the session")
        case ErrorEvent() if not ready:
            return Broken(SessionFault.SERVER_ERROR, "the server cannot begin the session")
    return None
