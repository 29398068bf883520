"""What a browser says about its ICE agent (RFC 8839), in an offer or trickled after it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.webrtc.errors import BadOfferError

MAX_CANDIDATES = 64
"""How many of a browser's are tried: one with a VPN, IPv6 and three relays has about 25, and each one costs checks
that go wherever it says."""

# RFC 8839 §5.4; the browser's own random strings never have another character.
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}", re.ASCII)
_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}", re.ASCII)
# RFC 8839 §5.1. An address is a literal or, while a page may not know its own, a name that ends in .local (mDNS).
_CANDIDATE = re.compile(
    r"[A-Za-z0-9+/]{1,32} (?P<component>[0-9]{1,3}) [A-Za-z]{3,8} (?P<priority>[0-9]{1,10}) [A-Za-z0-9.:_-]{1,253}"
    r" (?P<port>[0-9]{1,5}) typ (?:host|srflx|prflx|relay)(?P<rest>(?: [!-~]{1,256} [!-~]{1,256}){0,16})",
    re.ASCII,
)
_RTP_COMPONENT = 1  # RTCP shares it (RFC 5761)


@dataclass(frozen=True, slots=True)
class IceParameters:
    """``candidates`` are values of ``a=candidate`` that can be tried; more may be trickled unless it is the end."""

    ufrag: str
    pwd: str = field(repr=False)
    candidates: tuple[str, ...] = ()
    end_of_candidates: bool = False


def read_credentials(ufrag: str | None, pwd: str | None) -> tuple[str, str]:
    """Check a user name fragment and its password. Raises BadOfferError."""
    if not ufrag or not pwd:
        raise BadOfferError("no_ice", "expected a=ice-ufrag and a=ice-pwd for the audio, got at most one of them")
    if _UFRAG.fullmatch(ufrag) is None or _PWD.fullmatch(pwd) is None:
        raise BadOfferError("bad_ice", "expected an ice-ufrag of 4 to 256 ice-chars and an ice-pwd of 22 to 256")
    return ufrag, pwd


def read_candidates(values: Sequence[str]) -> tuple[str, ...]:
    """Those of the values of ``a=candidate`` that can be tried; RFC 8839 §5.1 has us ignore what we do not know."""
    return tuple(value for value in values if _is_of_use(value))[:MAX_CANDIDATES]


def _is_of_use(value: str) -> bool:
    found = _CANDIDATE.fullmatch(value)
    if found is None:
        return False
    related_port = re.search(r" rport ([!-~]+)", found["rest"])
    return (
        int(found["component"]) == _RTP_COMPONENT
        and int(found["priority"]) < 2**32
        and 0 < int(found["port"]) <= 65_535
        and (related_port is None or re.fullmatch(r"[0-9]{1,5}", related_port[1]) is not None)
    )
