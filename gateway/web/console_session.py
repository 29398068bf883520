"""Who may use the console: one token from configuration, sessions after it, and patience with wrong ones.

No clock: ``now`` is monotonic seconds. Sessions live in memory; a restart asks for the token again.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict, deque

SESSION_S = 12 * 3_600.0  # a shift
MAX_SESSIONS = 1_024
WRONG_PER_MINUTE = 5
_MINUTE_S = 60.0
_MAX_ADDRESSES = 4_096


class TooManyWrongTokensError(Exception):
    """This address has guessed too often; ``retry_after_s`` from now it may try again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many wrong tokens, try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class ConsoleSessions:
    """Opens a session for the right token and knows it again by its cookie."""

    def __init__(self, token: str) -> None:
        self._token = _digest(token)
        self._ends: OrderedDict[bytes, float] = OrderedDict()  # by the digest of the cookie, oldest first
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()  # address -> when it was wrong, last seen last

    def log_in(self, token: str, address: str, now: float) -> str | None:
        """A new session's cookie, or None for a wrong token. Raises TooManyWrongTokensError."""
        address = _network(address)
        wrong = self._wrong.get(address, deque())
        while wrong and wrong[0] <= now - _MINUTE_S:
            wrong.popleft()
        if len(wrong) >= WRONG_PER_MINUTE:
            raise TooManyWrongTokensError(wrong[0] + _MINUTE_S - now)
        if not hmac.compare_digest(_digest(token), self._token):
            wrong.append(now)
            self._wrong[address] = wrong
            self._wrong.move_to_end(address)
            while len(self._wrong) > _MAX_ADDRESSES:
                self._wrong.popitem(last=False)
            return None
        cookie = secrets.token_urlsafe(32)
        self._ends[_digest(cookie)] = now + SESSION_S
        while len(self._ends) > MAX_SESSIONS:
            self._ends.popitem(last=False)
        return cookie

    def knows(self, cookie: str, now: float) -> bool:
        """True while the session of this cookie is open."""
        return self._ends.get(_digest(cookie), now) > now

    def log_out(self, cookie: str) -> None:
        """The cookie opens nothing any more; an unknown one is ignored."""
        self._ends.pop(_digest(cookie), None)


def _digest(secret: str) -> bytes:
    """Looked up and compared in place of the secret: neither tells how much of a guess was right."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _network(address: str) -> str:
    """Whom attempts are counted against: an IPv4 address, or the /64 that one IPv6 subscriber has."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.IPv6Network((ip, 64), strict=False))
    return str(ip)
