"""What SIP calls mean to the gateway: who answers them, what media they get, when they end."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from time import monotonic

import structlog

from gateway.events import KeyPressed, LegEnded
from gateway.fallback import Greeting, Queue, SmallerEngine, Transfer, Voicemail
from gateway.metrics import GatewayMetrics
from gateway.runner.fallback_desk import FallbackDesk
from gateway.runner.hub import CallHub, NoSlotError
from gateway.runner.session import CallSession
from gateway.seams import CallSetup
from gateway.sip.dial_plan import BadTargetError, home_of, parse_target
from gateway.sip.dtmf_info import key_in_info
from gateway.sip.identity import identify
from gateway.sip.trunk import TrunkTable
from gateway.sip.ua.effects import (
    CallAnswered,
    CallConfirmed,
    CallEnded,
    CallHandle,
    Effect,
    EndCause,
    IncomingCall,
    InfoReceived,
    OfferReceived,
    TransferProgress,
)
from gateway.transports.rtp_ports import NoPortError
from gateway.transports.sip_call import NO_MEDIA, NORMAL, SipCall
from gateway.transports.sip_legs import SipLegs
from gateway.transports.sip_media import MediaRefusedError
from gateway.transports.sip_transfer import Transfers
from gateway.transports.stream_leg import STREAM_PLAYOUT
from wire.bus.seam import BusUnavailableError, Lease

log = structlog.get_logger()

_ASK_EVERY_S = 0.5
_LONGEST_RING_S = 170.0  # callers' proxies give up an INVITE after three minutes (RFC 3261, timer C)
_RETRY_AFTER_S = 10  # calls last minutes: of hundreds one ends within seconds


class SipCalls:
    """Takes what the user agent says of calls, and owns those that ring in or talk with an agent."""

    def __init__(
        self,
        trunks: TrunkTable,
        agent: str,
        hub: CallHub,
        desk: FallbackDesk,
        legs: SipLegs,
        transfers: Transfers,
        metrics: GatewayMetrics,
    ) -> None:
        self._trunks = trunks
        self._agent = agent
        self._hub = hub
        self._desk = desk
        self._legs = legs
        self._transfers = transfers
        self._sip = legs.sip
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, effect: Effect) -> None:
        """One effect of the user agent that concerns a call."""
        if isinstance(effect, IncomingCall):
            try:
                self._ring(effect)
            except Exception:
                log.exception("sip.fault")  # ours: the caller hears of it, instead of nothing
                self._refuse(effect.call, 500, "fault")
            return
        call = self._legs.get(effect.call) if hasattr(effect, "call") else None
        if call is None:
            return
        match effect:
            case CallConfirmed(_, sdp):
                call.owner.answered(call, sdp)
            case CallAnswered(_, bytes() as sdp):
                call.owner.answered(call, sdp)
            case OfferReceived(_, sdp):
                self._legs.reoffered(call, sdp)
            case CallEnded(_, cause, status):
                log.info("sip.call_ended", call=call.id, cause=cause.value, status=status)
                self._legs.close(call)
                call.owner.ended(call, cause, status)
            case InfoReceived(_, content_type, body):
                self._informed(call, content_type, body)
            case TransferProgress(_, status, final):
                call.owner.referred(call, status, final=final)
            case _:
                pass  # ringing at the other end, answers to offers we do not make

    def _ring(self, invite: IncomingCall) -> None:
        """Find out who answers and with which media, then hold a slot before the call is answered."""
        trunk = self._trunks[invite.trunk]
        who = identify(invite.request, trusted=trunk.trusted_identity)
        agent = trunk.agent_for(who.callee)
        if agent is None:
            self._refuse(invite.call, 404, "unknown_number")
            return
        try:
            media = self._legs.new_media(trunk)
        except NoPortError:
            self._refuse(invite.call, 503, "no_port")
            return
        try:
            sdp = media.offer() if invite.offer is None else media.answer(invite.offer)
        except MediaRefusedError as error:
            media.pair.close()
            self._refuse(invite.call, error.status, error.reason)
            return
        flow = invite.flow
        home = home_of(*flow.remote, flow.transport.value)
        call = SipCall(self, invite.call, trunk, media, home, outgoing=False)
        call.agent, call.who = agent or self._agent, who
        self._legs.add(call)
        self._start(self._admit(call, sdp), "sip-admit")

    async def _admit(self, call: SipCall, sdp: bytes) -> None:
        try:
            if not self._hub.draining and await self._desk.must_wait():
                raise NoSlotError("queue")
            call.lease = await self._hub.admit(call.id, call.agent, "sip")
        except NoSlotError as error:
            if error.reason != "draining":
                call.lease = await self._climb(call)
            if call.lease is None:
                self._turn_away(call, "draining" if self._hub.draining else error.reason)
                return
        if call.ended:  # the caller gave up while we asked
            self._hub.give_up(call.id)
            return
        if call.media.stream is not None:
            self._open(call)
        self._sip.ua.answer(call.handle, sdp, monotonic())
        self._sip.drain()

    async def _climb(self, call: SipCall) -> Lease | None:
        """Take the steps of the ladder, until one serves the call or ends it; None when none has served it."""
        for step in self._desk.ladder.in_turn:
            if call.ended or self._hub.draining:
                return None
            match step:
                case SmallerEngine(engine):
                    with suppress(NoSlotError):
                        return await self._hub.admit(call.id, call.agent, "sip", engine)
                case Queue():
                    lease = await self._wait_in_line(call)
                    if lease is not None:
                        return lease
                case Transfer():
                    self._send_on(call, step)
                case Greeting() | Voicemail():
                    self._desk.note("sip", f"{step.name}_skipped")  # the call is not answered: nobody would hear it
        return None

    async def _wait_in_line(self, call: SipCall) -> Lease | None:
        """182 until it is the caller's turn (RFC 3261 §21.1.4); None when nobody waits here, or it takes too long."""
        queued = await self._desk.join(call.id, "sip")
        if queued is None:
            return None
        self._sip.ua.ring(call.handle, monotonic(), status=182)
        self._sip.drain()
        give_up_at = monotonic() + min(queued[0].max_wait_s, _LONGEST_RING_S)
        try:
            while monotonic() < give_up_at:
                await asyncio.sleep(_ASK_EVERY_S)
                if call.ended or self._hub.draining:  # another gateway may serve who is refused now
                    return None
                try:
                    asked = await self._desk.ask(call.id, call.agent, "sip")
                except BusUnavailableError:
                    continue
                if isinstance(asked, Lease):
                    return asked
            return None
        finally:
            await self._desk.leave(call.id)

    def _send_on(self, call: SipCall, step: Transfer) -> None:
        """To somebody else, whom the caller's own telephone calls (RFC 3261 §21.3.3)."""
        try:
            target = parse_target(step.to, call.home)
        except BadTargetError as error:
            log.warning("fallback.bad_target", reason=str(error))
            return
        self._desk.note("sip", step.name)
        self._legs.close(call)
        self._sip.ua.refuse(call.handle, 302, monotonic(), headers=(("Contact", f"<{target}>"),))
        self._sip.drain()

    def _turn_away(self, call: SipCall, reason: str) -> None:
        if call.ended:
            return
        self._legs.close(call)
        status = call.trunk.busy_status if reason in ("no_slot", "queue") else 503
        headers = () if status == 486 else (("Retry-After", str(_RETRY_AFTER_S)),)
        self._sip.ua.refuse(call.handle, status, monotonic(), headers=headers)
        self._sip.drain()

    def _open(self, call: SipCall) -> None:
        self._legs.open(call, on_end=lambda action, arguments: self._leave(call, action, arguments))

    def answered(self, call: SipCall, sdp: bytes | None) -> None:
        """The caller has our answer: the call begins."""
        if call.attached:
            return
        if sdp is not None:
            if self._legs.accept(call, sdp):
                return
            self._open(call)
        self._attach(call)

    def talk(self, call: SipCall) -> CallSession:
        """A call of ours was answered: it is a conversation from now on."""
        call.owner = self
        self._open(call)
        return self._attach(call)

    def _attach(self, call: SipCall) -> CallSession:
        assert call.leg is not None, "media was negotiated before the call was confirmed"
        assert call.lease is not None, "a slot is held before a call is answered or placed"
        call.attached = True
        who = call.who
        setup = CallSetup(
            "sip", call.media.codec, STREAM_PLAYOUT, call.agent, who.caller, who.callee, who.variables, echoes=True
        )
        call.session = session = self._hub.attach(call.lease, setup, call.leg)
        call.leg.begin(session)
        return session

    def ended(self, call: SipCall, cause: EndCause, status: int) -> None:
        session, call.session = call.session, None
        if session is not None:
            peer_left = "callee_hung_up" if call.outgoing else "caller_hung_up"
            session.post(LegEnded(peer_left if cause is EndCause.PEER_HUNG_UP else cause.value))
        elif call.lease is not None and not call.attached:
            self._hub.give_up(call.id)

    def dead(self, call: SipCall) -> None:
        session, call.session = call.session, None
        if session is not None:
            session.post(LegEnded("media_timeout"))
        self._legs.hang_up(call, NO_MEDIA)

    def key_pressed(self, call: SipCall, key: str) -> None:
        if call.session is not None:
            call.session.post(KeyPressed(key))

    def referred(self, call: SipCall, status: int, *, final: bool) -> None:
        """Never asked for: a call that is referred belongs to its transfer."""

    def _leave(self, call: SipCall, action: str, arguments: Mapping[str, str]) -> None:
        """The call's core has let go of the leg."""
        call.session = None
        if action == "transfer":
            self._transfers.start(call, arguments.get("to", ""), attended=arguments.get("mode") == "attended")
        elif action == "voicemail" and call.trunk.voicemail:
            self._transfers.start(call, call.trunk.voicemail)
        elif action == "failed":
            self._legs.apologize(call)
        else:
            self._legs.hang_up(call, NO_MEDIA if action == "dead" else NORMAL)

    def _informed(self, call: SipCall, content_type: str, body: bytes) -> None:
        key = key_in_info(content_type, body)
        if key is None:
            self._legs.count_bad("info")
        else:
            call.owner.key_pressed(call, key)

    def _refuse(self, handle: CallHandle, status: int, reason: str) -> None:
        self._metrics.calls_refused.labels("sip", reason).inc()
        log.warning("call.refused", door="sip", reason=reason, status=status)
        self._sip.ua.refuse(handle, status, monotonic())
        self._sip.drain()

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
