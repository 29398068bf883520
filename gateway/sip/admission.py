"""Who is let in: by source address, else by password, and not too often. An INVITE from nowhere is refused."""

from gateway.sip.digest import DigestVerifier, Missing, Rejected, Stale, Verified
from gateway.sip.flow import Flow
from gateway.sip.message import Request
from gateway.sip.rate_limit import RateLimit
from gateway.sip.trunk import Trunk, TrunkTable
from gateway.sip.ua.gate import Admitted, Challenged, Ignored, Refused, Verdict

STRANGERS_PER_S = 2.0  # scanners knock hundreds of times a second; a phone that mistypes a password does not


class TrunkGate:
    """The ``Gate`` of a gateway's trunks."""

    def __init__(self, trunks: TrunkTable, verifier: DigestVerifier) -> None:
        self._trunks = trunks
        self._verifier = verifier
        self._calls = RateLimit()
        self._strangers = RateLimit(burst_s=10.0)

    def check(self, request: Request, flow: Flow, now: float) -> Verdict:
        """Admit by the access list of a trunk, else by one of its passwords."""
        source = flow.remote[0]
        trunk = self._trunks.by_source(source)
        if trunk is None:
            verdict = self._check_password(request, now)
            if isinstance(verdict, Trunk):
                trunk = verdict
            else:
                # Only what does not get in counts: a flood must not lock out who knows the password behind its NAT.
                return verdict if self._strangers.allows(source, STRANGERS_PER_S, now) else Ignored()
        if request.method == "INVITE" and not self._calls.allows(f"{trunk.name} {source}", trunk.calls_per_s, now):
            return Refused(503)
        return Admitted(trunk.name)

    def _check_password(self, request: Request, now: float) -> Trunk | Challenged | Refused:
        if not self._trunks.asks_passwords:
            return Refused(403)
        match self._verifier.verify(request, self._password, now):
            case Verified(user):
                trunk = self._trunks.by_user(user)
                assert trunk is not None, "a user name that was verified belongs to a trunk"
                return trunk
            case Missing():
                return Challenged(self._challenge(now, stale=False))
            case Stale():
                return Challenged(self._challenge(now, stale=True))
            case Rejected():
                return Refused(403)

    def _password(self, user: str) -> str | None:
        trunk = self._trunks.by_user(user)
        return None if trunk is None or trunk.inbound is None else trunk.inbound.password

    def _challenge(self, now: float, *, stale: bool) -> tuple[tuple[str, str], ...]:
        return tuple(("WWW-Authenticate", value) for value in self._verifier.challenges(now, stale=stale))
