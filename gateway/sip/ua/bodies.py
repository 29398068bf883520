"""Finding the session description in a message (RFC 3261 §7.4, RFC 5621)."""

from gateway.sip.message import Message

SDP = "application/sdp"
ACCEPTED = (SDP, "multipart/mixed")
MAX_PARTS = 16
MAX_BOUNDARY = 70  # RFC 2046 §5.1.1


class UnsupportedBodyError(Exception):
    """A body that must be understood and is not: 415 (RFC 3261 §8.2.3)."""


def find_sdp(message: Message) -> bytes | None:
    """Return the SDP of ``message``, alone or as a part of multipart/mixed; None when it has none.

    Raises UnsupportedBodyError for a body of another kind, unless its Content-Disposition says
    that handling is optional.
    """
    if not message.body:
        return None
    encoding = (message.headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedBodyError(f"expected a body without encoding, got {encoding!r}")
    return _sdp_of(message.content_type or SDP, message.headers.get("Content-Disposition") or "", message.body, 0)


def _sdp_of(content_type: str, disposition: str, body: bytes, depth: int) -> bytes | None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == SDP:
        return body
    if kind in ("multipart/mixed", "multipart/alternative") and depth < 2:
        for part_type, part_disposition, part in _parts(content_type, body):
            found = _sdp_of(part_type, part_disposition, part, depth + 1)
            if found is not None:
                return found
        return None
    if _parameter(disposition, "handling").lower() == "optional":
        return None
    # Inside a multipart RFC 5621 §8.2 asks to refuse as well; senders of ISUP and of location objects
    # beside the SDP rely on being ignored, so only an explicit "required" is taken at its word.
    if depth > 0 and _parameter(disposition, "handling").lower() != "required":
        return None
    raise UnsupportedBodyError(f"expected {SDP}, got {kind!r}")


def _parts(content_type: str, body: bytes) -> list[tuple[str, str, bytes]]:
    boundary = _parameter(content_type, "boundary")
    if not 0 < len(boundary) <= MAX_BOUNDARY:
        raise UnsupportedBodyError(f"expected a boundary of 1 to {MAX_BOUNDARY} characters, got {len(boundary)}")
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    found: list[tuple[str, str, bytes]] = []
    for piece in (b"\r\n" + body).split(delimiter, MAX_PARTS + 1)[1:]:
        if piece.startswith(b"--") or len(found) == MAX_PARTS:
            break
        _, _, rest = piece.partition(b"\r\n")  # what follows the boundary is padding
        if rest.startswith(b"\r\n"):
            head, content = b"", rest[2:]
        else:
            head, _, content = rest.partition(b"\r\n\r\n")
        fields = {"content-type": "text/plain", "content-disposition": ""}
        for line in head.decode("utf-8", "surrogateescape").replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n"):
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        found.append((fields["content-type"], fields["content-disposition"], content))
    return found


def _parameter(value: str, wanted: str) -> str:
    """A parameter of a Content-* field; ""  when it is missing. Quoted values hold no semicolons in practice."""
    for part in value.split(";")[1:]:
        name, _, text = part.partition("=")
        if name.strip().lower() == wanted:
            return text.strip().strip('"')
    return ""
