"""The browser door: admits calls, ticks their media, lets browsers come back (``gateway.runner.browser``)."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog
from aiortc import RTCCertificate, RTCIceServer

from gateway.config.webrtc import WebRtcConfig
from gateway.fallback import Ladder, SmallerEngine
from gateway.metrics import GatewayMetrics
from gateway.runner.browser import Answered, TooManyOffersError, UnknownSessionError
from gateway.runner.feed import LiveFeed
from gateway.runner.hub import CallHub, NoSlotError
from gateway.runner.session import CallSession
from gateway.seams import CallSetup
from gateway.transports.stream_leg import STREAM_PLAYOUT
from gateway.transports.webrtc_call import BrowserCall
from gateway.transports.webrtc_events import EventWriter
from gateway.transports.webrtc_path import Ice, PathFailedError
from gateway.webrtc.offer import BrowserOffer
from gateway.webrtc.trickle import Fragment
from wire.bus.seam import Lease
from wire.ids import CallId

log = structlog.get_logger()

DOOR = "webrtc"
WATCH_EVERY_TICKS = 25  # half a second
_CERTIFICATE_LIFE = timedelta(days=1)


class WebRtcDoor:
    """All browser calls of one gateway."""

    def __init__(
        self,
        config: WebRtcConfig,
        agent: str,
        hub: CallHub,
        metrics: GatewayMetrics,
        feed: LiveFeed,
        ladder: Ladder,
    ) -> None:
        self._config = config
        self._agent = agent
        self._hub = hub
        self._metrics = metrics
        self._feed = feed
        self._ladder = ladder
        self._certificate = RTCCertificate.generateCertificate()
        self._renew_at = datetime.now(UTC) + _CERTIFICATE_LIFE
        self._calls: dict[str, BrowserCall] = {}
        self._writers: dict[BrowserCall, EventWriter] = {}
        self._ticks = 0
        self._opening = 0

    @property
    def sessions(self) -> int:
        """Calls, and offers that wait for their connection."""
        return len(self._calls)

    async def open(self, offer: BrowserOffer, agent: str, variables: Mapping[str, str]) -> Answered:
        """Answer a new call. Raises NoSlotError and TooManyOffersError."""
        half_open = self._opening + sum(call.half_open for call in self._calls.values())
        if half_open >= self._config.max_half_open:
            self._count_bad("too_many_offers")
            raise TooManyOffersError
        if self._opening + len(self._calls) >= self._config.max_sessions:
            raise NoSlotError("max_sessions")
        name = CallId(f"web-{secrets.token_hex(12)}")
        self._opening += 1
        try:
            lease = await self._admit(name, agent or self._agent)
        finally:
            self._opening -= 1
        call = BrowserCall(
            lease,
            agent or self._agent,
            variables,
            self._current_certificate(),
            self._current_ice,
            self._begin,
            self._end,
        )
        self._calls[call.name] = call
        try:
            answer = await call.answer(offer)
        except PathFailedError as error:
            call.hang_up(error.reason)
            raise NoSlotError(error.reason) from None
        except BaseException:
            call.hang_up("fault")
            raise
        return Answered(call.name, name, answer)

    async def _admit(self, name: CallId, agent: str) -> Lease:
        """A slot of whichever engine will do; a ladder's other steps need a telephone. Raises NoSlotError."""
        try:
            return await self._hub.admit(name, agent, DOOR)
        except NoSlotError:
            for step in self._ladder.in_turn:
                if isinstance(step, SmallerEngine):
                    with suppress(NoSlotError):
                        return await self._hub.admit(name, agent, DOOR, step.engine)
            raise

    async def reattach(self, session: str, offer: BrowserOffer) -> Answered:
        """Answer a browser that comes back to its call. Raises UnknownSessionError; NoSlotError without a network."""
        call = self._find(session)
        try:
            answer = await call.answer(offer)
        except PathFailedError as error:
            raise NoSlotError(error.reason) from None
        if call.over:
            raise UnknownSessionError
        return Answered(session, call.lease.call, answer)

    async def add_candidates(self, session: str, fragment: Fragment) -> None:
        """Raises UnknownSessionError."""
        await self._find(session).add_candidates(fragment.candidates, end=fragment.end)

    async def close(self, session: str) -> None:
        """The browser hangs up. Raises UnknownSessionError."""
        self._find(session).hang_up("caller_hung_up")

    async def stop(self) -> None:
        """Say goodbye to every browser."""
        calls = list(self._calls.values())
        for call in calls:
            call.hang_up("gateway_stopping")
        for call in calls:
            await call.closed()
        self._hub.ticker.remove(self._on_tick)

    def _find(self, session: str) -> BrowserCall:
        call = self._calls.get(session)
        if call is None:
            raise UnknownSessionError
        return call

    def _current_certificate(self) -> RTCCertificate:
        now = datetime.now(UTC)
        if now >= self._renew_at:
            self._certificate = RTCCertificate.generateCertificate()
            self._renew_at = now + _CERTIFICATE_LIFE
        return self._certificate

    def _current_ice(self) -> Ice:
        """For one path: credentials for a relay expire."""
        servers = tuple(
            RTCIceServer(urls=list(server.urls), username=server.username, credential=server.credential)
            for server in self._config.own_ice_servers()
        )
        return Ice(servers, self._config.relay_only, self._config.public_hosts)

    def _begin(self, call: BrowserCall) -> CallSession:
        """There is a path: the conversation begins."""
        assert call.leg is not None, "media was negotiated before there was a path"
        setup = CallSetup(DOOR, call.codec, STREAM_PLAYOUT, call.agent, variables=call.variables)
        session = self._hub.attach(call.lease, setup, call.leg)
        self._writers[call] = EventWriter(self._feed.subscribe(call.lease.call))
        self._hub.ticker.add(self._on_tick, first=True)  # before the calls are woken: packets leave on the dot
        return session

    def _end(self, call: BrowserCall, reason: str) -> None:
        self._calls.pop(call.name, None)
        for name, count in call.refused():
            self._metrics.bad_input.labels(DOOR, name).inc(count)
        writer = self._writers.pop(call, None)
        if writer is not None:
            writer.close()
        else:  # it never began
            self._count_bad(reason)
            self._hub.give_up(call.lease.call)
        if not self._writers:
            self._hub.ticker.remove(self._on_tick)

    def _on_tick(self, _late_s: float) -> None:
        now = monotonic()
        self._ticks += 1
        watch = self._ticks % WATCH_EVERY_TICKS == 0
        calls = [call for call in self._calls.values() if call.ticking]
        for call in calls:
            if call.leg is not None:
                self._safely(call, call.leg.send_due, now)
        for call in calls:
            if call.leg is not None:
                self._safely(call, call.leg.tick, now)
            if watch:
                self._safely(call, call.watch, now, self._config.reattach_s)
        for call, writer in tuple(self._writers.items()):
            self._safely(call, writer.write, call.channel, now)

    def _safely(self, call: BrowserCall, work: Callable[..., None], *given: object) -> None:
        """A fault of ours costs one call, and no other its tick."""
        try:
            work(*given)
        except Exception:
            log.exception("webrtc.call_fault", call=call.lease.call)
            call.hang_up("fault")

    def _count_bad(self, reason: str) -> None:
        self._metrics.bad_input.labels(DOOR, reason).inc()
