"""What a trunk's peer is told without a call: that we are here (REGISTER), and the question whether it is (OPTIONS)."""

import asyncio
from collections.abc import Callable
from time import monotonic

import structlog

from gateway.config.sip import RegisterEntry, SipConfig
from gateway.metrics import GatewayMetrics
from gateway.sip.dial_plan import parse_proxy
from gateway.sip.flow import Transport
from gateway.sip.trunk import TrunkTable
from gateway.sip.ua.effects import Effect, PingAnswered, RegistrationChanged
from gateway.sip.ua.next_hop import asked_transport
from gateway.sip.ua.registration import Registration
from gateway.sip.uri import SipUri, parse_uri
from gateway.transports.sip_agent import SipAgent

log = structlog.get_logger()

_OUT_OF_SERVICE = frozenset({408, 503})  # of a proxy that is there, and says that it cannot serve

Contact = Callable[[Transport, str], SipUri]
"""Our address for a transport, as the host given reaches it."""


class SipPeers:
    """Keeps registrations alive and pings proxies, from ``start`` to ``stop``."""

    def __init__(
        self, config: SipConfig, trunks: TrunkTable, sip: SipAgent, contact: Contact, metrics: GatewayMetrics
    ) -> None:
        self._sip = sip
        self._contact = contact
        self._every_s = config.options_ping_s
        self._wanted = {entry.name: entry.register_ for entry in config.trunks if entry.register_ is not None}
        self._credentials = {trunk.name: trunk.outbound for trunk in trunks}
        self._proxies = {trunk.name: proxy for trunk in trunks if (proxy := parse_proxy(trunk.proxy)) is not None}
        self._registered = metrics.sip_registered
        self._peer_up = metrics.sip_peer_up
        self._registrations: dict[int, str] = {}
        self._pings: dict[int, str] = {}
        self._next: asyncio.TimerHandle | None = None
        self._stopping = False

    def start(self) -> None:
        """Register every trunk that wants it, and ask every proxy."""
        for name, entry in self._wanted.items():
            self._registered.labels(name).set(0)
            self._registrations[self._sip.ua.register(self._registration(name, entry), monotonic())] = name
        self._sip.drain()
        if self._every_s and self._proxies:
            self._ping()

    def stop(self) -> None:
        """Ask no more. The user agent removes the registrations when it stops."""
        self._stopping = True
        if self._next is not None:
            self._next.cancel()

    def take(self, effect: Effect) -> bool:
        """One effect of the user agent; False when it is not about registrations or pings."""
        match effect:
            case RegistrationChanged(id, registered, status):
                name = self._registrations[id]
                self._registered.labels(name).set(int(registered))
                if registered or self._stopping:
                    log.info("sip.registered" if registered else "sip.unregistered", trunk=name)
                else:
                    log.warning("sip.not_registered", trunk=name, status=status)
            case PingAnswered(id, status):
                name = self._pings.pop(id)
                self._peer_up.labels(name).set(int(status is not None and status not in _OUT_OF_SERVICE))
            case _:
                return False
        return True

    def _registration(self, name: str, entry: RegisterEntry) -> Registration:
        registrar, address = parse_uri(entry.registrar), parse_uri(entry.address)
        assert isinstance(registrar, SipUri), "the configuration was checked"
        assert isinstance(address, SipUri), "the configuration was checked"
        transport = asked_transport(registrar) or Transport.UDP
        at = self._contact(transport, registrar.host)
        contact = SipUri(at.host, address.user, at.port, at.params)  # so that calls name the line they are for
        return Registration(registrar, address, contact, self._credentials[name], entry.expires_s)

    def _ping(self) -> None:
        waited_for = set(self._pings.values())
        for name, proxy in self._proxies.items():
            if name not in waited_for:
                self._pings[self._sip.ua.ping(proxy, monotonic())] = name
        self._sip.drain()
        self._next = asyncio.get_running_loop().call_later(self._every_s, self._ping)
