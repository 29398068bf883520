"""Running the session timers of all calls (RFC 4028 §10)."""

from collections.abc import Callable

from gateway.sip.ua.core import Core
from gateway.sip.ua.effects import EndCause
from gateway.sip.ua.endings import Endings
from gateway.sip.ua.session import Session
from gateway.sip.ua.session_timer import Terms


class SessionExpiry:
    """Starts the timer of a session anew at every agreement. ``on_refresh`` is told when the duty is ours."""

    def __init__(self, core: Core, endings: Endings) -> None:
        self._core = core
        self._endings = endings
        self.on_refresh: Callable[[Session, float], None] = lambda session, now: None

    def restart(self, session: Session, terms: Terms | None, now: float) -> None:
        """Take the terms of a 2xx; None runs the session without a timer from now on (§7.2)."""
        for timer in (session.refresh, session.expiry):
            if timer is not None:
                timer.cancel()
        session.terms = terms
        session.refresh = session.expiry = None
        if terms is None:
            return
        session.expiry = self._core.deadlines.at(now + terms.expires_after_s, self._expirer(session))
        if terms.we_refresh:
            session.refresh = self._core.deadlines.at(
                now + terms.refresh_after_s, lambda at: self.on_refresh(session, at)
            )

    def retry_refresh(self, session: Session, wait_s: float, now: float) -> None:
        """The refresh could not be done now; the expiry runs on."""
        session.refresh = self._core.deadlines.at(now + wait_s, lambda at: self.on_refresh(session, at))

    def _expirer(self, session: Session) -> Callable[[float], None]:
        def expire(now: float) -> None:
            self._endings.hang_up(session.call, EndCause.SESSION_EXPIRED, now)

        return expire
