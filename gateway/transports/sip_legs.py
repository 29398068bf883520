"""All legs of the SIP door, and what is done to any of them, whoever owns it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic

import structlog

from gateway.config.sip import SipConfig
from gateway.metrics import GatewayMetrics
from gateway.rtp.call_progress import congestion
from gateway.rtp.dtls_identity import make_identity
from gateway.sip.dial_plan import parse_proxy, route_to
from gateway.sip.name_addr import NameAddr
from gateway.sip.trunk import Trunk
from gateway.sip.ua.effects import CallHandle, Reason
from gateway.sip.uri import SipUri, parse_uri
from gateway.transports.media_plane import MediaPlane
from gateway.transports.rtp_leg import RtpLeg
from gateway.transports.rtp_ports import RtpPorts
from gateway.transports.sip_agent import SipAgent
from gateway.transports.sip_call import OUT_OF_ORDER, CallOwner, SipCall
from gateway.transports.sip_media import MediaRefusedError, SipMedia
from gateway.transports.stream_leg import EndLeg

log = structlog.get_logger()

_APOLOGY_S = 2.0
_MAX_STALE = 512  # datagrams; the socket's buffer holds fewer


class SipLegs:
    """The table of legs by handle; opens, re-negotiates and ends them."""

    def __init__(
        self, config: SipConfig, plane: MediaPlane, ports: RtpPorts, sip: SipAgent, metrics: GatewayMetrics
    ) -> None:
        self.sip = sip
        self._config = config
        self._plane = plane
        self._ports = ports
        self._metrics = metrics
        self._identity = make_identity(datetime.now(UTC))
        self._addresses = {
            entry.name: parse_uri(entry.register_.address) for entry in config.trunks if entry.register_ is not None
        }
        self._calls: dict[CallHandle, SipCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def get(self, handle: CallHandle) -> SipCall | None:
        return self._calls.get(handle)

    def add(self, call: SipCall) -> None:
        self._calls[call.handle] = call

    def new_media(self, trunk: Trunk) -> SipMedia:
        """Raises NoPortError."""
        return SipMedia(trunk, self._ports.take(), self._config.announced_host, self._identity)

    def place(
        self,
        owner: CallOwner,
        trunk: Trunk,
        target: SipUri,
        caller: str,
        headers: Sequence[tuple[str, str]] = (),
    ) -> SipCall:
        """Call ``target`` over ``trunk``, as the number ``caller``; the INVITE leaves with the next ``sip.drain``.

        Raises NoPortError and MediaRefusedError.
        """
        media = self.new_media(trunk)
        try:
            sdp = media.offer()
        except MediaRefusedError:
            media.pair.close()
            raise
        proxy = parse_proxy(trunk.proxy)
        handle = self.sip.ua.place_call(
            target,
            NameAddr(self._from(trunk, caller)),
            sdp,
            monotonic(),
            credentials=trunk.outbound,
            routes=route_to(target, proxy),
            headers=headers,
        )
        home = SipUri(target.host, None, target.port, target.params) if proxy is None else proxy
        call = SipCall(owner, handle, trunk, media, home, outgoing=True)
        self.add(call)
        return call

    def _from(self, trunk: Trunk, caller: str) -> SipUri:
        """As whom we call: at a registrar the address that is registered, for it knows no other."""
        address = self._addresses.get(trunk.name)
        if isinstance(address, SipUri):
            return SipUri(address.host, caller or address.user, address.port, scheme=address.scheme)
        return SipUri(self._config.announced_host, caller or "twowire")

    def open(self, call: SipCall, on_end: EndLeg = lambda action, arguments: None) -> RtpLeg:
        """Media passes from now on; ``on_end`` is for a leg that a call's core gets."""
        assert call.media.stream is not None, "negotiated"
        if call.outgoing and call.media.handshake is None:
            self._forget_early_media(call)
        call.leg = self._plane.open(
            call.media.pair,
            call.media.stream,
            self._config.rtp_timeout_s,
            on_end=on_end,
            on_dead=lambda: call.owner.dead(call),
            handshake=call.media.handshake,
        )
        return call.leg

    def _forget_early_media(self, call: SipCall) -> None:
        """While it rang the peer may have played its own tone: old news when somebody answers."""
        for _ in range(_MAX_STALE):
            try:
                call.media.pair.rtp.recv(1)
            except OSError:
                return

    def accept(self, call: SipCall, sdp: bytes) -> str:
        """Take the answer to our offer. "", or why it does not do: the leg is hung up then."""
        try:
            call.media.accept(sdp)
        except MediaRefusedError as error:
            self.count_bad(error.reason)
            self.hang_up(call, Reason("SIP", error.status, error.reason))
            return error.reason
        return ""

    def reoffered(self, call: SipCall, sdp: bytes | None) -> None:
        """Hold, resume, another address: the peer changes the session (RFC 3261 §14)."""
        try:
            answer = call.media.offer() if sdp is None else call.media.answer(sdp)
        except MediaRefusedError as error:
            self.count_bad(error.reason)
            self.sip.ua.reject_offer(call.handle, error.status, monotonic())
        else:
            self.sip.ua.answer_offer(call.handle, answer, monotonic())
        self.sip.drain()

    def hang_up(self, call: SipCall, reason: Reason) -> None:
        if not call.ended:
            self.sip.ua.hang_up(call.handle, monotonic(), reason)
            self.sip.drain()

    def apologize(self, call: SipCall) -> None:
        """The caller hears the tone that means "this call cannot be completed", then is let go."""
        if call.ended:
            return
        assert call.leg is not None, "a call that began has a leg"
        call.leg.clear()
        call.leg.send_audio(congestion(call.media.codec, _APOLOGY_S))
        asyncio.get_running_loop().call_later(_APOLOGY_S, self.hang_up, call, OUT_OF_ORDER)

    def close(self, call: SipCall) -> None:
        """Forget a leg and give its ports back."""
        call.ended = True
        self._calls.pop(call.handle, None)
        if call.leg is not None:
            self._plane.close(call.leg)
        else:
            call.media.pair.close()

    def count_bad(self, reason: str) -> None:
        """Input of a peer that was refused or ignored."""
        self._metrics.bad_input.labels("sip", reason).inc()
