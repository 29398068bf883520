"""How a stream is protected: our policy, and what an ``m=`` line offers (RFC 4568, RFC 5763, RFC 8643)."""

from dataclasses import dataclass
from enum import Enum

from gateway.sdp.crypto import SUITES, CryptoLine, read_crypto
from gateway.sdp.description import Media, SessionDescription
from gateway.sdp.dtls import DtlsRole, Fingerprint, read_fingerprints, read_setup
from gateway.sdp.errors import NegotiationError, SecurityMismatchError


class SecurityMode(Enum):
    """How much protection media must have."""

    NONE = "none"
    """Plain RTP only; an offer of nothing but SRTP is refused."""
    OPTIONAL = "optional"
    """Protected when the peer offers it; our own offers are plain."""
    REQUIRED = "required"
    """Protected or not at all."""


class SecurityMethod(Enum):
    """Where the keys come from."""

    SDES = "sdes"
    DTLS = "dtls"


@dataclass(frozen=True, slots=True)
class SecurityPolicy:
    """``methods`` and ``suites`` are those allowed, the ones we like best first. Suites of DTLS are not chosen here."""

    mode: SecurityMode = SecurityMode.NONE
    methods: tuple[SecurityMethod, ...] = (SecurityMethod.SDES, SecurityMethod.DTLS)
    suites: tuple[str, ...] = tuple(SUITES)

    def __post_init__(self) -> None:
        if self.mode is not SecurityMode.NONE and not self.methods:
            raise ValueError(f"expected a method for {self.mode.value} protection, got none")
        unknown = set(self.suites) - SUITES.keys()
        if unknown:
            raise ValueError(f"expected suites out of {sorted(SUITES)}, got {sorted(unknown)}")
        if SecurityMethod.SDES in self.methods and not self.suites:
            raise ValueError("expected a suite for SDES, got none")


PLAIN = SecurityPolicy()


@dataclass(frozen=True, slots=True)
class SdesKeys:
    """Keys of RFC 4568: master key and salt of each side."""

    suite: str
    local_key: bytes
    remote_key: bytes

    def __repr__(self) -> str:
        return f"SdesKeys({self.suite!r}, <redacted>)"


@dataclass(frozen=True, slots=True)
class DtlsSetup:
    """A handshake to be made on the media path (RFC 5763), and whose certificate must be seen in it."""

    role: DtlsRole
    remote: tuple[Fingerprint, ...]


Security = SdesKeys | DtlsSetup | None


class Profile(Enum):
    """The protocols of ``m=audio`` that we know, without the F of RFC 4585 and RFC 5124, which asks nothing of us."""

    AVP = "RTP/AVP"
    SAVP = "RTP/SAVP"
    DTLS = "UDP/TLS/RTP/SAVP"

    @staticmethod
    def of(protocol: str) -> "Profile":
        """Raises NegotiationError for any other."""
        try:
            return Profile(protocol.upper().removesuffix("F"))
        except ValueError:
            text = f"expected RTP/AVP, RTP/SAVP or UDP/TLS/RTP/SAVP, got {protocol[:40]!r}"
            raise NegotiationError("unknown_transport", text) from None


@dataclass(frozen=True, slots=True)
class DtlsOffer:
    """What an offer says about a handshake. ``setup``: the offerer's word."""

    remote: tuple[Fingerprint, ...]
    setup: str


def read_offered(
    offer: SessionDescription, media: Media, policy: SecurityPolicy, *, with_dtls: bool
) -> CryptoLine | DtlsOffer | None:
    """The best protection of an offered stream that the policy allows; None is plain RTP.

    Keys beside RTP/AVP are an offer of protection too (RFC 8643). ``with_dtls``: we have a certificate.
    Raises SecurityMismatchError where the policy leaves nothing, NegotiationError for an unknown protocol.
    """
    profile = Profile.of(media.protocol)
    if policy.mode is not SecurityMode.NONE:
        for method in policy.methods:
            found = (
                _sdes_of(media, policy, profile)
                if method is SecurityMethod.SDES
                else _dtls_of(offer, media, profile)
                if with_dtls
                else None
            )
            if found is not None:
                return found
    if profile is not Profile.AVP:
        text = f"expected {_wanted(policy)} in an offer of {profile.value}, got no protection that may be used"
        raise SecurityMismatchError("security_refused", text)
    if policy.mode is SecurityMode.REQUIRED:
        raise SecurityMismatchError("security_required", f"expected {_wanted(policy)}, got an offer of plain RTP")
    return None


def _sdes_of(media: Media, policy: SecurityPolicy, profile: Profile) -> CryptoLine | None:
    if profile is Profile.DTLS:
        return None
    return next((line for line in read_crypto(media) if line.suite in policy.suites), None)


def _dtls_of(offer: SessionDescription, media: Media, profile: Profile) -> DtlsOffer | None:
    remote = read_fingerprints(offer, media)
    setup = read_setup(offer, media, "active")
    return DtlsOffer(remote, setup) if remote and setup in ("active", "passive", "actpass") else None


def _wanted(policy: SecurityPolicy) -> str:
    if policy.mode is SecurityMode.NONE:
        return "plain RTP"
    return "SRTP keyed by " + " or ".join(method.value for method in policy.methods)
