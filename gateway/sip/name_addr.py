"""Name and address, as From, To, Contact, Route and their like have them (RFC 3261 §20.10)."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gateway.sip.errors import SipParseError
from gateway.sip.lexer import end_of_quote, parse_params, split_outside, unquote
from gateway.sip.params import Params
from gateway.sip.uri import Uri, parse_uri


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
        name = ""
        if self.display_name:
            name = '"' + self.display_name.replace("\\", "\\\\").replace('"', '\\"') + '" '
        return f"{name}<{self.uri}>{self.params}"


def parse_name_addr(text: str) -> NameAddr:
    """One name-addr or addr-spec. Raises SipParseError."""
    text = text.strip()
    name, uri_text, params = _cut(text)
    return NameAddr(parse_uri(uri_text), name, parse_params(params))


def parse_name_addrs(values: Iterable[str]) -> list[NameAddr]:
    """All elements of all lines of one header. Raises SipParseError."""
    return [parse_name_addr(element) for value in values for element in split_outside(value, ",") if element]


def _cut(text: str) -> tuple[str, str, str]:
    """(display name, URI, parameters)."""
    quoted = ""
    rest = text
    if text.startswith('"'):
        try:
            end = end_of_quote(text, 0)
        except SipParseError:
            raise SipParseError("name_addr", f"expected a closing quote in {text[:60]!r}") from None
        quoted, rest = unquote(text[:end]), text[end:].lstrip()
        if not rest.startswith("<"):
            raise SipParseError("name_addr", f"expected <URI> behind the name in {text[:60]!r}")
    opening = rest.find("<")
    if opening < 0:
        uri, _, params = rest.partition(";")
        if "?" in uri or "," in uri:  # §20: such a URI must stand in brackets
            raise SipParseError("name_addr", f"expected <> around a URI with , or ? in {text[:60]!r}")
        return "", uri.strip(), params
    name = rest[:opening].strip()
    if name and (quoted or any(char in name for char in '"<>;,:@()[]?={}\\/')):
        raise SipParseError("name_addr", f"expected a quoted name in {text[:60]!r}")
    closing = rest.find(">", opening)
    if closing < 0:
        raise SipParseError("name_addr", f"expected a closing > in {text[:60]!r}")
    after = rest[closing + 1 :].strip()
    if after and not after.startswith(";"):
        raise SipParseError("name_addr", f"expected parameters behind > in {text[:60]!r}")
    return quoted or name, rest[opening + 1 : closing], after[1:]
