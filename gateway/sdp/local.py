"""Our side of a call's media, as an offer or answer puts it into words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from gateway.sdp.description import Attribute, Connection, Direction, Media, Origin, SessionDescription
from gateway.sdp.dtls import Fingerprint
from gateway.sdp.formats import MAX_PTIME_MS, MIN_PTIME_MS, MediaCodec
from gateway.sdp.security import PLAIN, SecurityMethod, SecurityMode, SecurityPolicy


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Where we receive, what we speak, and how media must be protected. One value per call."""

    address: str
    """The IP literal that peers reach us at."""
    port: int
    session_id: int
    """Chosen once per call, below 2**62; with the address it names the session (RFC 8866 §5.2)."""
    codecs: tuple[MediaCodec, ...] = (MediaCodec.PCMU, MediaCodec.PCMA, MediaCodec.G722)
    """The ones we take, best first. An answer follows this order, not the peer's."""
    ptime_ms: int = 20
    direction: Direction = Direction.SENDRECV
    dtmf: bool = True
    comfort_noise: bool = False
    rtcp_port: int | None = None
    """The port above ``port`` when None."""
    rtcp_mux: bool = True
    security: SecurityPolicy = PLAIN
    fingerprint: Fingerprint | None = None
    """Of our certificate; without it there is no DTLS."""

    def __post_init__(self) -> None:
        ip_address(self.address)
        if not self.codecs:
            raise ValueError("expected at least one codec, got none")
        if not 0 < self.port <= 65_535 or not 0 <= self.session_id < 2**62:
            raise ValueError(f"expected a port and an id below 2**62, got {self.port} and {self.session_id}")
        if not MIN_PTIME_MS <= self.ptime_ms <= MAX_PTIME_MS:
            raise ValueError(f"expected a ptime of {MIN_PTIME_MS} to {MAX_PTIME_MS} ms, got {self.ptime_ms}")
        if self.security.mode is SecurityMode.REQUIRED and not self.methods:
            raise ValueError("expected a fingerprint where only DTLS is allowed, got none")

    def hold(self) -> "LocalMedia":
        """For an offer that puts the peer on hold (RFC 3264 §8.4). The answer tells whether we are held as well."""
        return replace(self, direction=Direction.SENDONLY)

    def unhold(self) -> "LocalMedia":
        return replace(self, direction=Direction.SENDRECV)

    @property
    def methods(self) -> tuple[SecurityMethod, ...]:
        """Where keys may come from: DTLS only with a certificate."""
        methods = self.security.methods
        return methods if self.fingerprint else tuple(one for one in methods if one is not SecurityMethod.DTLS)

    def stream(
        self,
        protocol: str,
        formats: Sequence[str],
        described: Sequence[Attribute],
        *,
        direction: Direction,
        ptime_ms: int,
        mux: bool,
        protection: Sequence[Attribute],
    ) -> Media:
        """Our ``m=audio`` with its attributes."""
        attributes = [*described, Attribute("ptime", str(ptime_ms)), Attribute("maxptime", str(MAX_PTIME_MS))]
        attributes.append(Attribute(direction.value))
        if self.rtcp_port not in (None, self.port + 1):
            attributes.append(Attribute("rtcp", str(self.rtcp_port)))
        if mux:
            attributes.append(Attribute("rtcp-mux"))
        return Media("audio", self.port, protocol, tuple(formats), (*attributes, *protection))

    def describe(
        self, media: Sequence[Media], last: SessionDescription | None, timings: tuple[str, ...] = ("0 0",)
    ) -> SessionDescription:
        """The whole description; its version is one above ``last``'s, or the same if nothing differs (RFC 3264 §8)."""
        family = f"IP{ip_address(self.address).version}"
        version = self.session_id if last is None else int(last.origin.version)
        origin = Origin(str(self.session_id), str(version), self.address, family)
        description = SessionDescription(origin, tuple(media), Connection(self.address, family), timings=timings)
        if last is None or description == last:
            return description
        return replace(description, origin=replace(origin, version=str(version + 1)))
