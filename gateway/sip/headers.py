"""The header fields of one message: ordered, names without regard to case, compact forms made long."""

from collections.abc import Iterable, Iterator

from gateway.sip.errors import SipParseError
from gateway.sip.lexer import MAX_ELEMENTS, split_outside

# RFC 3261 §7.3.3 and the extensions that registered a letter.
COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition", "e": "Content-Encoding",
    "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported", "l": "Content-Length", "m": "Contact",
    "n": "Identity-Info", "o": "Event", "r": "Refer-To", "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via",
    "x": "Session-Expires", "y": "Identity",
}  # fmt: skip


# Headers of addresses: there a parenthesis is a letter; elsewhere it opens a comment (RFC 3261 §25.1, RFC 2543 §6.46).
_OF_ADDRESSES = frozenset({
    "contact", "diversion", "from", "history-info", "p-asserted-identity", "p-preferred-identity", "path",
    "record-route", "refer-to", "referred-by", "remote-party-id", "reply-to", "route", "service-route", "to",
})  # fmt: skip

Field = tuple[str, str, str]
"""Lower-case name, name as written, value."""


def long_name(name: str) -> str:
    """The name without its compact form."""
    return COMPACT.get(name.lower(), name) if len(name) == 1 else name


class Headers:
    """A multi-map. Values are as they stood, folding undone; compact names become long ones.

    ``get_all`` and ``split`` give new lists; nothing but the methods changes the fields.
    """

    __slots__ = ("_fields",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: list[Field] = [_field(name, value) for name, value in items]

    @classmethod
    def of_fields(cls, fields: list[Field]) -> "Headers":
        """Take over ``fields``, whose names are long and lower-cased already."""
        headers = cls.__new__(cls)
        headers._fields = fields
        return headers

    def get(self, name: str) -> str | None:
        """The first value."""
        wanted = long_name(name).lower()
        for key, _, value in self._fields:
            if key == wanted:
                return value
        return None

    def get_all(self, name: str) -> list[str]:
        """Every field value, line by line."""
        wanted = long_name(name).lower()
        return [value for key, _, value in self._fields if key == wanted]

    def split(self, name: str) -> list[str]:
        """The comma-separated elements of all lines. Not for credentials, whose commas mean something else.

        Quotes, angle brackets and (outside of addresses) comments are respected; empty elements are left out.
        Raises SipParseError for a quote or bracket that is not closed, and for more than ``MAX_ELEMENTS``.
        """
        comments = long_name(name).lower() not in _OF_ADDRESSES
        lines = (split_outside(value, ",", comments=comments) for value in self.get_all(name))
        elements = [element for line in lines for element in line if element]
        if len(elements) > MAX_ELEMENTS:
            raise SipParseError("too_many_elements", f"{len(elements)} elements in {name}, at most {MAX_ELEMENTS}")
        return elements

    def add(self, name: str, value: str) -> None:
        self._fields.append(_field(name, value))

    def prepend(self, name: str, value: str) -> None:
        """Put it before all others, as a Via on its way out."""
        self._fields.insert(0, _field(name, value))

    def set(self, name: str, value: str) -> None:
        """Replace all values of this name, in the place of the first."""
        field = _field(name, value)
        wanted = field[0]
        for at, (key, _, _) in enumerate(self._fields):
            if key == wanted:
                self._fields[at] = field
                self._fields[at + 1 :] = [item for item in self._fields[at + 1 :] if item[0] != wanted]
                return
        self._fields.append(field)

    def remove(self, name: str) -> None:
        wanted = long_name(name).lower()
        self._fields = [field for field in self._fields if field[0] != wanted]

    def remove_first(self, name: str) -> None:
        wanted = long_name(name).lower()
        for at, field in enumerate(self._fields):
            if field[0] == wanted:
                del self._fields[at]
                return

    def items(self) -> Iterator[tuple[str, str]]:
        """(name as written, value), in order."""
        return ((name, value) for _, name, value in self._fields)

    def fields(self) -> Iterator[Field]:
        return iter(self._fields)

    def copy(self) -> "Headers":
        return Headers.of_fields(list(self._fields))

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({[name for name, _ in self.items()]})"


def _field(name: str, value: str) -> Field:
    name = long_name(name)
    return name.lower(), name, value
