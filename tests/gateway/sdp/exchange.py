"""Two sides of a call in few words, for the tests of offers and answers."""

from collections.abc import Callable

from gateway.sdp.description import SessionDescription
from gateway.sdp.dtls import Fingerprint
from gateway.sdp.formats import MediaCodec
from gateway.sdp.local import LocalMedia
from gateway.sdp.offer_answer import Agreed, answer_offer
from gateway.sdp.parser import parse_sdp
from gateway.sdp.plan import MediaPlan
from gateway.sdp.security import PLAIN, SecurityMethod, SecurityMode, SecurityPolicy

US = "192.0.2.1"
THEM = "192.0.2.9"
OUR_PRINT = Fingerprint("sha-256", bytes(range(32)))
THEIR_PRINT = "sha-256 " + ":".join(["AB"] * 32)
THEIR_DIGEST = b"\xab" * 32

SDES = SecurityPolicy(SecurityMode.REQUIRED, (SecurityMethod.SDES,))
DTLS = SecurityPolicy(SecurityMode.REQUIRED, (SecurityMethod.DTLS,))
OPTIONAL = SecurityPolicy(SecurityMode.OPTIONAL)


def keys() -> Callable[[int], bytes]:
    """Counts up where real keys are drawn: each one differs, and its first octet tells which it is."""
    made = 0

    def new_key(length: int) -> bytes:
        nonlocal made
        made += 1
        return bytes([made]) * length

    return new_key


def no_key(length: int) -> bytes:
    raise AssertionError(f"nobody asked for a key of {length} bytes")


def local(
    codecs: str = "PCMU PCMA G722",
    security: SecurityPolicy = PLAIN,
    fingerprint: Fingerprint | None = OUR_PRINT,
    **rest: object,
) -> LocalMedia:
    chosen = tuple(MediaCodec(name) for name in codecs.split())
    return LocalMedia(US, 20_000, 7_000, chosen, security=security, fingerprint=fingerprint, **rest)  # type: ignore[arg-type]


def sdp(media: str, connection: str = f"IN IP4 {THEM}", session: str = "", version: int = 1) -> SessionDescription:
    """A peer's description; ``media`` and ``session`` are lines."""
    head = f"v=0\no=- 1 {version} IN IP4 {THEM}\ns=-\nc={connection}\nt=0 0\n"
    lines = [line.strip() for line in f"{head}{session}\n{media}".split("\n") if line.strip()]
    return parse_sdp("\r\n".join(lines).encode() + b"\r\n")


def answer(
    media: str,
    ours: LocalMedia | None = None,
    *,
    last: SessionDescription | None = None,
    plan: MediaPlan | None = None,
    new_key: Callable[[int], bytes] = no_key,
    **rest: str,
) -> Agreed:
    return answer_offer(sdp(media, **rest), ours or local(), new_key, last, plan)  # type: ignore[arg-type]


def lines(description: SessionDescription) -> list[str]:
    return description.to_bytes().decode().split("\r\n")[:-1]
