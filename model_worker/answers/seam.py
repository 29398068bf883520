"""The seam to whatever finds the words of an answer: asked by the engine, polled while the call goes on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

from wire.ids import CallId


class AnswerFault(StrEnum):
    """Why an answer ended before its end; what the caller heard of it until then stands."""

    UNREACHABLE = "unreachable"
    """No connection, or a proxy that has none either (502, 504)."""
    REFUSED = "refused"
    """The key is wrong or missing (401, 403)."""
    OVERLOADED = "overloaded"
    """The server says so (429, 503), or too many answers of ours are under way."""
    BAD_REPLY = "bad_reply"
    """Not what the protocol allows, any other status, or an answer without a word."""
    TOO_SLOW = "too_slow"
    """No word in the time in which a caller waits for one."""
    CUT = "cut"
    """The reply ended in its middle."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the conversation that the chat model goes on with."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class FunctionWanted:
    """The model calls a function that it was told of. ``arguments``: JSON, as the model wrote it."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class AnswerPiece:
    """What came of a call's answer since the piece before: words as they arrive, not whole sentences."""

    call: CallId
    text: str
    done: bool = False
    """Nothing follows: the answer is complete, or ``error`` says why it is not."""
    error: AnswerFault | None = None
    """Only with ``done``."""
    functions: Sequence[FunctionWanted] = ()
    """Only with ``done``: what is to be done besides, or instead of, saying something."""


class Answers(Protocol):
    """Answers of many calls, at most one each. For one thread; nothing but ``poll`` waits."""

    @property
    def ready(self) -> bool:
        """``poll`` has something."""

    def on_ready(self, wake: Callable[[], None]) -> None:
        """``wake`` is called, on any thread, when ``ready`` becomes true."""

    def ask(self, call: CallId, messages: Sequence[ChatMessage], functions: Sequence[Mapping[str, Any]] = ()) -> None:
        """Begin an answer. Drops an unfinished one of the call, as ``cancel`` does. Faults come as pieces.

        ``functions``: what the model may call, each with name, description and parameters (JSON Schema).
        """

    def poll(self, timeout_s: float = 0.0) -> list[AnswerPiece]:
        """Pieces that arrived, oldest first, waiting up to ``timeout_s`` for one if any answer is unfinished.

        Those of dropped answers never appear.
        """

    def cancel(self, call: CallId) -> None:
        """Drop the call's answer and stop its generation on the server. Calls without one are ignored."""

    def close(self) -> None:
        """Drop every answer and free what this holds. ``ask`` is not to be called any more."""
