"""What SIP calls mean to the gateway: who answers them, what media they get, when they end."""

import asyncio
import secrets
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from time import monotonic

import structlog

from gateway.config.sip import SipConfig
from gateway.events import KeyPressed, LegEnded
from gateway.metrics import GatewayMetrics
from gateway.rtp.call_progress import congestion
from gateway.rtp.dtls_identity import make_identity
from gateway.runner.hub import CallHub, NoSlotError
from gateway.runner.session import CallSession
from gateway.seams import CallSetup
from gateway.sip.dtmf_info import key_in_info
from gateway.sip.errors import SipParseError
from gateway.sip.flow import Address
from gateway.sip.identity import Identity, identify
from gateway.sip.trunk import Trunk, TrunkTable
from gateway.sip.ua.effects import (
    CallConfirmed,
    CallEnded,
    CallHandle,
    Effect,
    EndCause,
    IncomingCall,
    InfoReceived,
    OfferReceived,
    Reason,
    TransferProgress,
)
from gateway.sip.uri import Uri, parse_uri
from gateway.transports.media_plane import MediaPlane
from gateway.transports.rtp_leg import RTP_PLAYOUT, RtpLeg
from gateway.transports.rtp_ports import NoPortError, RtpPorts
from gateway.transports.sip_agent import SipAgent
from gateway.transports.sip_media import MediaRefusedError, SipMedia
from wire.bus.seam import Lease
from wire.ids import CallId

log = structlog.get_logger()

_RETRY_AFTER_S = 10  # calls last minutes: of hundreds one ends within seconds
_APOLOGY_S = 2.0

NORMAL = Reason("Q.850", 16, "Normal call clearing")
OUT_OF_ORDER = Reason("Q.850", 27, "Destination out of order")
NO_MEDIA = Reason("SIP", 408, "No media received")

_LEG_REASONS = {EndCause.PEER_HUNG_UP: "caller_hung_up"}


class SipCall:
    """One call of the door, from its INVITE to the end of its dialog."""

    def __init__(
        self, handle: CallHandle, trunk: Trunk, agent: str, who: Identity, media: SipMedia, peer: Address
    ) -> None:
        self.id = CallId("sip-" + secrets.token_hex(12))
        self.handle = handle
        self.trunk = trunk
        self.agent = agent
        self.who = who
        self.media = media
        self.peer_host = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
        self.lease: Lease | None = None
        self.leg: RtpLeg | None = None
        self.session: CallSession | None = None
        """While the call's core has the leg."""
        self.attached = False
        self.ended = False


class SipCalls:
    """Takes what the user agent says of calls, and what the calls want of it."""

    def __init__(
        self,
        config: SipConfig,
        trunks: TrunkTable,
        agent: str,
        hub: CallHub,
        plane: MediaPlane,
        ports: RtpPorts,
        sip: SipAgent,
        metrics: GatewayMetrics,
    ) -> None:
        self._config = config
        self._trunks = trunks
        self._agent = agent
        self._hub = hub
        self._plane = plane
        self._ports = ports
        self._sip = sip
        self._metrics = metrics
        self._identity = make_identity(datetime.now(UTC))
        self._calls: dict[CallHandle, SipCall] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def take(self, effect: Effect) -> None:
        """One effect of the user agent that concerns a call."""
        match effect:
            case IncomingCall():
                self._ring(effect)
            case CallConfirmed(handle, sdp):
                self._confirmed(handle, sdp)
            case OfferReceived(handle, sdp):
                self._reoffered(handle, sdp)
            case CallEnded(handle, cause, status):
                self._ended(handle, cause, status)
            case InfoReceived(handle, content_type, body):
                self._informed(handle, content_type, body)
            case TransferProgress(handle, status, final):
                self._transferring(handle, status, final=final)
            case _:
                pass  # what we did not ask for: ringing and answers of calls we did not place

    def _ring(self, invite: IncomingCall) -> None:
        """Find out who answers and with which media, then hold a slot before the call is answered."""
        trunk = self._trunks[invite.trunk]
        who = identify(invite.request, trusted=trunk.trusted_identity)
        agent = trunk.agent_for(who.callee)
        if agent is None:
            self._refuse(invite.call, 404, "unknown_number")
            return
        try:
            media = SipMedia(trunk, self._ports.take(), self._config.announced_host, self._identity)
        except NoPortError:
            self._refuse(invite.call, 503, "no_port")
            return
        try:
            sdp = media.offer() if invite.offer is None else media.answer(invite.offer)
        except MediaRefusedError as error:
            media.pair.close()
            self._refuse(invite.call, error.status, error.reason)
            return
        call = SipCall(invite.call, trunk, agent or self._agent, who, media, invite.flow.remote)
        self._calls[call.handle] = call
        self._start(self._admit(call, sdp), "sip-admit")

    async def _admit(self, call: SipCall, sdp: bytes) -> None:
        try:
            call.lease = await self._hub.admit(call.id, call.agent, "sip")
        except NoSlotError as error:
            self._drop(call)
            status = call.trunk.busy_status if error.reason == "no_slot" else 503
            retry = () if status == 486 else (("Retry-After", str(_RETRY_AFTER_S)),)
            self._sip.ua.refuse(call.handle, status, monotonic(), headers=retry)
            self._sip.drain()
            return
        if call.ended:  # the caller gave up while we asked
            self._hub.give_up(call.id)
            return
        if call.media.stream is not None:
            self._open(call)
        self._sip.ua.answer(call.handle, sdp, monotonic())
        self._sip.drain()

    def _open(self, call: SipCall) -> None:
        """Media may come from the moment our answer is out."""
        assert call.media.stream is not None, "negotiated"
        call.leg = self._plane.open(
            call.media.pair,
            call.media.stream,
            self._config.rtp_timeout_s,
            on_end=lambda action, arguments: self._leave(call, action, arguments),
            on_dead=lambda: self._dead(call),
            handshake=call.media.handshake,
        )

    def _confirmed(self, handle: CallHandle, sdp: bytes | None) -> None:
        """The caller has our answer: the call begins."""
        call = self._calls.get(handle)
        if call is None or call.attached:
            return
        if sdp is not None:
            try:
                call.media.accept(sdp)
            except MediaRefusedError as error:
                self.count_bad(error.reason)
                self._hang_up(call, Reason("SIP", error.status, error.reason))
                return
            self._open(call)
        assert call.leg is not None, "media was negotiated before the call was confirmed"
        assert call.lease is not None, "a slot is held before the call is answered"
        call.attached = True
        setup = CallSetup(
            "sip", call.media.codec, RTP_PLAYOUT, call.agent, call.who.caller, call.who.callee, call.who.variables
        )
        call.session = self._hub.attach(call.lease, setup, call.leg)
        call.leg.begin(call.session)

    def _reoffered(self, handle: CallHandle, sdp: bytes | None) -> None:
        """Hold, resume, another address: the peer changes the session (RFC 3261 §14)."""
        call = self._calls.get(handle)
        if call is None:
            return
        try:
            answer = call.media.offer() if sdp is None else call.media.answer(sdp)
        except MediaRefusedError as error:
            self.count_bad(error.reason)
            self._sip.ua.reject_offer(handle, error.status, monotonic())
        else:
            self._sip.ua.answer_offer(handle, answer, monotonic())
        self._sip.drain()

    def _informed(self, handle: CallHandle, content_type: str, body: bytes) -> None:
        call = self._calls.get(handle)
        key = key_in_info(content_type, body)
        if key is None:
            self.count_bad("info")
        elif call is not None and call.session is not None:
            call.session.post(KeyPressed(key))

    def _ended(self, handle: CallHandle, cause: EndCause, status: int) -> None:
        call = self._calls.get(handle)
        if call is None:
            return
        log.info("sip.call_ended", call=call.id, cause=cause.value, status=status)
        session, call.session = call.session, None
        self._drop(call)
        if session is not None:
            session.post(LegEnded(_LEG_REASONS.get(cause, cause.value)))
        elif call.lease is not None and not call.attached:
            self._hub.give_up(call.id)

    def _leave(self, call: SipCall, action: str, arguments: Mapping[str, str]) -> None:
        """The call's core has let go of the leg."""
        call.session = None
        target = arguments.get("to", "") if action == "transfer" else ""
        if action == "voicemail":
            target = call.trunk.voicemail
        if target:
            self._refer(call, target)
        elif action == "failed":
            self._apologize(call)
        else:
            self._hang_up(call, NO_MEDIA if action == "dead" else NORMAL)

    def _refer(self, call: SipCall, target: str) -> None:
        """Blind transfer (RFC 3515): the peer calls the target itself."""
        try:
            uri = self._uri(call, target)
        except SipParseError:
            log.warning("sip.bad_transfer_target", call=call.id)
            self._apologize(call)
            return
        self._sip.ua.refer(call.handle, uri, monotonic())
        self._sip.drain()

    def _uri(self, call: SipCall, target: str) -> Uri:
        """A URI as it is; a number at the host the call came from. Raises SipParseError."""
        if target.startswith(("sip:", "sips:", "tel:")):
            return parse_uri(target)
        return parse_uri(f"sip:{target}@{call.peer_host}")

    def _transferring(self, handle: CallHandle, status: int, *, final: bool) -> None:
        call = self._calls.get(handle)
        if call is None or not final:
            return
        log.info("sip.transferred", call=call.id, status=status)
        if 200 <= status < 300:
            self._hang_up(call, NORMAL)
        else:
            self._apologize(call)

    def _apologize(self, call: SipCall) -> None:
        """The caller hears the tone that means "this call cannot be completed", then is let go."""
        assert call.leg is not None, "a call that began has a leg"
        call.leg.clear()
        call.leg.send_audio(congestion(call.media.codec, _APOLOGY_S))
        asyncio.get_running_loop().call_later(_APOLOGY_S, self._hang_up, call, OUT_OF_ORDER)

    def _dead(self, call: SipCall) -> None:
        """No media for too long."""
        session, call.session = call.session, None
        if session is not None:
            session.post(LegEnded("media_timeout"))
        self._hang_up(call, NO_MEDIA)

    def _hang_up(self, call: SipCall, reason: Reason) -> None:
        if not call.ended:
            self._sip.ua.hang_up(call.handle, monotonic(), reason)
            self._sip.drain()

    def _refuse(self, handle: CallHandle, status: int, reason: str) -> None:
        self._metrics.calls_refused.labels("sip", reason).inc()
        log.warning("call.refused", door="sip", reason=reason, status=status)
        self._sip.ua.refuse(handle, status, monotonic())
        self._sip.drain()

    def _drop(self, call: SipCall) -> None:
        """Forget a call and give its ports back."""
        call.ended = True
        self._calls.pop(call.handle, None)
        if call.leg is not None:
            self._plane.close(call.leg)
        else:
            call.media.pair.close()

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def count_bad(self, reason: str) -> None:
        """Input of a peer that was refused or ignored."""
        self._metrics.bad_input.labels("sip", reason).inc()
