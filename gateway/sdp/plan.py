"""What an offer and its answer mean for the media of a call."""

import re
from dataclasses import dataclass
from enum import Enum, Flag, auto
from ipaddress import IPv4Address, IPv6Address, ip_address

from gateway.sdp.description import Connection, Direction, Media, SessionDescription
from gateway.sdp.formats import MediaCodec
from gateway.sdp.opus import NO_LIMIT_BPS
from gateway.sdp.security import DtlsSetup, SdesKeys, Security

Address = tuple[str, int]
"""Host (an IP literal without brackets) and port."""

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]{0,252}[A-Za-z0-9_.])?")
_NUMBERS = re.compile(r"[0-9.]+|0[xX].*")  # a resolver may take these for addresses, in forms we do not check


class Reach(Enum):
    """What kind of place a peer names for its media. Send to ``UNICAST`` only; the rest is for the caller to judge."""

    UNICAST = "unicast"
    LOOPBACK = "loopback"
    """Good for peers on this host only."""
    HELD = "held"
    """0.0.0.0 or ``::``, the hold of RFC 2543: send nothing, go on listening (RFC 3264 §8.4)."""
    NO_PORT = "no_port"
    NAME = "name"
    """A host name, which has to be looked up first (RFC 8866 §5.7)."""
    OTHER_FAMILY = "other_family"
    """IPv6 where we have IPv4, or the other way round."""
    UNSAFE = "unsafe"
    """Multicast, broadcast, link-local, reserved, privileged ports, or no address at all: we would disturb others."""


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """Everything the media of one call needs to know. ``_out`` is what we send with, ``_in`` what we receive."""

    codec: MediaCodec
    payload_type_out: int
    payload_type_in: int
    remote: Address
    remote_rtcp: Address
    """Port 0: no RTCP may be sent. With DTLS and without ``rtcp_mux`` it is 0, for RTCP has no keys then."""
    direction: Direction
    """Ours: whether we send and receive."""
    ptime_ms: int = 20
    """Of the packets that we send."""
    rtcp_mux: bool = False
    dtmf_out: int | None = None
    dtmf_in: int | None = None
    cn_out: int | None = None
    cn_in: int | None = None
    bitrate_bps: int = NO_LIMIT_BPS
    """The most that the peer takes, of Opus."""
    fec: bool = False
    """The peer can make use of Opus packets that repeat the one before."""
    security: Security = None
    reach: Reach = Reach.UNICAST
    other_codecs: tuple[MediaCodec, ...] = ()
    """Codecs beside ``codec`` in the peer's answer: it may change to them at any time unless a new offer has one."""

    @property
    def may_send(self) -> bool:
        """The direction lets us, and there is somewhere to send to."""
        return self.direction.sends and self.reach in (Reach.UNICAST, Reach.LOOPBACK)


class Change(Flag):
    """What differs between two plans."""

    NOTHING = 0
    ADDRESS = auto()
    """Where to send to, RTCP included."""
    CODEC = auto()
    """The codec or what the peer asks of it, or a payload type of any kind."""
    PTIME = auto()
    DIRECTION = auto()
    LOCAL_KEY = auto()
    REMOTE_KEY = auto()
    """Also the peer's fingerprint, or our role: a new handshake."""
    SECURITY = auto()
    """Another method or suite, or protection where there was none."""

    KEYS = LOCAL_KEY | REMOTE_KEY | SECURITY


def changes(old: MediaPlan, new: MediaPlan) -> Change:
    """What the media must do differently when ``new`` takes the place of ``old`` (a re-INVITE or UPDATE)."""
    found = Change.NOTHING
    if (old.remote, old.remote_rtcp, old.rtcp_mux, old.reach) != (
        new.remote,
        new.remote_rtcp,
        new.rtcp_mux,
        new.reach,
    ):
        found |= Change.ADDRESS
    if _formats(old) != _formats(new):
        found |= Change.CODEC
    if old.ptime_ms != new.ptime_ms:
        found |= Change.PTIME
    if old.direction is not new.direction:
        found |= Change.DIRECTION
    return found | _key_changes(old.security, new.security)


def _formats(plan: MediaPlan) -> tuple[object, ...]:
    types = (plan.payload_type_out, plan.payload_type_in, plan.dtmf_out, plan.dtmf_in, plan.cn_out, plan.cn_in)
    return (plan.codec, plan.bitrate_bps, plan.fec, *types)


def _key_changes(old: Security, new: Security) -> Change:
    found = Change.NOTHING
    if isinstance(old, SdesKeys) and isinstance(new, SdesKeys) and old.suite == new.suite:
        if old.local_key != new.local_key:
            found |= Change.LOCAL_KEY
        if old.remote_key != new.remote_key:
            found |= Change.REMOTE_KEY
    elif isinstance(old, DtlsSetup) and isinstance(new, DtlsSetup):
        if old != new:
            found |= Change.REMOTE_KEY
    elif old != new:
        found |= Change.SECURITY
    return found


def remote_of(description: SessionDescription, media: Media, local_host: str) -> tuple[Address, Reach]:
    """Where a peer wants its media, and what kind of place that is."""
    connection = description.connection_of(media)
    if connection is None:
        return ("", media.port), Reach.UNSAFE
    host, reach = _classify(connection, local_host)
    if media.port == 0:
        reach = Reach.NO_PORT
    elif media.port < 1_024 and reach in (Reach.UNICAST, Reach.LOOPBACK, Reach.NAME):
        reach = Reach.UNSAFE  # DNS, NTP and their like: no media is received there, but much could be stirred up
    return (host, media.port), reach


def remote_rtcp_of(media: Media, remote: Address, reach: Reach, *, mux: bool) -> Address:
    """Where a peer wants its RTCP (RFC 5761, RFC 3605); port 0 for nowhere.

    An address of its own in ``a=rtcp`` must be the one of the media, else RTCP goes nowhere: a third party is not
    to be disturbed by us.
    """
    host, port = remote
    if mux:
        return remote
    if reach not in (Reach.UNICAST, Reach.LOOPBACK, Reach.NAME):
        return host, 0
    value = media.get("rtcp")
    if value is None:
        return host, port + 1 if port < 65_535 else 0
    text, *where = value.split() or ("",)
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    elsewhere = len(where) == 3 and host not in (where[2], str(_literal(where[2])))
    return host, 0 if elsewhere or not 1_024 <= number <= 65_535 else number


def _classify(connection: Connection, local_host: str) -> tuple[str, Reach]:
    address = _literal(connection.address)
    if connection.network.upper() != "IN":
        return connection.address, Reach.UNSAFE
    if address is None:
        # The resolver's view of 127.1 or 0x7f000001 is not ours, so these count as neither.
        name = connection.address
        is_name = _NAME.fullmatch(name) is not None and _NUMBERS.fullmatch(name) is None
        return name, Reach.NAME if is_name else Reach.UNSAFE
    return str(address), _reach(address, _literal(local_host))


def _literal(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _reach(address: IPv4Address | IPv6Address, local: IPv4Address | IPv6Address | None) -> Reach:
    if address.is_unspecified:
        return Reach.HELD
    if local is not None and address.version != local.version:
        return Reach.OTHER_FAMILY
    if address.is_loopback:
        return Reach.LOOPBACK
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return Reach.UNSAFE
    this_network = isinstance(address, IPv4Address) and int(address) >> 24 == 0
    if address.is_multicast or address.is_reserved or address.is_link_local or this_network:
        return Reach.UNSAFE
    return Reach.UNICAST
