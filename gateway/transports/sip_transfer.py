"""Handing a caller on: by REFER where the peer can, else by a call of ours that is joined with his."""

import asyncio
from dataclasses import replace
from enum import Enum
from time import monotonic

import structlog

from gateway.events import CallEvent, KeyPressed
from gateway.metrics import GatewayMetrics
from gateway.rtp.bridge import Relay
from gateway.rtp.call_progress import hold, ringback
from gateway.runner.hub import CallHub
from gateway.sip.dial_plan import BadTargetError, parse_proxy, parse_target
from gateway.sip.ua.effects import EndCause
from gateway.sip.uri import SipUri
from gateway.transports.rtp_leg import RtpLeg
from gateway.transports.rtp_ports import NoPortError
from gateway.transports.sip_call import NO_ANSWER, NO_MEDIA, NORMAL, SipCall
from gateway.transports.sip_legs import SipLegs
from gateway.transports.sip_media import MediaRefusedError
from gateway.transports.sip_tone import Tone

log = structlog.get_logger()

_BUSY = frozenset({486, 600})  # what a target says itself: to ring it once more would not help
_RING_S = 60.0  # the caller has waited long enough: most telephones ring for half of that
_TAKEOVER_S = 32.0  # from our REFER with Replaces until the target has let go of us: a transaction's life


class Transfers:
    """Begins transfers; each then has its legs until both have ended."""

    def __init__(self, legs: SipLegs, hub: CallHub, metrics: GatewayMetrics) -> None:
        self._legs = legs
        self._hub = hub
        self._metrics = metrics

    def start(self, call: SipCall, to: str, *, attended: bool = False) -> None:
        """Connect the peer of ``call``, whose agent has left, with the number or URI ``to``.

        Blind, the peer is asked to call the target itself; ``attended``, the target is called first.
        """
        try:
            proxy = parse_proxy(call.trunk.proxy)
            target = parse_target(to, proxy or call.home)
        except BadTargetError as error:
            log.warning("sip.bad_transfer_target", call=call.id, error=str(error))
            self._metrics.transfers.labels("failed").inc()
            self._legs.apologize(call)
            return
        Transfer(self._legs, self._hub, self._metrics, call, target, attended=attended).start()


class _Deaf:
    """Hears nothing: between the agent and the target nobody listens to the caller."""

    def receive_media(self, payload: bytes) -> None:
        pass

    def post(self, event: CallEvent) -> None:
        pass


class _Ear:
    """One leg of a bridge hears for the other."""

    def __init__(self, relay: Relay, other: RtpLeg, *, keys: bool) -> None:
        self.receive_media = relay.push
        self._other = other
        self._keys = keys

    def post(self, event: CallEvent) -> None:
        """Keys of telephone-events; those that were found in the audio are in the audio still."""
        if isinstance(event, KeyPressed) and self._keys:
            self._other.send_keys(event.digit)


class _Step(Enum):
    REFERRING = "the peer calls the target"
    CALLING = "we call the target"
    REPLACING = "the peer takes our place at the target"
    BRIDGED = "both are joined here"
    OVER = "nothing more to do"


class Transfer:
    """One transfer, the owner of one leg and then of two."""

    def __init__(
        self,
        legs: SipLegs,
        hub: CallHub,
        metrics: GatewayMetrics,
        caller: SipCall,
        target: SipUri,
        *,
        attended: bool,
    ) -> None:
        self._legs = legs
        self._ua = legs.sip.ua
        self._hub = hub
        self._metrics = metrics
        self._caller = caller
        self._target = target
        # A connection that the peer opened leads us to it, and nobody else.
        by_connection = target.transport is not None and replace(target, user=None) == caller.home
        self._refer_to = SipUri(target.host, target.user) if by_connection else target
        self._attended = attended
        self._callee: SipCall | None = None
        self._tone: Tone | None = None
        self._step = _Step.REFERRING

    def start(self) -> None:
        """Take the caller's leg over."""
        caller = self._caller
        assert caller.leg is not None, "a call that began has a leg"
        caller.owner = self
        caller.leg.begin(_Deaf())
        self._hub.hold_drain(caller.id)
        if not self._attended and self._ua.takes(caller.handle, "REFER"):
            self._ua.refer(caller.handle, self._refer_to, monotonic())
            self._legs.sip.drain()
        else:
            self._call_target()

    def _call_target(self) -> None:
        caller = self._caller
        assert caller.leg is not None, "a call that began has a leg"
        self._step = _Step.CALLING
        codec = caller.media.codec
        self._tone = Tone(caller.leg, codec, hold(codec) if self._attended else ringback(codec))
        shown = caller.trunk.caller_id or (caller.who.callee if caller.outgoing else caller.who.caller)
        try:
            self._callee = self._legs.place(self, caller.trunk, self._target, shown)
        except (NoPortError, MediaRefusedError) as error:
            log.warning("sip.transfer_not_placed", call=caller.id, error=str(error))
            self._give_up(503)
            return
        self._legs.sip.drain()
        asyncio.get_running_loop().call_later(_RING_S, self._ring_no_longer)

    def _ring_no_longer(self) -> None:
        if self._step is _Step.CALLING and self._callee is not None:
            self._legs.hang_up(self._callee, NO_ANSWER)

    def answered(self, call: SipCall, sdp: bytes | None) -> None:
        """The target picked up."""
        if call is not self._callee or sdp is None or call.leg is not None or self._legs.accept(call, sdp):
            return
        leg = self._legs.open(call)
        if self._attended and self._ua.takes(self._caller.handle, "REFER"):
            self._step = _Step.REPLACING
            leg.begin(_Deaf())
            self._ua.refer(self._caller.handle, self._target, monotonic(), replaces=call.handle)
            self._legs.sip.drain()
        else:
            self._bridge()

    def referred(self, call: SipCall, status: int, *, final: bool) -> None:
        """The peer tells how its call to the target fares."""
        if not final or self._step not in (_Step.REFERRING, _Step.REPLACING):
            return
        if 200 <= status < 300:
            self._finish("refer" if self._step is _Step.REFERRING else "replaces", status)
            self._legs.hang_up(self._caller, NORMAL)
            if self._callee is not None:
                self._later(self._callee)
        elif self._step is _Step.REFERRING and status not in _BUSY:
            self._call_target()
        elif self._callee is None or self._callee.ended:
            self._give_up(status)
        else:
            self._bridge()

    def _bridge(self) -> None:
        assert self._callee is not None, "the target was called and answered"
        self._stop_tone()
        self._finish("bridge", 200)
        self._step = _Step.BRIDGED
        _listen(self._caller, self._callee)
        _listen(self._callee, self._caller)

    def ended(self, call: SipCall, cause: EndCause, status: int) -> None:
        """One leg is gone: mostly that ends the other."""
        step, callee = self._step, self._callee
        if call is self._caller:
            self._stop_tone()
            self._hub.free_drain(call.id)
            self._step = _Step.OVER
            if callee is None or callee.ended:
                return
            if step is _Step.REPLACING and cause is EndCause.PEER_HUNG_UP:
                self._finish("replaces", 200)  # it left before it told how that went: the target knows
                self._later(callee)
            elif step is not _Step.OVER:
                self._legs.hang_up(callee, NORMAL)
        elif step is _Step.CALLING:
            self._give_up(status)
        elif step is _Step.BRIDGED:
            self._legs.hang_up(self._caller, NORMAL)
        # While it is replaced, the target lets go of us because it worked: the peer's last word on it follows.

    def dead(self, call: SipCall) -> None:
        self._legs.hang_up(call, NO_MEDIA)

    def key_pressed(self, call: SipCall, key: str) -> None:
        other = self._callee if call is self._caller else self._caller
        if self._step is _Step.BRIDGED and other is not None and other.leg is not None:
            other.leg.send_keys(key)

    def _give_up(self, status: int) -> None:
        """Nobody took the caller: he is told so, by a tone."""
        self._stop_tone()
        self._finish("failed", status)
        self._legs.apologize(self._caller)

    def _finish(self, way: str, status: int) -> None:
        self._step = _Step.OVER
        self._metrics.transfers.labels(way).inc()
        log.info("sip.transferred", call=self._caller.id, way=way, status=status)

    def _stop_tone(self) -> None:
        if self._tone is not None:
            self._tone.stop()
            self._tone = None

    def _later(self, callee: SipCall) -> None:
        """The target ends our leg when the peer has taken its place; if it does not, we do."""
        asyncio.get_running_loop().call_later(_TAKEOVER_S, self._legs.hang_up, callee, NORMAL)


def _listen(near: SipCall, far: SipCall) -> None:
    """What ``near`` hears is said at ``far`` from now on."""
    assert near.leg is not None, "answered"
    assert near.media.plan is not None, "answered"
    assert far.leg is not None, "answered"
    relay = Relay(near.media.codec, far.media.codec, far.leg.stream)
    near.leg.begin(_Ear(relay, far.leg, keys=near.media.plan.dtmf_in is not None))
