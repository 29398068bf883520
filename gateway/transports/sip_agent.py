"""The user agent's shell: its clock, its sockets, its questions to the DNS."""

import asyncio
from collections.abc import Callable
from time import monotonic

import structlog

from gateway.sip.flow import Flow
from gateway.sip.ua.agent import UserAgent
from gateway.sip.ua.effects import BadInput, Effect, Resolve, SendBytes
from gateway.sip.uri import SipUri
from gateway.transports.sip_network import SipNetwork
from gateway.transports.sip_resolver import SipResolver

log = structlog.get_logger()


class SipAgent:
    """Feeds one ``UserAgent`` and performs what it wants; what concerns calls goes to ``on_effect``."""

    def __init__(
        self,
        ua: UserAgent,
        resolver: SipResolver,
        on_effect: Callable[[Effect], None],
        on_bad: Callable[[str], None],
    ) -> None:
        self.ua = ua
        self._resolver = resolver
        self._on_effect = on_effect
        self._on_bad = on_bad
        self._loop = asyncio.get_running_loop()
        self._network: SipNetwork | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = float("inf")
        self._busy = False
        self._settled = asyncio.Event()
        self._questions: set[asyncio.Task[None]] = set()

    def attach(self, network: SipNetwork) -> None:
        """The sockets to send on; they deliver to ``receive`` and ``broken``."""
        self._network = network

    async def idle(self) -> None:
        """Return when nothing is left of any call or request."""
        while not self.ua.idle:
            self._settled.clear()
            await self._settled.wait()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._questions:
            task.cancel()

    def receive(self, data: bytes, flow: Flow) -> None:
        """A datagram, or a message cut from a stream."""
        try:
            self.ua.receive(data, flow, monotonic())
        except Exception:
            # A fault of ours in reading one message must not end the door for all calls.
            log.exception("sip.fault", peer=flow.remote[0])
            self._on_bad("fault")
        self.drain()

    def broken(self, flow: Flow) -> None:
        """A connection is gone, or could not be opened."""
        self.ua.transport_failed(flow, monotonic())
        self.drain()

    def drain(self) -> None:
        """Perform every effect; call it after each command to ``ua``."""
        if self._busy:
            return  # the drain under way takes what a handler of its effects caused
        self._busy = True
        try:
            while (effect := self.ua.poll()) is not None:
                try:
                    self._perform(effect)
                except Exception:
                    # A fault of ours with one call must not leave the effects of the others undone.
                    log.exception("sip.fault", effect=type(effect).__name__)
                    self._on_bad("fault")
        finally:
            self._busy = False
        self._settled.set()
        self._arm()

    def _perform(self, effect: Effect) -> None:
        assert self._network is not None, "a door that has started"
        match effect:
            case SendBytes(data, flow):
                self._network.send(data, flow)
            case Resolve(query, SipUri() as uri):
                task = self._loop.create_task(self._resolve(query, uri), name="sip-resolve")
                self._questions.add(task)
                task.add_done_callback(self._questions.discard)
            case BadInput(reason):
                self._on_bad(reason)
            case _:
                self._on_effect(effect)

    async def _resolve(self, query: int, uri: SipUri) -> None:
        assert self._network is not None, "a door that has started"
        targets = await self._resolver.resolve(uri)
        for target in targets:
            self._network.expect(target)
        self.ua.resolved(query, targets, monotonic())
        self.drain()

    def _arm(self) -> None:
        """Wake up for the next deadline; an earlier wake-up than needed does no harm and saves re-arming."""
        due = self.ua.next_deadline()
        if due is None or due >= self._armed_for:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = due
        self._timer = self._loop.call_later(max(0.0, due - monotonic()), self._wake)

    def _wake(self) -> None:
        self._armed_for = float("inf")
        self._timer = None
        self.ua.handle_deadline(monotonic())
        self.drain()
