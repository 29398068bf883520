"""Bytes into a session description (RFC 8866 §9).

Strict where media would go wrong (version, origin, connections, media lines), lenient where carriers are odd: bare line
feeds, blanks at line ends, no ``s=`` or ``t=``, lines out of order or unknown. One pass, time linear in the input.
"""

from dataclasses import dataclass, field

from gateway.sdp.description import Attribute, Connection, Media, Origin, SessionDescription
from gateway.sdp.errors import SdpError

MAX_BYTES = 16 * 1_024  # WebRTC offers with video and ICE reach 8 KiB; telephones stay below 2
MAX_LINE_CHARS = 4_096
MAX_MEDIA = 32
MAX_FORMATS = 64
_SHOWN_CHARS = 60
_ONCE = frozenset("vos")


@dataclass(slots=True)
class _Section:
    """What is read of a session (first) or a stream, until the next ``m=``."""

    start: str = ""  # the value of its m= line
    attributes: list[Attribute] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)

    def all(self, letter: str) -> tuple[str, ...]:
        return tuple(self.texts.get(letter, ()))

    def first(self, letter: str) -> str | None:
        values = self.texts.get(letter)
        return values[0] if values else None


def parse_sdp(data: bytes) -> SessionDescription:
    """Read a description. Raises SdpError; its text shows no attribute."""
    if len(data) > MAX_BYTES:
        raise SdpError("too_long", f"expected at most {MAX_BYTES} bytes, got {len(data)}")
    text = data.decode("utf-8", "surrogateescape")
    if "\0" in text:
        raise SdpError("bad_character", "expected text, got a NUL")
    session, streams = _sections(text)
    origin = session.first("o")
    if origin is None:
        raise SdpError("no_origin", "expected an o= line, got none")
    return SessionDescription(
        origin=_origin(origin),
        media=tuple(_media(stream) for stream in streams),
        connection=session.connections[0] if session.connections else None,
        name=session.first("s") or "-",
        attributes=tuple(session.attributes),
        timings=session.all("t") or ("0 0",),
        bandwidths=session.all("b"),
        information=session.first("i"),
        uri=session.first("u"),
        emails=session.all("e"),
        phones=session.all("p"),
    )


def _sections(text: str) -> tuple[_Section, list[_Section]]:
    session = section = _Section()
    streams: list[_Section] = []
    for line in text.split("\n"):
        line = line.rstrip("\r \t")
        if not line:
            continue
        if len(line) > MAX_LINE_CHARS:
            raise SdpError("line_too_long", f"expected at most {MAX_LINE_CHARS} characters a line, got {len(line)}")
        if line[1:2] != "=" or "\r" in line:
            raise SdpError("bad_line", f"expected <letter>=<value>, got a line of {len(line)} characters without it")
        letter, value = line[0], line[2:]
        if not session.texts and (letter, value.strip()) != ("v", "0"):
            raise SdpError(
                "bad_version", f"expected v=0 first, got {_shown(line) if letter != 'a' else 'an attribute'}"
            )
        if letter == "a":
            name, colon, rest = value.partition(":")
            section.attributes.append(Attribute(name.strip(), rest.strip() if colon else None))
        elif letter == "m":
            if len(streams) == MAX_MEDIA:
                raise SdpError("too_many_media", f"expected at most {MAX_MEDIA} media, got more")
            section = _Section(value)
            streams.append(section)
        elif letter == "c":
            section.connections.append(_connection(value))
        elif letter in "voituepbs":
            if letter in _ONCE and (letter in section.texts or streams):
                raise SdpError("doubled_line", f"expected one {letter}= line, got a second one")
            section.texts.setdefault(letter, []).append(value.strip())
    if not session.texts:
        raise SdpError("empty", "expected a session description, got nothing")
    return session, streams


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARS])


def _origin(value: str) -> Origin:
    # From the right, for some put blanks into the user name.
    parts = value.rsplit(None, 5)
    if len(parts) == 5:
        parts.insert(0, "-")  # and some leave it out
    if len(parts) != 6:
        raise SdpError("bad_origin", f"expected six fields in o=, got {_shown(value)}")
    username, session_id, version, network, address_type, address = parts
    return Origin(session_id, version, address, address_type, username, network)


def _connection(value: str) -> Connection:
    parts = value.split()
    if len(parts) != 3:
        raise SdpError("bad_connection", f"expected three fields in c=, got {_shown(value)}")
    address, slash, suffix = parts[2].partition("/")
    if not address:
        raise SdpError("bad_connection", f"expected an address in c=, got {_shown(value)}")
    return Connection(address, parts[1], parts[0], slash + suffix)


def _media(section: _Section) -> Media:
    parts = section.start.split(None, MAX_FORMATS + 3)
    if len(parts) < 3:
        raise SdpError("bad_media", f"expected kind, port, protocol and formats in m=, got {_shown(section.start)}")
    if len(parts) > MAX_FORMATS + 3:
        raise SdpError("too_many_formats", f"expected at most {MAX_FORMATS} formats, got more")
    kind, ports, protocol, *formats = parts
    port, slash, count = ports.partition("/")
    return Media(
        kind=kind,
        port=_number(port, 65_535),
        protocol=protocol,
        formats=tuple(formats),
        attributes=tuple(section.attributes),
        connections=tuple(section.connections),
        bandwidths=section.all("b"),
        title=section.first("i"),
        port_count=_number(count, 65_535) if slash else 1,
    )


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= most):
        raise SdpError("bad_port", f"expected a port up to {most}, got {_shown(text)}")
    return int(text)
