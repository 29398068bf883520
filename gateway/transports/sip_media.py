"""One SIP call's media as it is negotiated: ports, offers, answers, and the stream that comes of them."""

import random
import secrets
from time import monotonic, time

from gateway.rtp.dtls import DtlsHandshake
from gateway.rtp.dtls_identity import DtlsIdentity
from gateway.rtp.media_plan import StreamIdentity
from gateway.rtp.stream import MediaStream
from gateway.sdp.description import SessionDescription
from gateway.sdp.dtls import DtlsRole, Fingerprint
from gateway.sdp.errors import NegotiationError, NoCommonCodecError, SdpError
from gateway.sdp.formats import MediaCodec
from gateway.sdp.local import LocalMedia
from gateway.sdp.offer_answer import answer_offer, make_offer, read_answer
from gateway.sdp.parser import parse_sdp
from gateway.sdp.plan import MediaPlan
from gateway.sdp.security import PLAIN, DtlsSetup, SecurityMethod, SecurityMode, SecurityPolicy
from gateway.sip.trunk import MediaSecurity, Trunk
from gateway.transports.rtp_ports import PortPair
from wire.audio.codecs import Codec

LEG_CODECS = {MediaCodec.PCMU: Codec.PCMU, MediaCodec.PCMA: Codec.PCMA, MediaCodec.G722: Codec.L16_16K}
"""In which codec a call's audio crosses the bus."""

_POLICIES = {
    MediaSecurity.NONE: PLAIN,
    MediaSecurity.OPTIONAL: SecurityPolicy(SecurityMode.OPTIONAL),
    MediaSecurity.SDES: SecurityPolicy(SecurityMode.REQUIRED, (SecurityMethod.SDES,)),
    MediaSecurity.DTLS: SecurityPolicy(SecurityMode.REQUIRED, (SecurityMethod.DTLS,)),
}


class MediaRefusedError(Exception):
    """The peer's session description does not do. ``status`` is the answer, ``reason`` a metric label."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class SipMedia:
    """Offer and answer of one call. The stream keeps its codec on the bus for as long as the call lives."""

    def __init__(self, trunk: Trunk, pair: PortPair, host: str, identity: DtlsIdentity) -> None:
        self.pair = pair
        self.handshake: DtlsHandshake | None = None
        """Under way, or done, where DTLS brings the keys."""
        self._identity = identity
        self.plan: MediaPlan | None = None
        self.stream: MediaStream | None = None
        self.codec = Codec.PCMU
        """What the call's audio crosses the bus in, from the first agreement on."""
        self._local = LocalMedia(
            address=host,
            port=pair.port,
            session_id=secrets.randbits(48),
            codecs=tuple(MediaCodec(name) for name in trunk.codecs),
            ptime_ms=trunk.ptime_ms,
            security=_POLICIES[trunk.media_security],
            fingerprint=Fingerprint("sha-256", identity.fingerprint),
        )
        self._last: SessionDescription | None = None
        self._offer: SessionDescription | None = None

    def answer(self, offer: bytes) -> bytes:
        """Answer the first offer or a later one. Raises MediaRefusedError; the session then stays as it was."""
        try:
            agreed = answer_offer(parse_sdp(offer), self._local, secrets.token_bytes, self._last, self.plan)
        except (SdpError, NegotiationError) as error:
            raise _refusal(error) from None
        self._agree(agreed.plan)
        self._last = agreed.answer
        return agreed.answer.to_bytes()

    def offer(self) -> bytes:
        """Our offer; ``accept`` takes what comes back. Raises MediaRefusedError when the policy cannot be met."""
        try:
            self._offer = make_offer(self._local, secrets.token_bytes, self._last, self.plan)
        except NegotiationError as error:
            raise _refusal(error) from None
        return self._offer.to_bytes()

    def accept(self, answer: bytes) -> None:
        """Take the answer to our offer. Raises MediaRefusedError."""
        assert self._offer is not None, "an answer follows an offer"
        try:
            plan = read_answer(self._offer, parse_sdp(answer), self._local)
        except (SdpError, NegotiationError) as error:
            raise _refusal(error) from None
        self._agree(plan)
        self._last, self._offer = self._offer, None

    def _agree(self, plan: MediaPlan) -> None:
        before = None if self.plan is None else self.plan.security
        if isinstance(plan.security, DtlsSetup) and plan.security != before:
            client = plan.security.role is DtlsRole.CLIENT
            self.handshake = DtlsHandshake(
                self._identity, client=client, now=monotonic(), fingerprints=plan.security.remote
            )
        self.plan = plan
        if self.stream is not None:
            self.stream.update(plan, monotonic())
            return
        self.codec = LEG_CODECS[plan.codec]
        self.stream = MediaStream(plan, self.codec, _identity(), monotonic(), time(), random.random, find_tones=True)


def _identity() -> StreamIdentity:
    """Unguessable, as RFC 3550 §5.1 asks; the CNAME says nothing of the host (RFC 7022)."""
    return StreamIdentity(
        secrets.randbits(32), secrets.randbits(15), secrets.randbits(32), secrets.token_hex(8) + "@twowire.invalid"
    )


def _refusal(error: Exception) -> MediaRefusedError:
    if isinstance(error, SdpError):
        return MediaRefusedError(400, "bad_sdp")
    return MediaRefusedError(488, "no_codec" if isinstance(error, NoCommonCodecError) else "media_security")
