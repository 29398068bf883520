"""Candidates that a browser finds after its offer: ``application/trickle-ice-sdpfrag`` (RFC 8840 §9)."""

from dataclasses import dataclass, field

from gateway.webrtc.errors import BadOfferError
from gateway.webrtc.ice import read_candidates, read_credentials

MAX_BYTES = 16 * 1_024
MEDIA_TYPE = "application/trickle-ice-sdpfrag"
_MAX_LINE_CHARS = 1_024
_MAX_LINES = 512


@dataclass(frozen=True, slots=True)
class Fragment:
    """``ufrag`` says which ICE session the candidates are for; another one than the offer's asks for a restart."""

    ufrag: str
    pwd: str = field(repr=False)
    candidates: tuple[str, ...] = ()
    end: bool = False


def read_fragment(body: bytes) -> Fragment:
    """Read a fragment. Raises BadOfferError.

    Its media sections share one transport (BUNDLE), so candidates of all of them count; credentials are those of the
    session or the first section that has some.
    """
    if len(body) > MAX_BYTES:
        raise BadOfferError("too_long", f"expected at most {MAX_BYTES} bytes, got {len(body)}")
    ufrag = pwd = None
    candidates: list[str] = []
    end = False
    for line in _lines(body):
        if line[0] != "a":
            continue
        name, _, value = line[2:].partition(":")
        value = value.strip()
        if name == "ice-ufrag":
            ufrag = ufrag or value
        elif name == "ice-pwd":
            pwd = pwd or value
        elif name == "candidate":
            candidates.append(value)
        elif name == "end-of-candidates":
            end = True
    return Fragment(*read_credentials(ufrag, pwd), read_candidates(candidates), end)


def _lines(body: bytes) -> list[str]:
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError:
        raise BadOfferError("bad_character", "expected ASCII, got other octets") from None
    lines = [line for line in (line.rstrip("\r \t") for line in text.split("\n")) if line]
    if len(lines) > _MAX_LINES:
        raise BadOfferError("too_many_lines", f"expected at most {_MAX_LINES} lines, got {len(lines)}")
    for line in lines:
        if len(line) > _MAX_LINE_CHARS:
            raise BadOfferError(
                "line_too_long", f"expected at most {_MAX_LINE_CHARS} characters a line, got {len(line)}"
            )
        if line[1:2] != "=" or not line.isprintable():
            raise BadOfferError("bad_line", f"expected <letter>=<value>, got a line of {len(line)} characters without")
    return lines
