"""Who calls whom, as an INVITE claims it. All of it is the peer's word: untrusted, bounded, never logged bare."""

from dataclasses import dataclass, field

from gateway.sip.errors import SipParseError
from gateway.sip.message import Request
from gateway.sip.name_addr import NameAddr, parse_name_addrs
from gateway.sip.uri import SipUri, TelUri, Uri

MAX_VALUE_CHARS = 512
MAX_VARIABLES = 24

# Header to variable: who really calls, who was called first, what the network vouches for.
_HEADERS = {
    "P-Asserted-Identity": "sip_asserted_identity",  # RFC 3325
    "Remote-Party-ID": "sip_remote_party",
    "Diversion": "sip_diversion",  # RFC 5806
    "History-Info": "sip_history",  # RFC 7044
    "Identity": "sip_identity",  # RFC 8224, passed through unchecked
    "Privacy": "sip_privacy",  # RFC 3323
    "User-to-User": "sip_user_to_user",  # RFC 7433
}


@dataclass(frozen=True, slots=True)
class Identity:
    """``caller`` and ``callee`` are numbers or user names; ``variables`` the headers that speak of them."""

    caller: str
    callee: str
    variables: dict[str, str] = field(default_factory=dict)


def identify(invite: Request, *, trusted: bool) -> Identity:
    """Read the identities of an INVITE. ``trusted``: the peer's P-Asserted-Identity names the caller."""
    variables = {"sip_call_id": invite.call_id[:MAX_VALUE_CHARS]}
    for header, name in _HEADERS.items():
        if (value := invite.headers.get(header)) is not None:
            variables[name] = value[:MAX_VALUE_CHARS]
    if invite.from_.display_name:
        variables["sip_display_name"] = invite.from_.display_name[:MAX_VALUE_CHARS]
    for header, value in invite.headers.items():
        if header.lower().startswith("x-") and len(variables) < MAX_VARIABLES:
            variables["sip_" + header.lower().replace("-", "_")[:64]] = value[:MAX_VALUE_CHARS]
    asserted = _asserted(invite) if trusted else None
    return Identity(user_of((asserted or invite.from_).uri), user_of(invite.uri) or user_of(invite.to.uri), variables)


def user_of(uri: Uri) -> str:
    """The number or user name in a URI, bounded."""
    match uri:
        case SipUri():
            return (uri.user or "")[:MAX_VALUE_CHARS]
        case TelUri():
            return uri.number[:MAX_VALUE_CHARS]
        case _:
            return ""


def _asserted(invite: Request) -> NameAddr | None:
    try:
        return next(iter(parse_name_addrs(invite.headers.get_all("P-Asserted-Identity"))), None)
    except SipParseError:
        return None
