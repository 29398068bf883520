"""What is refused before anybody looks at what it is about (RFC 3261 §8.2)."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.sip.message import Request
from gateway.sip.transaction.effects import TransactionId
from gateway.sip.ua.bodies import ACCEPTED, UnsupportedBodyError, find_sdp
from gateway.sip.ua.config import UserAgentConfig
from gateway.sip.ua.core import Core
from gateway.sip.uri import SipUri, TelUri

WITH_SDP = frozenset({"INVITE", "UPDATE", "PRACK"})
MAX_SEEN = 8_192


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    fields: tuple[tuple[str, str], ...] = ()


def screen(request: Request, config: UserAgentConfig) -> Refusal | None:
    """Check method, Request-URI, required extensions and body, in the order of §8.2; None lets it pass.

    Max-Forwards 0 passes: it forbids to forward, and this is the end of the way (RFC 4475 §3.3.11).
    """
    if request.method not in config.methods:
        return Refusal(405, (("Allow", config.allow),))
    if not isinstance(request.uri, SipUri | TelUri):
        return Refusal(416)
    known = {tag.lower() for tag in config.option_tags}
    unknown = [tag for tag in request.tokens("Require") if tag.lower() not in known]
    if unknown:
        return Refusal(420, (("Unsupported", ", ".join(unknown)),))
    if request.method in WITH_SDP:
        try:
            find_sdp(request)
        except UnsupportedBodyError:
            return Refusal(415, (("Accept", ", ".join(ACCEPTED)), ("Accept-Encoding", "identity")))
    return None


class RequestLog:
    """The requests without To tag that are or were just served: the same by another way is merged (§8.2.2.2)."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._seen: dict[tuple[str, str, int, str], TransactionId] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def merged(self, request: Request, transaction: TransactionId, now: float) -> bool:
        """Note ``request``; True when it is being served by another transaction."""
        key = (request.call_id, request.from_.tag or "", request.cseq.number, request.method)
        if key in self._seen:
            return self._seen[key] != transaction
        if len(self._seen) >= MAX_SEEN:
            return False  # under a flood calls go on; only this courtesy stops
        self._seen[key] = transaction
        self._core.deadlines.at(now + 64 * self._core.config.timers.t1, self._forgetter(key))
        return False

    def _forgetter(self, key: tuple[str, str, int, str]) -> Callable[[float], None]:
        def forget(now: float) -> None:
            self._seen.pop(key, None)

        return forget
