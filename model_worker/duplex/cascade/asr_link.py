"""Recognizers on WebSockets: a connection for each call, made before its first word; protocols are pure and plugged in.

A connection that breaks in the middle of an utterance is followed by another, which hears the utterance from its begin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from model_worker.duplex.cascade.seam import HeardWords
from model_worker.duplex.remote.effects import Frame, Request, SessionFault
from model_worker.duplex.remote.seam import Connected, LinkEvent, LinkId, Links, Lost, Received
from model_worker.seams import Pcm
from wire.ids import CallId

MAX_FAILURES = 2  # connections of an utterance in a row, or between two
REPLAY_SAMPLES = 2 * 16_000  # at once: an utterance must fit into what a link holds unsent
MAX_UTTERANCE_SAMPLES = 40 * 16_000  # kept to be heard again; longer ones go on without their begin


@dataclass(frozen=True, slots=True)
class Prepared:
    """The connection takes sound from here on."""


@dataclass(frozen=True, slots=True)
class Partial:
    """All words of the utterance so far."""

    text: str


@dataclass(frozen=True, slots=True)
class Final:
    text: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The connection is of no use any more."""

    fault: SessionFault


AsrEvent = Prepared | Partial | Final | Failed


class AsrProtocol(Protocol):
    """One connection; pure."""

    one_utterance: bool
    """It is good for one only, and another is made for the next."""
    prepared_on_connect: bool
    """Its server says nothing first: there is no ``Prepared``."""

    def connected(self) -> list[Frame]: ...

    def receive(self, frame: Frame) -> list[AsrEvent]:
        """Never raises, whatever comes."""

    def begin(self) -> list[Frame]:
        """After ``Prepared``, and after the ``Final`` of the one before."""

    def audio(self, pcm: Pcm) -> list[Frame]: ...

    def finish(self) -> list[Frame]: ...


class LinkedAsr:
    """``StreamingAsr`` by a protocol. ``protocol`` makes one for a connection, in a language; ``links`` are shared."""

    def __init__(self, links: Links, request: Request, protocol: Callable[[str], AsrProtocol]) -> None:
        self._links = links
        self._request = request
        self._protocol = protocol
        self._lines: dict[CallId, _Line] = {}
        self._by_link: dict[LinkId, _Line] = {}
        self._told: list[HeardWords] = []

    @property
    def ready(self) -> bool:
        return self._links.ready or bool(self._told)

    def on_ready(self, wake: Callable[[], None]) -> None:
        self._links.on_ready(wake)

    def open(self, call: CallId, language: str) -> None:
        self.close(call)
        self._lines[call] = _Line(call, language)
        self._connect(self._lines[call])

    def start(self, call: CallId) -> None:
        self.cancel(call)
        line = self._lines[call]
        line.utterance, line.samples, line.sent, line.finished = [], 0, 0, False
        line.failures = 0
        if line.link is None:
            self._connect(line)
        self._pump(line)

    def feed(self, call: CallId, pcm: Pcm) -> None:
        line = self._lines[call]
        if line.utterance is None or line.finished or len(pcm) == 0:
            return
        line.utterance.append(pcm)
        line.samples += len(pcm)
        while line.samples > MAX_UTTERANCE_SAMPLES and len(line.utterance) > 1:
            line.samples -= len(line.utterance.pop(0))
            line.sent = max(0, line.sent - 1)
        self._pump(line)

    def finish(self, call: CallId) -> None:
        line = self._lines[call]
        if line.utterance is not None:
            line.finished = True
            self._pump(line)

    def cancel(self, call: CallId) -> None:
        line = self._lines[call]
        if line.utterance is None:
            return
        line.utterance = None
        # No protocol takes back what it was told: its words would come with the next ones. And a connection that took
        # no sound until the utterance was over and given up is not worth waiting for any longer.
        if line.begun or line.finished:
            self._reconnect(line)

    def poll(self) -> list[HeardWords]:
        for link, event in self._links.poll():
            if (line := self._by_link.get(link)) is not None:
                self._take(line, event)
        told, self._told = self._told, []
        return told

    def close(self, call: CallId) -> None:
        if (line := self._lines.pop(call, None)) is not None:
            self._disconnect(line)

    def _take(self, line: "_Line", event: LinkEvent) -> None:
        match event:
            case Connected():
                assert line.protocol is not None, "a link that is open has a protocol"
                self._send(line, line.protocol.connected())
                if line.protocol.prepared_on_connect:
                    self._apply(line, Prepared())
            case Received(frame):
                assert line.protocol is not None, "a link that is open has a protocol"
                for told in line.protocol.receive(frame):
                    self._apply(line, told)
            case Lost(fault):
                self._apply(line, Failed(fault))

    def _apply(self, line: "_Line", event: AsrEvent) -> None:
        match event:
            case Prepared():
                line.prepared = True
                self._pump(line)
            case Partial(text) if line.utterance is not None:
                self._told.append(HeardWords(line.call, text))
            case Final(text, confidence) if line.utterance is not None and line.finish_sent:
                line.failures = 0
                line.served = True
                line.utterance = None
                line.begun = line.finish_sent = False
                self._told.append(HeardWords(line.call, text, final=True, confidence=confidence))
                if line.protocol is not None and line.protocol.one_utterance:
                    self._reconnect(line)
            case Final() if line.begun:
                self._fail(line, SessionFault.SERVER_ERROR)  # it gave up before the end; the rest would be lost
            case Failed(fault):
                self._fail(line, fault)

    def _fail(self, line: "_Line", fault: SessionFault) -> None:
        line.failures += 1
        if fault.worth_another_try and line.failures < MAX_FAILURES:
            self._reconnect(line)
            return
        was_open = line.utterance is not None
        line.utterance = None
        self._disconnect(line)  # another one is made for the next utterance
        # A server that had room for this call will have it again; the next utterance asks.
        lasting = not fault.worth_another_try and not (fault is SessionFault.FULL and line.served)
        if was_open or lasting:
            self._told.append(HeardWords(line.call, "", final=True, fault=fault, lasting=lasting))

    def _connect(self, line: "_Line") -> None:
        line.protocol = self._protocol(line.language)
        line.link = self._links.open(self._request)
        line.prepared = line.begun = line.finish_sent = False
        line.sent = 0
        self._by_link[line.link] = line

    def _disconnect(self, line: "_Line") -> None:
        if line.link is not None:
            self._links.close(line.link)
            del self._by_link[line.link]
        line.link = line.protocol = None
        line.prepared = line.begun = line.finish_sent = False

    def _reconnect(self, line: "_Line") -> None:
        self._disconnect(line)
        self._connect(line)

    def _pump(self, line: "_Line") -> None:
        """Send what may be sent by now."""
        if line.utterance is None or not line.prepared or line.protocol is None:
            return
        if not line.begun:
            line.begun = True
            self._send(line, line.protocol.begin())
        if waiting := line.utterance[line.sent :]:
            pcm = np.concatenate(waiting)
            for at in range(0, len(pcm), REPLAY_SAMPLES):
                self._send(line, line.protocol.audio(pcm[at : at + REPLAY_SAMPLES]))
        line.sent = len(line.utterance)
        if line.finished and not line.finish_sent:
            line.finish_sent = True
            self._send(line, line.protocol.finish())

    def _send(self, line: "_Line", frames: list[Frame]) -> None:
        if line.link is not None:
            for frame in frames:
                self._links.send(line.link, frame)


class _Line:
    """One call's connection and its utterance."""

    def __init__(self, call: CallId, language: str) -> None:
        self.call = call
        self.language = language
        self.link: LinkId | None = None
        self.protocol: AsrProtocol | None = None
        self.prepared = False
        self.begun = False
        """The connection was told of the utterance."""
        self.finish_sent = False
        self.failures = 0
        self.served = False
        """It was told the final words of an utterance before."""
        self.utterance: list[Pcm] | None = None
        """Its sound so far; None where none is open."""
        self.samples = 0
        self.sent = 0
        """How many pieces of it this connection was given."""
        self.finished = False
