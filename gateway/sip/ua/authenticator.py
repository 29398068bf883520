"""The client's side of digest (RFC 3261 §22, RFC 7616): what was asked, and the answers to it."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.sip.digest import Challenge, answer, choose, parse_challenges
from gateway.sip.message import Request, Response
from gateway.sip.trunk import Credentials

MAX_STALE = 2  # a server whose nonces are stale at once would else keep us busy for ever
ANSWERED_IN = {"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}

Realm = tuple[str, str]
"""The header field of the answer, and the realm: a proxy and a registrar may share a name."""


@dataclass(slots=True)
class _Protection:
    challenge: Challenge
    nonce_count: int = 0


class Authenticator:
    """Credentials of one call or registration, and the challenges met so far.

    Later requests carry answers unasked (§22.2, §22.3), each with the next nonce count.
    """

    def __init__(self, credentials: Credentials, new_token: Callable[[], str]) -> None:
        self._credentials = credentials
        self._new_token = new_token
        self._realms: dict[Realm, _Protection] = {}

    def learn(self, response: Response, tries: dict[Realm, int]) -> bool:
        """Take the challenges of a 401 or 407; True when the request is worth sending again.

        ``tries`` counts the answers given within one request: one a realm, and some more when the
        server says that only the nonce was too old.
        """
        found: dict[Realm, list[Challenge]] = {}
        for asks, answers in ANSWERED_IN.items():
            for challenge in parse_challenges(response.headers.get_all(asks)):
                found.setdefault((answers, challenge.realm), []).append(challenge)
        chosen: dict[Realm, Challenge] = {}
        for realm, challenges in found.items():
            best = choose(challenges)
            if best is None or self._credentials.realm not in ("", realm[1]):
                continue
            count = tries.get(realm, 0)
            if count > 0 and not (best.stale and count <= MAX_STALE):
                return False  # the same question again: the password is wrong
            chosen[realm] = best
        for realm, challenge in chosen.items():
            tries[realm] = tries.get(realm, 0) + 1
            self._realms[realm] = _Protection(challenge)
        return bool(chosen)

    def apply(self, request: Request) -> None:
        """Put the answers into ``request``, instead of any it has."""
        for name in ANSWERED_IN.values():
            request.headers.remove(name)
        for (name, _), protection in self._realms.items():
            protection.nonce_count += 1
            value = answer(
                protection.challenge,
                self._credentials,
                request.method,
                str(request.uri),
                request.body,
                protection.nonce_count,
                self._new_token(),
            )
            request.headers.add(name, value)
