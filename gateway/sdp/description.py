"""A session description as values (RFC 8866), and its wire form.

Text is UTF-8 with surrogateescape, so that any octets survive. What nobody negotiates (``r=``, ``z=``, ``k=`` and
unknown lines) is not kept. Keys and fingerprints never show in ``repr`` or ``str``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_SECRET = frozenset({"crypto", "fingerprint", "key-mgmt", "ice-pwd", "identity"})
_SECRET_MARKS = ("inline:", "sha-")


class Direction(StrEnum):
    """Which way media goes, seen from whoever wrote it (RFC 8866 §6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @staticmethod
    def of(*, sends: bool, receives: bool) -> "Direction":
        if sends:
            return Direction.SENDRECV if receives else Direction.SENDONLY
        return Direction.RECVONLY if receives else Direction.INACTIVE

    def answered_by(self, wish: "Direction") -> "Direction":
        """What the other side, with a wish of its own, may do when it is told this (RFC 3264 §6.1)."""
        return Direction.of(sends=self.receives and wish.sends, receives=self.sends and wish.receives)


@dataclass(frozen=True, slots=True, repr=False)
class Attribute:
    """``a=name`` or ``a=name:value``."""

    name: str
    value: str | None = None

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        name = self.name.strip().lower()
        if name in _SECRET:
            return f"Attribute({name!r}, <redacted>)"
        if any(mark in self.line.lower() for mark in _SECRET_MARKS):
            return "Attribute(<redacted>)"  # a secret under a misspelt name
        return f"Attribute({self.name!r}, {self.value!r})"

    @property
    def line(self) -> str:
        """The wire form, secrets and all."""
        return f"a={self.name}" if self.value is None else f"a={self.name}:{self.value}"


@dataclass(frozen=True, slots=True)
class Origin:
    """``o=``. Id and version are texts: peers write more than the numbers that RFC 8866 §5.2 asks for."""

    session_id: str
    version: str
    address: str
    address_type: str = "IP4"
    username: str = "-"
    network: str = "IN"

    @property
    def line(self) -> str:
        return f"o={self.username} {self.session_id} {self.version} {self.network} {self.address_type} {self.address}"


@dataclass(frozen=True, slots=True)
class Connection:
    """``c=``. ``address`` is an IP literal or a name; ``suffix`` is the ``/ttl/count`` of a multicast group."""

    address: str
    address_type: str = "IP4"
    network: str = "IN"
    suffix: str = ""

    @property
    def line(self) -> str:
        return f"c={self.network} {self.address_type} {self.address}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Media:
    """One ``m=`` line and what belongs to it. ``formats`` are texts; ``port`` 0 is a stream refused or removed."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    attributes: tuple[Attribute, ...] = ()
    connections: tuple[Connection, ...] = ()
    bandwidths: tuple[str, ...] = ()
    title: str | None = None
    port_count: int = 1

    def get(self, name: str) -> str | None:
        """The value of the first attribute of that name; ``""`` for one without a value."""
        return _get(self.attributes, name)

    def get_all(self, name: str) -> list[str]:
        return _get_all(self.attributes, name)

    def lines(self) -> Iterator[str]:
        count = "" if self.port_count == 1 else f"/{self.port_count}"
        yield " ".join((f"m={self.kind} {self.port}{count} {self.protocol}", *self.formats))
        if self.title is not None:
            yield f"i={self.title}"
        for connection in self.connections:
            yield connection.line
        for bandwidth in self.bandwidths:
            yield f"b={bandwidth}"
        for attribute in self.attributes:
            yield attribute.line


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description. ``timings`` are the values of its ``t=`` lines."""

    origin: Origin
    media: tuple[Media, ...] = ()
    connection: Connection | None = None
    name: str = "-"
    attributes: tuple[Attribute, ...] = ()
    timings: tuple[str, ...] = ("0 0",)
    bandwidths: tuple[str, ...] = ()
    information: str | None = None
    uri: str | None = None
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()

    def get(self, name: str) -> str | None:
        """The value of the first session attribute of that name; ``""`` for one without a value."""
        return _get(self.attributes, name)

    def get_all(self, name: str) -> list[str]:
        return _get_all(self.attributes, name)

    def connection_of(self, media: Media) -> Connection | None:
        """Its own, or the session's (RFC 8866 §5.7)."""
        return media.connections[0] if media.connections else self.connection

    def direction_of(self, media: Media) -> Direction:
        """Its own, the session's, or sendrecv (RFC 8866 §6.7)."""
        for attributes in (media.attributes, self.attributes):
            for attribute in attributes:
                if attribute.name in _DIRECTIONS:
                    return _DIRECTIONS[attribute.name]
        return Direction.SENDRECV

    def to_bytes(self) -> bytes:
        """The wire form, lines in the order of RFC 8866 §5."""
        return "".join(f"{line}\r\n" for line in self._lines()).encode("utf-8", "surrogateescape")

    def _lines(self) -> Iterator[str]:
        yield "v=0"
        yield self.origin.line
        yield f"s={self.name}"
        if self.information is not None:
            yield f"i={self.information}"
        if self.uri is not None:
            yield f"u={self.uri}"
        for letter, values in (("e", self.emails), ("p", self.phones)):
            for value in values:
                yield f"{letter}={value}"
        if self.connection is not None:
            yield self.connection.line
        for letter, values in (("b", self.bandwidths), ("t", self.timings)):
            for value in values:
                yield f"{letter}={value}"
        for attribute in self.attributes:
            yield attribute.line
        for media in self.media:
            yield from media.lines()


_DIRECTIONS: dict[str, Direction] = {direction.value: direction for direction in Direction}


def _get(attributes: tuple[Attribute, ...], name: str) -> str | None:
    for attribute in attributes:
        if attribute.name == name:
            return attribute.value or ""
    return None


def _get_all(attributes: tuple[Attribute, ...], name: str) -> list[str]:
    return [attribute.value or "" for attribute in attributes if attribute.name == name]
