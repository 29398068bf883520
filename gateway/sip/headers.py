"""The header fields of one message: ordered, names without regard to case, compact forms made long."""

from collections.abc import Iterable, Iterator

from gateway.sip.lexer import split_outside

# RFC 3261 §7.3.3 and the extensions that registered a letter.
COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition", "e": "Content-Encoding",
    "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported", "l": "Content-Length", "m": "Contact",
    "n": "Identity-Info", "o": "Event", "r": "Refer-To", "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via",
    "x": "Session-Expires", "y": "Identity",
}  # fmt: skip


def long_name(name: str) -> str:
    """The name without its compact form."""
    return COMPACT.get(name.lower(), name) if len(name) == 1 else name


class Headers:
    """A multi-map; values are as they stood, folding undone."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: list[tuple[str, str, str]] = [(name.lower(), name, value) for name, value in items]

    def get(self, name: str) -> str | None:
        """The first value."""
        wanted = name.lower()
        return next((value for key, _, value in self._items if key == wanted), None)

    def get_all(self, name: str) -> list[str]:
        """Every field value, line by line."""
        wanted = name.lower()
        return [value for key, _, value in self._items if key == wanted]

    def split(self, name: str) -> list[str]:
        """The comma-separated elements of all lines. Not for credentials, whose commas mean something else.

        Raises SipParseError for a quote or bracket that is not closed.
        """
        return [element for value in self.get_all(name) for element in split_outside(value, ",") if element]

    def add(self, name: str, value: str) -> None:
        self._items.append((name.lower(), name, value))

    def prepend(self, name: str, value: str) -> None:
        """Put it before all others, as a Via on its way out."""
        self._items.insert(0, (name.lower(), name, value))

    def set(self, name: str, value: str) -> None:
        """Replace all values of this name, in the place of the first."""
        wanted = name.lower()
        for at, (key, _, _) in enumerate(self._items):
            if key == wanted:
                self._items[at] = (wanted, name, value)
                self._items[at + 1 :] = [item for item in self._items[at + 1 :] if item[0] != wanted]
                return
        self.add(name, value)

    def remove(self, name: str) -> None:
        wanted = name.lower()
        self._items = [item for item in self._items if item[0] != wanted]

    def remove_first(self, name: str) -> None:
        wanted = name.lower()
        for at, item in enumerate(self._items):
            if item[0] == wanted:
                del self._items[at]
                return

    def items(self) -> Iterator[tuple[str, str]]:
        return ((name, value) for _, name, value in self._items)

    def copy(self) -> "Headers":
        copied = Headers()
        copied._items = list(self._items)
        return copied

    def __contains__(self, name: str) -> bool:
        wanted = name.lower()
        return any(key == wanted for key, _, _ in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Headers({[name for name, _ in self.items()]})"
