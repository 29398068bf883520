"""Read the reply of ``POST /v1/chat/completions`` with ``"stream": true``: bytes in, words out; no I/O.

The reply is a stream of server-sent events (WHATWG HTML, section 9.2), each of which holds one JSON
object, and at last ``[DONE]``. Servers differ in what they leave out and what they add: comments while
one waits, a first delta with nothing but a role, a last chunk with nothing but the usage, no
``[DONE]``. All that is let pass. What is no such stream at all is refused, and no line, event or
reply may be longer than the limits, as the server may be anybody's.

What the server says of an error stays here: it may repeat the key or the caller's words.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from model_worker.answers.seam import AnswerFault, FunctionWanted
from model_worker.answers.thoughts import Thoughts

MAX_EVENT_BYTES = 64 * 1024  # a chunk of one token takes 200 to 400, ten times that with alternatives
MAX_REPLY_BYTES = 4 * 1024 * 1024  # 10 000 such chunks: an hour of speech
MAX_FUNCTIONS = 8  # called in one answer; a line has three
MAX_ARGUMENTS_CHARACTERS = 8 * 1024

_LINE_END = re.compile(rb"\r\n|\r|\n")
_FIELDS = frozenset({b"data", b"event", b"id", b"retry"})
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What vLLM and SGLang say when they gave up themselves; any other reason is an end that the model chose or was set.
_GIVEN_UP = frozenset({"abort", "error"})


@dataclass(frozen=True, slots=True)
class Delta:
    """Some words; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete; nothing follows."""

    reason: str = ""
    """``stop``, ``length``, ...; empty where the server gave none."""


@dataclass(frozen=True, slots=True)
class Called:
    """The model calls a function; told whole, before ``Finished``."""

    function: FunctionWanted


@dataclass(frozen=True, slots=True)
class Failed:
    """The stream is of no use from here on; nothing follows."""

    fault: AnswerFault
    reason: str
    """For our log: it quotes nothing of what came."""
    status: int | None = None
    """What the server would have replied, had it known before it began."""


ChatEvent = Delta | Called | Finished | Failed


class ChatStream:
    """One reply. Any split of the same bytes gives the same events."""

    def __init__(self) -> None:
        self.ended = False
        """A ``Finished`` or ``Failed`` was given; whatever comes now is ignored."""
        self._room_bytes = MAX_REPLY_BYTES
        self._line = bytearray()
        self._after_cr = False  # a line feed that comes now belongs to the carriage return before
        self._first_line = True
        self._data: list[bytes] = []  # data lines of the event that is not over yet
        self._data_bytes = 0
        self._thoughts = Thoughts()
        self._functions: dict[int, _Function] = {}  # by the place that the server gives each

    def feed(self, received: bytes) -> list[ChatEvent]:
        """What the next bytes of the reply's body say."""
        if self.ended:
            return []
        within, beyond = received[: self._room_bytes], received[self._room_bytes :]
        self._room_bytes -= len(within)
        events = self._feed(within)
        if beyond and not self.ended:
            events.append(self._fail(f"the reply is longer than {MAX_REPLY_BYTES} bytes"))
        return events

    def end(self) -> list[ChatEvent]:
        """The reply's body is over: an answer that has not finished was cut."""
        if self.ended:
            return []
        # A last line or event that was not closed counts if it is whole; JSON that was cut in its middle never is.
        events = self._feed(b"\n\n")
        last = events[-1] if events else None
        if isinstance(last, Finished) or (isinstance(last, Failed) and last.status is not None):
            return events
        if isinstance(last, Failed):
            events.pop()
        return [*events, self._fail("the reply ended before the answer did", AnswerFault.CUT)]

    def _feed(self, received: bytes) -> list[ChatEvent]:
        if self._after_cr and received:
            received = received.removeprefix(b"\n")
            self._after_cr = False
        if received:
            self._after_cr = received.endswith(b"\r")
        events: list[ChatEvent] = []
        start = 0
        for line_end in _LINE_END.finditer(received):
            self._line += received[start : line_end.start()]
            start = line_end.end()
            events += self._end_line()
            if self.ended:
                return events
        self._line += received[start:]
        if not self.ended and len(self._line) > MAX_EVENT_BYTES:
            events.append(self._fail(f"a line is longer than {MAX_EVENT_BYTES} bytes"))
        return events

    def _end_line(self) -> list[ChatEvent]:
        line = bytes(self._line)
        self._line.clear()
        if len(line) > MAX_EVENT_BYTES:
            return [self._fail(f"a line is longer than {MAX_EVENT_BYTES} bytes")]
        if self._first_line:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._first_line = False
        if not line:
            data, self._data, self._data_bytes = b"\n".join(self._data), [], 0
            return self._event(data) if data else []
        name, _, value = line.partition(b":")
        if name and name not in _FIELDS:  # without a name it is a comment, which keeps the connection alive
            return [self._fail("a line that is none of a server-sent event")]
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._data_bytes += len(line)
            if self._data_bytes > MAX_EVENT_BYTES:
                return [self._fail(f"an event is longer than {MAX_EVENT_BYTES} bytes")]
        return []

    def _event(self, data: bytes) -> list[ChatEvent]:
        if data.strip() == b"[DONE]":
            return self._finish("")
        try:
            chunk = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return [self._fail("an event that is no chunk of a chat completion")]
        if chunk.error is not None or chunk.object == "error":
            return [self._reported(chunk)]
        if chunk.choices is None:
            return [self._fail("an event with neither choices nor an error")]
        events: list[ChatEvent] = []
        for choice in chunk.choices:
            if choice.index != 0:  # we ask for one
                continue
            if choice.delta is not None and choice.delta.content:
                events += _delta(self._thoughts.push(choice.delta.content))
            if choice.delta is not None and choice.delta.tool_calls and not self._add(choice.delta.tool_calls):
                return [*events, self._fail("more functions are called, or with more words, than anybody would")]
            if choice.finish_reason in _GIVEN_UP:
                return [*events, self._fail("the server gave the answer up", AnswerFault.CUT)]
            if choice.finish_reason is not None:
                return [*events, *self._finish(choice.finish_reason)]
        return events

    def _reported(self, chunk: "_Chunk") -> Failed:
        """An error that the server met after it had begun to reply with 200."""
        code = str(chunk.error.get("code") if isinstance(chunk.error, dict) else chunk.code)
        status = int(code) if re.fullmatch("[1-5][0-9][0-9]", code) else None
        fault = AnswerFault.BAD_REPLY if status is None else fault_of_status(status)
        return self._fail("the server reports an error", fault, status)

    def _add(self, parts: "list[_ToolCall]") -> bool:
        """More of the functions that are called: a name comes whole, arguments bit by bit; False beyond the limits."""
        for part in parts:
            if part.index not in self._functions and len(self._functions) >= MAX_FUNCTIONS:
                return False
            wanted = self._functions.setdefault(part.index, _Function())
            wanted.name = part.function.name or wanted.name
            wanted.arguments.append(part.function.arguments or "")
            wanted.characters += len(wanted.arguments[-1])
            if wanted.characters > MAX_ARGUMENTS_CHARACTERS:
                return False
        return True

    def _finish(self, reason: str) -> list[ChatEvent]:
        self.ended = True
        called = [
            Called(FunctionWanted(wanted.name, "".join(wanted.arguments)))
            for _, wanted in sorted(self._functions.items())
            if wanted.name
        ]
        return [*_delta(self._thoughts.finish()), *called, Finished(reason)]

    def _fail(self, reason: str, fault: AnswerFault = AnswerFault.BAD_REPLY, status: int | None = None) -> Failed:
        self.ended = True
        return Failed(fault, reason, status)


def _delta(text: str) -> list[ChatEvent]:
    return [Delta(text)] if text else []


def fault_of_status(status: int) -> AnswerFault:
    """What an HTTP status other than 200 means for the caller."""
    match status:
        case 401 | 403:
            return AnswerFault.REFUSED
        case 429 | 503:
            return AnswerFault.OVERLOADED
        case 502 | 504:
            return AnswerFault.UNREACHABLE
        case _:
            return AnswerFault.BAD_REPLY


@dataclass(slots=True)
class _Function:
    """A function that is being called."""

    name: str = ""
    arguments: list[str] = field(default_factory=list)
    characters: int = 0


class _CalledFunction(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int = 0
    function: _CalledFunction = msgspec.field(default_factory=_CalledFunction)


class _Delta(msgspec.Struct):
    content: str | None = None  # what a model only thinks comes under other names, and is not for the caller
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    object: str | None = None
    error: Any = None
    code: Any = None  # of an error in the form that older vLLM gives it


_decoder = msgspec.json.Decoder(_Chunk)
