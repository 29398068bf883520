"""HTTP digest authentication in SIP (RFC 3261 §22, RFC 7616, RFC 8760), the side that asks and the side that answers.

SHA-256 and MD5, each also as a session variant; for peers of RFC 2617 and RFC 2069 as well. The
asking side keeps no state for strangers: its nonces are signed and carry their time, and only
those that were used well are remembered, with their count, so that nothing is taken twice.
"""

import hashlib
import hmac
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gateway.sip.errors import SipParseError
from gateway.sip.message import Request
from gateway.sip.trunk import Credentials
from gateway.sip.uri import SipUri, parse_uri

ALGORITHMS = ("SHA-256", "MD5")
"""Best first (RFC 8760 §2.3): the order of our challenges, and of what we answer to."""
MAX_REMEMBERED_NONCES = 4_096
MAX_VALUE_CHARS = 8_192
_USED_UP = 1 << 32  # more than any nonce count, which has eight hexadecimal digits

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9\-]*)\s+(?=[^\s=,\"]+\s*=)")
_PARAM = re.compile(r"\s*([A-Za-z0-9\-_.*!%+`'~]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]*))\s*")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One ``WWW-Authenticate`` or ``Proxy-Authenticate``. ``algorithm`` is as written, "MD5" where none is named."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    """What the server offers; empty for a server of RFC 2069."""
    opaque: str | None = None
    stale: bool = False
    """Only the nonce was too old: the password need not be asked for again."""


@dataclass(frozen=True, slots=True)
class Verified:
    user: str


@dataclass(frozen=True, slots=True)
class Stale:
    """The password is right, the nonce is not: challenge again with ``stale=TRUE``."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Wrong user or password, or an answer to something else than was asked."""


@dataclass(frozen=True, slots=True)
class Missing:
    """No credentials for this realm: challenge."""


Verdict = Verified | Stale | Rejected | Missing


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Read the values of the challenge headers of a 401 or 407; what is no digest challenge is left out."""
    found = []
    for value in values:
        for scheme, params in _parse(value):
            realm, nonce = params.get("realm"), params.get("nonce")
            if scheme != "digest" or realm is None or nonce is None:
                continue
            qop = tuple(item.strip().lower() for item in params.get("qop", "").split(",") if item.strip())
            stale = params.get("stale", "").lower() == "true"
            found.append(Challenge(realm, nonce, params.get("algorithm", "MD5"), qop, params.get("opaque"), stale))
    return found


def choose(challenges: Sequence[Challenge]) -> Challenge | None:
    """The strongest one that can be answered, the first of equals; None when there is none."""
    best: tuple[int, Challenge] | None = None
    for challenge in challenges:
        known = _algorithm(challenge.algorithm)
        if known is None or (challenge.qop and not {"auth", "auth-int"} & set(challenge.qop)):
            continue
        rank = ALGORITHMS.index(known[0])
        if best is None or rank < best[0]:
            best = rank, challenge
    return None if best is None else best[1]


def answer(
    challenge: Challenge,
    credentials: Credentials,
    method: str,
    uri: str,
    body: bytes,
    nonce_count: int,
    cnonce: str,
) -> str:
    """The value of ``Authorization`` or ``Proxy-Authorization`` for one request.

    ``uri`` is the Request-URI as sent; ``nonce_count`` is 1 for the first request with this nonce;
    ``cnonce`` is a fresh token. Raises ValueError for a challenge that ``choose`` would leave out.
    """
    known = _algorithm(challenge.algorithm)
    if known is None:
        raise ValueError(f"expected one of {ALGORITHMS}, got {challenge.algorithm!r}")
    qop = next((offered for offered in ("auth", "auth-int") if offered in challenge.qop), "")
    if challenge.qop and not qop:
        raise ValueError(f"expected qop auth or auth-int, got {challenge.qop}")
    count = f"{nonce_count:08x}"
    hashed = _Hash(*known)
    response = hashed.response(
        hashed.password(credentials.user, challenge.realm, credentials.password),
        challenge.nonce,
        method,
        uri,
        qop,
        count,
        cnonce,
        body,
    )
    fields = [
        f"username={_quote(credentials.user)}",
        f"realm={_quote(challenge.realm)}",
        f"nonce={_quote(challenge.nonce)}",
        f"uri={_quote(uri)}",
        f'response="{response}"',
        f"algorithm={challenge.algorithm}",
    ]
    if qop or known[1]:
        fields.append(f"cnonce={_quote(cnonce)}")
    if qop:
        fields += [f"qop={qop}", f"nc={count}"]
    if challenge.opaque is not None:
        fields.append(f"opaque={_quote(challenge.opaque)}")
    return "Digest " + ", ".join(fields)


class DigestVerifier:
    """Asks for passwords and checks the answers.

    ``secret`` signs the nonces: with the same secret every gateway of a host takes the nonces of
    the others. ``new_nonce`` gives fresh tokens without dots. A nonce is good for ``lifetime_s``
    seconds of ``now``, and for each count once.
    """

    def __init__(
        self,
        realm: str,
        secret: bytes,
        new_nonce: Callable[[], str],
        lifetime_s: float = 300.0,
        max_nonces: int = MAX_REMEMBERED_NONCES,
    ) -> None:
        if not secret:
            raise ValueError("expected a secret to sign nonces with, got an empty one")
        self._realm = realm
        self._key = hmac.digest(secret, b"twowire sip nonce v1", "sha256")
        self._new_nonce = new_nonce
        self._lifetime_ms = math.ceil(lifetime_s * 1_000)
        self._max_nonces = max_nonces
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()  # nonce -> (made at, ms; highest count)
        self._forgotten_ms = -1
        """Nonces made at this time or before count as used unless they are remembered."""

    def challenges(self, now: float, *, stale: bool = False) -> list[str]:
        """The values of ``WWW-Authenticate`` for a 401, one a header field, the best first (RFC 8760 §2.4)."""
        nonce = self._sign(max(0, int(now * 1_000)), self._new_nonce())
        end = ", stale=TRUE" if stale else ""
        return [
            f'Digest realm={_quote(self._realm)}, nonce="{nonce}", algorithm={name}, qop="auth"{end}'
            for name in ALGORITHMS
        ]

    def verify(self, request: Request, lookup: Callable[[str], str | None], now: float) -> Verdict:
        """Check the ``Authorization`` of ``request``; ``lookup`` finds the password of a user, None for a stranger.

        Never raises. A stranger costs as much time as a wrong password.
        """
        params = self._own_credentials(request.headers.get_all("Authorization"))
        if params is None:
            return Missing()
        known = _algorithm(params.get("algorithm", "MD5"))
        qop, count = params.get("qop", "").lower(), params.get("nc", "")
        if known is None or qop not in ("", "auth") or (qop and not re.fullmatch(r"[0-9A-Fa-f]{8}", count)):
            return Rejected()
        if (qop or known[1]) and "cnonce" not in params:
            return Rejected()
        user, nonce, uri = params.get("username", ""), params.get("nonce", ""), params.get("uri", "")
        password = lookup(user)
        hashed = _Hash(*known)
        expected = hashed.response(
            hashed.password(user, self._realm, "" if password is None else password),
            nonce,
            request.method,
            uri,
            qop,
            count,
            params.get("cnonce", ""),
            b"",
        )
        same = hmac.compare_digest(expected.encode(), _encode(params.get("response", "").lower()))
        if not same or password is None or not _same_place(uri, request):
            return Rejected()
        # Without qop there is no count: such an answer uses its nonce up.
        if not self._spend(nonce, int(count, 16) if qop else _USED_UP, now):
            return Stale()
        return Verified(user)

    def _own_credentials(self, values: Iterable[str]) -> dict[str, str] | None:
        for value in values:
            for scheme, params in _parse(value):
                if scheme == "digest" and params.get("realm") == self._realm:
                    return params
        return None

    def _spend(self, nonce: str, count: int, now: float) -> bool:
        """True once for every count of a nonce of ours that is young enough."""
        made_text, _, token = nonce.partition(".")
        token = token.rpartition(".")[0]
        if not re.fullmatch(r"[0-9a-f]{1,16}", made_text):
            return False
        made_ms = int(made_text, 16)
        if not hmac.compare_digest(_encode(nonce), _encode(self._sign(made_ms, token))):
            return False
        if not made_ms <= int(now * 1_000) <= made_ms + self._lifetime_ms:
            return False
        remembered = self._counts.get(nonce)
        if remembered is None and made_ms <= self._forgotten_ms:
            return False
        if remembered is not None and count <= remembered[1]:
            return False
        self._counts[nonce] = (made_ms, count)
        self._counts.move_to_end(nonce)
        if len(self._counts) > self._max_nonces:
            _, (made_ms, _) = self._counts.popitem(last=False)
            self._forgotten_ms = max(self._forgotten_ms, made_ms)
        return True

    def _sign(self, made_ms: int, token: str) -> str:
        text = f"{made_ms:x}.{token}"
        return f"{text}.{hmac.digest(self._key, _encode(text), 'sha256')[:16].hex()}"


class _Hash:
    """RFC 7616 §3.4 for one algorithm."""

    def __init__(self, name: str, session: bool) -> None:
        self._name = "sha256" if name == "SHA-256" else "md5"
        self._session = session

    def _of(self, text: str) -> str:
        return self._bytes(_encode(text))

    def _bytes(self, data: bytes) -> str:
        # MD5 is what old peers have; RFC 8760 asks to keep it as the last choice.
        return hashlib.new(self._name, data, usedforsecurity=False).hexdigest()

    def password(self, user: str, realm: str, password: str) -> str:
        return self._of(f"{user}:{realm}:{password}")

    def response(
        self, secret: str, nonce: str, method: str, uri: str, qop: str, count: str, cnonce: str, body: bytes
    ) -> str:
        a1 = self._of(f"{secret}:{nonce}:{cnonce}") if self._session else secret
        a2 = f"{method}:{uri}:{self._bytes(body)}" if qop == "auth-int" else f"{method}:{uri}"
        middle = f"{nonce}:{count}:{cnonce}:{qop}" if qop else nonce
        return self._of(f"{a1}:{middle}:{self._of(a2)}")


def _algorithm(name: str) -> tuple[str, bool] | None:
    """The hash and whether it is the session variant; None for one that is not known."""
    upper = name.upper()
    session = upper.endswith("-SESS")
    base = upper.removesuffix("-SESS")
    return (base, session) if base in ALGORITHMS else None


def _same_place(uri: str, request: Request) -> bool:
    """RFC 7616 §3.4.6: the answer is for this request. Parameters are left out: peers drop them."""
    if uri == str(request.uri):
        return True
    try:
        claimed = parse_uri(uri)
    except SipParseError:
        return False
    actual = request.uri
    if not isinstance(claimed, SipUri) or not isinstance(actual, SipUri):
        return False
    return (claimed.user, claimed.host.lower(), claimed.port) == (actual.user, actual.host.lower(), actual.port)


def _parse(value: str) -> list[tuple[str, dict[str, str]]]:
    """The schemes of one header value, lower case, with their parameters; empty when it is malformed.

    SIP has one scheme a field (RFC 3261 §20.27), HTTP a list: both are read.
    """
    if len(value) > MAX_VALUE_CHARS:
        return []
    found: list[tuple[str, dict[str, str]]] = []
    at = 0
    while at < len(value):
        scheme = _SCHEME.match(value, at)
        if scheme is not None:
            found.append((scheme.group(1).lower(), {}))
            at = scheme.end()
        param = _PARAM.match(value, at)
        if param is None or not found:
            return []
        quoted, bare = param.group(2), param.group(3)
        text = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if found[-1][1].setdefault(param.group(1).lower(), text) != text:
            return []  # one name, two values: no telling which was meant
        at = param.end()
        if at < len(value) and value[at] != ",":
            return []
        at += 1
    return found


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
