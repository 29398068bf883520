"""The SIP door: user agent, sockets, media and calls put together."""

import asyncio
import random
import secrets
from ipaddress import ip_address
from time import monotonic

import structlog

from gateway.config.sip import SipConfig, client_context, server_context
from gateway.metrics import GatewayMetrics
from gateway.runner.fallback_desk import FallbackDesk
from gateway.runner.hub import CallHub
from gateway.runner.outbound import DialOrder
from gateway.sip.admission import TrunkGate
from gateway.sip.digest import DigestVerifier
from gateway.sip.flow import Flow, Target, Transport
from gateway.sip.params import Params
from gateway.sip.ua.agent import UserAgent
from gateway.sip.ua.config import UserAgentConfig
from gateway.sip.ua.effects import Effect
from gateway.sip.uri import SipUri
from gateway.transports.media_plane import MediaPlane
from gateway.transports.rtp_ports import RtpPorts
from gateway.transports.sip_agent import SipAgent
from gateway.transports.sip_calls import SipCalls
from gateway.transports.sip_dialler import SipDialler
from gateway.transports.sip_legs import SipLegs
from gateway.transports.sip_network import SipNetwork
from gateway.transports.sip_peers import SipPeers
from gateway.transports.sip_resolver import SipResolver
from gateway.transports.sip_transfer import Transfers
from wire.ids import CallId

log = structlog.get_logger()

REALM = "twowire"
_GOODBYE_S = 1.0  # for the answers to our last BYEs


class SipDoor:
    """Everything of one gateway that speaks SIP."""

    def __init__(
        self, config: SipConfig, agent: str, hub: CallHub, desk: FallbackDesk, metrics: GatewayMetrics
    ) -> None:
        self._config = config
        trunks = config.trunk_table()
        self._gate = TrunkGate(trunks, DigestVerifier(REALM, secrets.token_bytes(32), lambda: secrets.token_hex(8)))
        ua = UserAgent(
            UserAgentConfig(contact=self._contact, flow_to=self._flow_to),
            self._gate,
            new_token=lambda: secrets.token_hex(8),
            chance=random.SystemRandom().random,
        )
        self._agent = SipAgent(ua, SipResolver(), self._take, self._count_bad)
        self._metrics = metrics
        self._network = SipNetwork(
            config.listen,
            None if config.tls is None else server_context(config.tls),
            lambda: client_context(config.tls),
            self._agent.receive,
            self._agent.broken,
            self._count_bad,
        )
        self._agent.attach(self._network)
        ports = RtpPorts(config.media_host, *config.rtp_ports)
        legs = SipLegs(config, MediaPlane(hub.ticker), ports, self._agent, metrics)
        self._calls = SipCalls(trunks, agent, hub, desk, legs, Transfers(legs, hub, metrics), metrics)
        self._dialler = SipDialler(trunks, agent, hub, legs, self._calls, metrics)
        self._peers = SipPeers(config, trunks, self._agent, self._contact_for, metrics)

    async def start(self) -> None:
        """Listen and register. Raises ConfigError."""
        await self._network.start()
        log.info(
            "sip.ready", listen=[f"{b.transport.value} {b.address[0]}:{b.address[1]}" for b in self._network.bound]
        )
        self._peers.start()

    async def stop(self) -> None:
        """Say goodbye to every peer and close the sockets."""
        self._peers.stop()
        self._agent.ua.stop(monotonic())
        self._agent.drain()
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._agent.idle()
        except TimeoutError:
            pass  # a peer that does not answer a BYE by now will find out by itself
        self._agent.close()
        self._network.close()

    @property
    def uri(self) -> str:
        """Where a phone reaches the gateway, as a person would dial it."""
        bound = self._network.bound[0]
        transport = "" if bound.transport is Transport.UDP else f";transport={bound.transport.value.lower()}"
        return f"sip:agent@{_host(self._config.announced_host)}:{bound.address[1]}{transport}"

    async def dial(self, order: DialOrder) -> CallId:
        """Place a call; returns while it rings. Raises NotDialledError."""
        return await self._dialler.dial(order)

    def _take(self, effect: Effect) -> None:
        if not self._peers.take(effect):
            self._calls.take(effect)

    def _count_bad(self, reason: str) -> None:
        self._metrics.bad_input.labels("sip", reason).inc()

    def _contact(self, flow: Flow) -> SipUri:
        """Our address as the peer on this flow can reach it."""
        local = self._network.local_for(flow.transport, flow.remote)
        host = self._config.advertise or (flow.local[0] if not ip_address(flow.local[0]).is_unspecified else local[0])
        params = Params() if flow.transport is Transport.UDP else Params([("transport", flow.transport.value.lower())])
        return SipUri(host, "twowire", local[1], params)

    def _contact_for(self, transport: Transport, host: str) -> SipUri:
        """Our address before there is a flow; a name is taken to be reached as our first listener is."""
        try:
            remote = (str(ip_address(host)), 0)
        except ValueError:
            remote = self._network.bound[0].address
        return self._contact(Flow(transport, self._network.local_for(transport, remote), remote))

    def _flow_to(self, target: Target) -> Flow:
        return Flow(target.transport, self._network.local_for(target.transport, target.address), target.address)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
