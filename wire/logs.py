"""Structured logs, the same on both sides: an event name and pairs, one line per event.

What belongs to a person (numbers, names, words, digits) is wrapped in ``Pii`` by the code that
logs it, and leaves the process only as a short fingerprint, so that two lines about the same
caller can still be told to be so.
"""

import hashlib
import logging
import secrets
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

LogFormat = Literal["console", "json"]

_SALT = secrets.token_bytes(16)  # per process: fingerprints cannot be looked up in a table, nor joined across days


class Pii:
    """A value that must not be read in a log: phone number, transcript, digits, name."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        digest = hashlib.blake2b(str(self.value).encode(errors="replace"), digest_size=4, key=_SALT)
        return f"<pii {digest.hexdigest()}>"

    __str__ = __repr__


def _mask(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, Pii):
            event[key] = repr(value)
    return event


def configure_logs(level: str = "info", fmt: LogFormat = "console") -> None:
    """Set up structlog and the standard library's loggers, on stderr. Call once, from the composition root.

    ``level`` is a name of ``logging`` in any case. Raises ValueError for an unknown one.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level {level!r}, expected one of debug, info, warning, error")
    # Tracebacks are plain: the pretty ones print local variables, which hold what callers say and press.
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if fmt == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _mask,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,  # a handful of lines per call: not worth a logger that outlives its settings
    )
    logging.basicConfig(
        level=max(number, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )
