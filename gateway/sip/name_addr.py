"""Name and address, as From, To, Contact, Route and their like have them (RFC 3261 §20.10)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gateway.sip.errors import SipParseError
from gateway.sip.lexer import parse_params, split_outside, unescape_quoted
from gateway.sip.params import Params, quote_string
from gateway.sip.uri import Uri, parse_uri

# A quoted name, or words that should have had quotes: beyond tokens also UTF-8, parentheses and addresses, which
# phones send bare. Not what separates elements and parameters, nor half of a quoted string.
_NAME_ADDR = re.compile(
    r'[ \t]*+(?:"((?:[^"\\]++|\\.)*+)"[ \t]*+|([^\x00-\x08\x0a-\x1f"<>,;\\\x7f]*+))'
    r'<([^<>"]*+)>[ \t]*+(?:;(.*+))?+\Z',
    re.DOTALL,
)
_NO_PARAMS = Params()


@dataclass(frozen=True, slots=True)
class NameAddr:
    """``params`` are those of the header, not of the URI."""

    uri: Uri
    display_name: str = ""
    params: Params = field(default_factory=Params)

    @property
    def tag(self) -> str | None:
        return self.params.get("tag")

    def with_tag(self, tag: str) -> "NameAddr":
        return replace(self, params=self.params.with_("tag", tag))

    def __str__(self) -> str:
        name = quote_string(self.display_name) + " " if self.display_name else ""
        return f"{name}<{self.uri}>{self.params}"


def parse_name_addr(text: str) -> NameAddr:
    """One name-addr or addr-spec. Raises SipParseError."""
    match = _NAME_ADDR.match(text)
    if match is not None:
        quoted, words, uri, params = match.groups()
        name = words.strip(" \t") if quoted is None else unescape_quoted(quoted)
        return NameAddr(parse_uri(uri), name, _NO_PARAMS if params is None else parse_params(params))
    if "<" in text or '"' in text.partition(";")[0]:
        raise SipParseError("name_addr", f'expected "name" <URI>;parameters, got {text[:60]!r}')
    uri, semicolon, params = text.strip(" \t").partition(";")
    if "?" in uri or "," in uri:  # §20: such a URI must stand in brackets
        raise SipParseError("name_addr", f"expected <> around a URI with , or ? in {text[:60]!r}")
    return NameAddr(parse_uri(uri.rstrip(" \t")), "", parse_params(params) if semicolon else _NO_PARAMS)


def parse_name_addrs(values: Iterable[str]) -> list[NameAddr]:
    """All elements of all lines of one header. Raises SipParseError."""
    return [parse_name_addr(element) for value in values for element in split_outside(value, ",") if element]
