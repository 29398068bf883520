"""Parameters behind a semicolon: ordered, names without regard to case (RFC 3261 §7.3.1)."""

import re
from collections.abc import Iterable, Iterator

MAX_PARAMS = 64
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_NAME = re.compile(r"[^\s;,=<>\"?&]+")


class Params:
    """An immutable list of ``name`` or ``name=value``. Values keep their quotes off and on as they need them."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str | None]] = ()) -> None:
        self._items = tuple(items)

    def get(self, name: str) -> str | None:
        """The value; "" for a parameter that has none, None for one that is not there."""
        wanted = name.lower()
        for key, value in self._items:
            if key.lower() == wanted:
                return "" if value is None else value
        return None

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
        return "".join(f";{name}" if value is None else f";{name}={_quoted(value)}" for name, value in self._items)


def _quoted(value: str) -> str:
    if value and (_TOKEN.fullmatch(value) or _is_host(value)):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_host(value: str) -> bool:
    return value.startswith("[") and value.endswith("]") and set(value[1:-1].lower()) <= set("0123456789abcdef:.%")
