"""Parameters behind a semicolon: ordered, names without regard to case (RFC 3261 §7.3.1)."""

import re
from collections.abc import Iterable, Iterator

MAX_PARAMS = 64

_PLAIN = re.compile(r"[^\x00-\x20\"();,<>\x7f]+")  # in Via a bare parenthesis would open a comment
_TO_ESCAPE = re.compile(r'([\x00-\x1f"\\\x7f])')


class QuotedString(str):
    """A value that came in quotes and leaves in quotes, as media feature tags must (RFC 3840 §9); equal without."""

    __slots__ = ()


class Params:
    """An immutable list of ``name`` or ``name=value``; values are without quotes, and get them where they need them."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str | None]] = ()) -> None:
        self._items = tuple(items)

    def get(self, name: str) -> str | None:
        """The first value; "" for a parameter that has none, None for one that is not there."""
        wanted = name.lower()
        for key, value in self._items:
            if key.lower() == wanted:
                return "" if value is None else value
        return None

    def count(self, name: str) -> int:
        """How often it stands there: more than once is an error (§7.3.1) that matters for few."""
        wanted = name.lower()
        return sum(key.lower() == wanted for key, _ in self._items)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def with_(self, name: str, value: str | None) -> "Params":
        """The same list with this parameter set, in its old place if it had one."""
        wanted = name.lower()
        if name not in self:
            return Params((*self._items, (name, value)))
        return Params((key, value if key.lower() == wanted else old) for key, old in self._items)

    def without(self, name: str) -> "Params":
        wanted = name.lower()
        return Params(item for item in self._items if item[0].lower() != wanted)

    def items(self) -> Iterator[tuple[str, str | None]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Params) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"Params({str(self)!r})"

    def __str__(self) -> str:
        return "".join(f";{name}" if value is None else f";{name}={_wire(value)}" for name, value in self._items)


def quote_string(text: str) -> str:
    """A quoted string (§25.1) that holds ``text``."""
    return '"' + _TO_ESCAPE.sub(r"\\\1", text) + '"'


def _wire(value: str) -> str:
    if not isinstance(value, QuotedString) and _PLAIN.fullmatch(value):
        return value
    return quote_string(value)
