"""Which errors of a server end a session, and how."""

from model_worker.duplex.remote.effects import SessionFault

_BY_CODE = {
    "session_expired": SessionFault.EXPIRED,
    "rate_limit_exceeded": SessionFault.FULL,
    "insufficient_quota": SessionFault.FULL,
    "too_many_sessions": SessionFault.FULL,
    "server_overloaded": SessionFault.FULL,
    "invalid_api_key": SessionFault.REFUSED,
    "model_not_found": SessionFault.REFUSED,
}
_BY_TYPE = {
    "authentication_error": SessionFault.REFUSED,
    "permission_error": SessionFault.REFUSED,
    "insufficient_quota": SessionFault.FULL,
    "rate_limit_error": SessionFault.FULL,
    "tokens": SessionFault.FULL,  # the type of rate_limit_exceeded names what was exceeded
    "requests": SessionFault.FULL,
}


def fatal(kind: str | None, code: str | None) -> SessionFault | None:
    """What is the matter with the session; None for an error that concerns one event of ours only."""
    return _BY_CODE.get(code or "") or _BY_TYPE.get(kind or "")
