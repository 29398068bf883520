"""Where a SIP URI is served: RFC 3263, with dnspython asking the questions."""

import random
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.resolver
import structlog

from gateway.sip.flow import Target, Transport
from gateway.sip.uri import SipUri

log = structlog.get_logger()

_LIFETIME_S = 4.0
MAX_TARGETS = 8
_SERVICES = {"SIP+D2U": Transport.UDP, "SIP+D2T": Transport.TCP, "SIPS+D2T": Transport.TLS}
_SRV = {Transport.UDP: "_sip._udp", Transport.TCP: "_sip._tcp", Transport.TLS: "_sips._tcp"}


class SipResolver:
    """Finds the targets of a URI, best first. An empty list means there are none."""

    def __init__(self, resolver: dns.asyncresolver.Resolver | None = None) -> None:
        self._resolver = resolver

    async def resolve(self, uri: SipUri) -> Sequence[Target]:
        """RFC 3263 §4: an address or a port decides by itself, else NAPTR, SRV, A and AAAA are asked in turn."""
        host = uri.maddr or uri.host
        named = self._named_transport(uri)
        try:
            ip_address(host)
        except ValueError:
            pass
        else:
            transport = named or (Transport.TLS if uri.scheme == "sips" else Transport.UDP)
            return [Target(transport, (host, uri.port or transport.default_port), host)]
        if self._resolver is None:
            self._resolver = dns.asyncresolver.Resolver()
        try:
            return (await self._by_name(uri, host, named))[:MAX_TARGETS]
        except dns.exception.DNSException as error:
            log.warning("sip.dns_failed", host=host, error=type(error).__name__)
            return []

    @staticmethod
    def _named_transport(uri: SipUri) -> Transport | None:
        name = (uri.transport or "").upper()
        if uri.scheme == "sips":
            return Transport.TLS
        return Transport(name) if name in Transport.__members__ else None

    async def _by_name(self, uri: SipUri, host: str, named: Transport | None) -> list[Target]:
        if uri.port is not None:
            return await self._addresses(named or Transport.UDP, host, uri.port, host)
        transports = [named] if named else await self._naptr(host)
        for transport in transports or (Transport.UDP, Transport.TCP, Transport.TLS):
            targets = await self._srv(transport, host)
            if targets:
                return targets
        transport = named or Transport.UDP
        return await self._addresses(transport, host, transport.default_port, host)

    async def _naptr(self, host: str) -> list[Transport]:
        records = await self._ask(host, "NAPTR")
        ordered = sorted(records, key=lambda record: (record.order, record.preference))
        services = [record.service.decode("ascii", "replace").upper() for record in ordered]
        return [_SERVICES[service] for service in services if service in _SERVICES]

    async def _srv(self, transport: Transport, host: str) -> list[Target]:
        """RFC 2782: lowest priority first, within it by weighted chance."""
        records = await self._ask(f"{_SRV[transport]}.{host}", "SRV")
        ordered = sorted(records, key=lambda r: (r.priority, -(random.random() ** (1 / max(r.weight, 0.01)))))
        targets: list[Target] = []
        for record in ordered:
            name = record.target.to_text(omit_final_dot=True)
            if name and len(targets) < MAX_TARGETS:
                targets += await self._addresses(transport, name, record.port, host)
        return targets

    async def _addresses(self, transport: Transport, name: str, port: int, server_name: str) -> list[Target]:
        if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 §6.3: never asked of a server
            return [Target(transport, ("127.0.0.1", port), server_name)]
        hosts = [record.address for kind in ("A", "AAAA") for record in await self._ask(name, kind)]
        return [Target(transport, (host, port), server_name) for host in hosts]

    async def _ask(self, name: str, kind: str) -> list[Any]:
        assert self._resolver is not None, "made before the first question"
        try:
            return list(await self._resolver.resolve(name, kind, lifetime=_LIFETIME_S))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
