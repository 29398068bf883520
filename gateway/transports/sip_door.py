"""The SIP door: user agent, sockets, media and calls put together."""

import asyncio
import random
import secrets
from ipaddress import ip_address
from time import monotonic

import structlog

from gateway.config.sip import SipConfig, client_context, server_context
from gateway.metrics import GatewayMetrics
from gateway.runner.hub import CallHub
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
from gateway.transports.sip_network import SipNetwork
from gateway.transports.sip_resolver import SipResolver

log = structlog.get_logger()

REALM = "twowire"
_GOODBYE_S = 1.0  # for the answers to our last BYEs


class SipDoor:
    """Everything of one gateway that speaks SIP."""

    def __init__(self, config: SipConfig, agent: str, hub: CallHub, metrics: GatewayMetrics) -> None:
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
        low, high = config.rtp_ports
        self._calls = SipCalls(
            config,
            trunks,
            agent,
            hub,
            MediaPlane(hub.ticker),
            RtpPorts(config.media_host, low, high),
            self._agent,
            metrics,
        )

    async def start(self) -> None:
        """Listen and register. Raises ConfigError."""
        await self._network.start()
        log.info(
            "sip.ready", listen=[f"{b.transport.value} {b.address[0]}:{b.address[1]}" for b in self._network.bound]
        )

    async def stop(self) -> None:
        """Say goodbye to every peer and close the sockets."""
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

    def _take(self, effect: Effect) -> None:
        self._calls.take(effect)

    def _count_bad(self, reason: str) -> None:
        self._metrics.bad_input.labels("sip", reason).inc()

    def _contact(self, flow: Flow) -> SipUri:
        """Our address as the peer on this flow can reach it."""
        local = self._network.local_for(flow.transport, flow.remote)
        host = self._config.advertise or (flow.local[0] if not ip_address(flow.local[0]).is_unspecified else local[0])
        params = Params() if flow.transport is Transport.UDP else Params([("transport", flow.transport.value.lower())])
        return SipUri(host, "twowire", local[1], params)

    def _flow_to(self, target: Target) -> Flow:
        return Flow(target.transport, self._network.local_for(target.transport, target.address), target.address)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
