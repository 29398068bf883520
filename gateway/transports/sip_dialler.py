"""Calls that the gateway places: the order, the ringing, and who picked up."""

import asyncio

import structlog

from gateway.metrics import GatewayMetrics
from gateway.runner.hub import CallHub, NoSlotError
from gateway.runner.outbound import DialOrder, Fault, NotDialledError
from gateway.runner.record import CallRecord
from gateway.runner.session import CallSession
from gateway.seams import CallSetup
from gateway.sip.dial_plan import BadTargetError, parse_proxy, parse_target, parse_user
from gateway.sip.identity import Identity
from gateway.sip.trunk import Trunk, TrunkTable
from gateway.sip.ua.effects import EndCause
from gateway.transports.rtp_leg import RtpLeg
from gateway.transports.rtp_ports import NoPortError
from gateway.transports.sip_call import NO_ANSWER, SipCall, new_call_id
from gateway.transports.sip_calls import SipCalls
from gateway.transports.sip_legs import SipLegs
from gateway.transports.sip_media import MediaRefusedError
from gateway.transports.stream_leg import STREAM_PLAYOUT
from gateway.turn.answering_machine import AnsweredBy, AnsweringMachineDetector
from wire.audio.codecs import Codec
from wire.ids import CallId
from wire.logs import Pii

log = structlog.get_logger()

_NO_TRUNK = "there is no trunk; define one in TWOWIRE_SIP_FILE"
_NO_SLOT = {
    "no_slot": "no worker is free for the call; try again",
    "draining": "this gateway takes no new calls: it is being stopped",
    "bus_unavailable": "the bus to the workers cannot be reached; try again",
}
_BUSY = frozenset({486, 600})
_NOT_ANSWERED = frozenset({408, 480, 487})
_NOBODY = {EndCause.NO_ANSWER: "no_answer", EndCause.TIMED_OUT: "unreachable", EndCause.UNREACHABLE: "unreachable"}


def outcome_of(cause: EndCause, status: int) -> str:
    """Why a call of ours was not answered, in the words of its record and of the metric: few values."""
    if cause not in (EndCause.REJECTED, EndCause.REDIRECTED):
        return _NOBODY.get(cause, str(cause.value))
    if status in _BUSY:
        return "busy"
    return "no_answer" if status in _NOT_ANSWERED else f"rejected_{status // 100}xx"


class SipDialler:
    """Places calls, and owns them until they are answered."""

    def __init__(
        self, trunks: TrunkTable, agent: str, hub: CallHub, legs: SipLegs, calls: SipCalls, metrics: GatewayMetrics
    ) -> None:
        self._trunks = trunks
        self._agent = agent
        self._hub = hub
        self._legs = legs
        self._calls = calls
        self._metrics = metrics
        self._failed: dict[SipCall, str] = {}  # what we hung up ourselves, and why

    async def dial(self, order: DialOrder) -> CallId:
        """Hold a slot and let it ring; returns at once then. Raises NotDialledError."""
        trunk = self._trunk(order.trunk)
        try:
            target = parse_target(order.to, parse_proxy(trunk.proxy))
            caller = parse_user(order.caller_id) if order.caller_id else trunk.caller_id
        except BadTargetError as error:
            raise NotDialledError(Fault.MALFORMED, str(error)) from None
        id = new_call_id()
        agent = order.agent or self._agent
        try:
            lease = await self._hub.admit(id, agent, "sip")
        except NoSlotError as error:
            raise NotDialledError(Fault.NO_CAPACITY, _NO_SLOT.get(error.reason, error.reason)) from None
        try:
            call = self._legs.place(self, trunk, target, caller)
        except (NoPortError, MediaRefusedError) as error:
            self._hub.give_up(id)
            self._metrics.calls_refused.labels("sip", "no_media").inc()
            raise NotDialledError(Fault.NO_CAPACITY, f"no media for the call: {error}") from None
        call.id, call.agent, call.lease = id, agent, lease
        call.who = Identity(caller, target.user or target.host, {**order.variables, "direction": "outbound"})
        self._hub.expect(lease, self._setup(call))
        self._legs.sip.drain()
        log.info("sip.dialled", call=id, trunk=trunk.name, callee=Pii(call.who.callee))
        asyncio.get_running_loop().call_later(order.ring_s, self._ring_no_longer, call)
        return id

    def _trunk(self, name: str) -> Trunk:
        trunks = list(self._trunks)
        if not name and len(trunks) == 1:
            return trunks[0]
        known = ", ".join(trunk.name for trunk in trunks)
        if not name and trunks:
            raise NotDialledError(Fault.MALFORMED, f"name the trunk, one of {known}")
        found = self._trunks.get(name)
        if found is None:
            raise NotDialledError(Fault.UNKNOWN_TRUNK, f"expected a trunk out of {known}" if trunks else _NO_TRUNK)
        return found

    def _setup(self, call: SipCall) -> CallSetup:
        """As far as it is known while it rings."""
        who = call.who
        return CallSetup(
            "sip", Codec.PCMU, STREAM_PLAYOUT, call.agent, who.caller, who.callee, who.variables, echoes=True
        )

    def _ring_no_longer(self, call: SipCall) -> None:
        if call.owner is self and not call.ended:
            self._failed[call] = "no_answer"
            self._legs.hang_up(call, NO_ANSWER)

    def answered(self, call: SipCall, sdp: bytes | None) -> None:
        """Somebody picked up: the agent gets the call."""
        if sdp is None:
            return
        reason = self._legs.accept(call, sdp)
        if reason:
            self._failed[call] = reason
            return
        session = self._calls.talk(call)
        record = self._hub.records[call.id]
        assert call.leg is not None, "a conversation has a leg"
        call.leg.begin(_FirstWords(session, call.leg, record, AnsweringMachineDetector(call.media.codec)))

    def ended(self, call: SipCall, cause: EndCause, status: int) -> None:
        self._hub.abandon(call.id, self._failed.pop(call, "") or outcome_of(cause, status))

    def dead(self, call: SipCall) -> None:
        """Never told: the media of a call that rings is closed."""

    def key_pressed(self, call: SipCall, key: str) -> None:
        """A key before the answer is for nobody."""

    def referred(self, call: SipCall, status: int, *, final: bool) -> None:
        """Never asked for."""


class _FirstWords:
    """Hands on what the leg hears, and listens to it for as long as it takes to guess who picked up."""

    def __init__(
        self, session: CallSession, leg: RtpLeg, record: CallRecord, detector: AnsweringMachineDetector
    ) -> None:
        self._session = session
        self._leg = leg
        self._record = record
        self._detector = detector
        self.post = session.post
        record.answered_by = AnsweredBy.UNKNOWN.value

    def receive_media(self, payload: bytes) -> None:
        self._record.answered_by = self._detector.push(payload).value
        if self._detector.done:
            log.info("sip.answered_by", call=self._record.call, answered_by=self._record.answered_by)
            self._leg.begin(self._session)
        self._session.receive_media(payload)
