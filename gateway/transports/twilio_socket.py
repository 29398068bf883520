"""One Media Streams WebSocket: the shell between picows and the call's session.

picows carries it because it costs a third of the next WebSocket server per call
(docs/adr/0002); nothing outside this package knows that.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from gateway.events import LegEnded
from gateway.metrics import GatewayMetrics
from gateway.runner.session import CallSession
from gateway.seams import Leg
from gateway.transports.twilio_leg import TwilioLeg, close
from gateway.twilio.stream import StreamEvent, StreamStarted, TwilioStream

log = structlog.get_logger()

MAX_MESSAGE_BYTES = 64 * 1024
START_TIMEOUT_S = 10.0  # Twilio sends start at once; a socket without one is not Twilio
MAX_EARLY_EVENTS = 200  # 4 s of media while the token is being checked

Authorize = Callable[[StreamStarted, Leg], Awaitable[CallSession]]
"""Check the token and begin the call. Raises StreamRefusedError."""


class StreamRefusedError(Exception):
    """The stream does not belong to an admitted call; ``reason`` is its label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TwilioSocket(WSListener):
    """Reads one media socket into one session."""

    def __init__(self, authorize: Authorize, metrics: GatewayMetrics) -> None:
        super().__init__()
        self._authorize = authorize
        self._metrics = metrics
        self._stream = TwilioStream()
        self._counted: Counter[str] = Counter()
        self._socket: WSTransport | None = None
        self._session: CallSession | None = None
        self._authorizing: asyncio.Task[None] | None = None
        self._early: list[StreamEvent] = []
        self._fragments: bytearray | None = None
        self._start_timer: asyncio.TimerHandle | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._socket = transport
        loop = asyncio.get_running_loop()
        self._start_timer = loop.call_later(START_TIMEOUT_S, self._refuse, "no_start")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is WSMsgType.TEXT and frame.fin:
            self._receive_text(frame.get_payload_as_bytes())
        elif kind is WSMsgType.TEXT:
            self._fragments = bytearray(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CONTINUATION and self._fragments is not None:
            self._fragments += frame.get_payload_as_bytes()
            if len(self._fragments) > MAX_MESSAGE_BYTES:
                self._fragments = None
                close(transport, WSCloseCode.MESSAGE_TOO_BIG)
            elif frame.fin:
                text, self._fragments = bytes(self._fragments), None
                self._receive_text(text)
        elif kind is WSMsgType.CLOSE:
            close(transport, WSCloseCode.OK)
            transport.disconnect()
        elif kind is WSMsgType.BINARY:
            self._metrics.bad_input.labels("twilio", "binary_frame").inc()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._start_timer is not None:
            self._start_timer.cancel()
        self._count_bad()
        self._give(LegEnded("leg_lost"))

    def pause_writing(self) -> None:
        """The peer does not read: a phone line that is seconds behind is dead."""
        self._give(LegEnded("leg_stalled"))
        if self._socket is not None:
            self._socket.disconnect(graceful=False)

    def resume_writing(self) -> None:
        """Nothing waits for it: ``pause_writing`` gave the socket up."""

    def _receive_text(self, text: bytes) -> None:
        if self._socket is None or self._socket.is_close_frame_sent:
            return  # we said goodbye: what still comes is for nobody
        event = self._stream.receive(text)
        if isinstance(event, bytes):
            if self._session is not None:
                self._session.receive_media(event)
            else:
                self._give(event)
        elif isinstance(event, StreamStarted):
            self._authorizing = asyncio.create_task(self._begin(event))
        elif event is not None:
            self._give(event)
            if isinstance(event, LegEnded) and self._socket is not None:
                close(self._socket, WSCloseCode.OK)

    def _give(self, event: StreamEvent) -> None:
        """Hand an event to the session, or keep it until there is one."""
        if self._session is None:
            if len(self._early) < MAX_EARLY_EVENTS or isinstance(event, LegEnded):
                self._early.append(event)
            else:
                self._metrics.bad_input.labels("twilio", "early_overflow").inc()
        elif isinstance(event, bytes):
            self._session.receive_media(event)
        elif not isinstance(event, StreamStarted):
            self._session.post(event)

    async def _begin(self, started: StreamStarted) -> None:
        assert self._socket is not None, "messages come from a connected socket"
        if self._start_timer is not None:
            self._start_timer.cancel()
        try:
            self._session = await self._authorize(started, TwilioLeg(self._socket, started.stream_sid))
        except StreamRefusedError as error:
            self._refuse(error.reason)
            return
        except Exception:
            log.exception("stream.fault")
            self._refuse("fault")
            return
        early, self._early = self._early, []
        for event in early:
            self._give(event)

    def _refuse(self, reason: str) -> None:
        self._metrics.bad_input.labels("twilio", reason).inc()
        log.warning("stream.refused", reason=reason)
        if self._socket is not None:
            close(self._socket, WSCloseCode.POLICY_VIOLATION, reason)

    def _count_bad(self) -> None:
        for reason, count in (self._stream.bad - self._counted).items():
            self._metrics.bad_input.labels("twilio", reason).inc(count)
        self._counted = self._stream.bad.copy()
