"""A 2xx to an INVITE travels end to end: it is repeated until the ACK comes (RFC 3261 §13.3.1.4)."""

from collections.abc import Callable

from gateway.sip.message import Request, Response
from gateway.sip.ua.bodies import UnsupportedBodyError, find_sdp
from gateway.sip.ua.core import Core, Incoming
from gateway.sip.ua.session import AcceptedInvite, Session


class Acceptances:
    """Sends the 2xx to INVITEs of all sessions and waits for their ACKs."""

    def __init__(self, core: Core, on_missing: Callable[[Session, float], None]) -> None:
        self._core = core
        self._on_missing = on_missing

    def start(
        self,
        session: Session,
        incoming: Incoming,
        response: Response,
        now: float,
        on_ack: Callable[[bytes | None, float], None],
    ) -> None:
        """Send ``response`` at once, then after T1, 2·T1, … up to T2; without ACK for 64·T1 ``on_missing`` is told.

        Over reliable transports too: a proxy may change to UDP on the way.
        """
        timers = self._core.config.timers

        def repeat_after(interval_s: float) -> Callable[[float], None]:
            def repeat(at: float) -> None:
                accepted = session.accepted
                if accepted is None or accepted.response is not response:
                    return
                self._core.layer.respond(incoming.transaction, response, at)
                longer_s = min(2 * interval_s, timers.t2)
                accepted.repeat = self._core.deadlines.at(at + longer_s, repeat_after(longer_s))

            return repeat

        def give_up(at: float) -> None:
            accepted, session.accepted = session.accepted, None
            if accepted is not None:
                accepted.repeat.cancel()
            self._on_missing(session, at)

        session.accepted = AcceptedInvite(
            incoming,
            response,
            repeat=self._core.deadlines.at(now + timers.t1, repeat_after(timers.t1)),
            give_up=self._core.deadlines.at(now + 64 * timers.t1, give_up),
            on_ack=on_ack,
        )
        self._core.layer.respond(incoming.transaction, response, now)

    def receive_ack(self, session: Session, ack: Request, now: float) -> bool:
        """Take the ACK of the 2xx that is out; False for any other (a repeated one)."""
        accepted = session.accepted
        if accepted is None or accepted.incoming.request.cseq.number != ack.cseq.number:
            return False
        accepted.repeat.cancel()
        accepted.give_up.cancel()
        session.accepted = None
        try:
            sdp = find_sdp(ack)
        except UnsupportedBodyError:
            sdp = None  # an ACK cannot be refused; a missing answer is noticed by whoever waits for it
        accepted.on_ack(sdp, now)
        return True
