"""Cutting header values where commas and semicolons stand outside quotes, brackets and comments."""

from gateway.sip.errors import SipParseError
from gateway.sip.params import MAX_PARAMS, Params

MAX_ELEMENTS = 256


def split_outside(text: str, separator: str) -> list[str]:
    """Cut at ``separator`` outside of "quoted strings" and <angle brackets>; elements are stripped.

    Raises SipParseError when a quote or bracket is not closed.
    """
    if '"' not in text and "<" not in text:
        parts = text.split(separator)
        if len(parts) > MAX_ELEMENTS:
            raise SipParseError("too_many_elements", f"{len(parts)} elements in one header")
        return [part.strip() for part in parts]
    parts, start, at, end = [], 0, 0, len(text)
    while at < end:
        char = text[at]
        if char == '"':
            at = end_of_quote(text, at)
        elif char == "<":
            at = text.find(">", at)
            if at < 0:
                raise SipParseError("unbalanced", "expected a closing > in a header")
            at += 1
        elif char == separator:
            parts.append(text[start:at].strip())
            at += 1
            start = at
            if len(parts) >= MAX_ELEMENTS:
                raise SipParseError("too_many_elements", f"more than {MAX_ELEMENTS} elements in one header")
        else:
            at += 1
    parts.append(text[start:].strip())
    return parts


def unquote(text: str) -> str:
    """A "quoted string" without its quotes and backslashes; anything else as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inside = text[1:-1]
    if "\\" not in inside:
        return inside
    out, at = [], 0
    while at < len(inside):
        if inside[at] == "\\" and at + 1 < len(inside):
            at += 1
        out.append(inside[at])
        at += 1
    return "".join(out)


def parse_params(text: str) -> Params:
    """``a=b;c`` as it stands behind the first semicolon. Raises SipParseError."""
    if not text.strip():
        return Params()
    parts = split_outside(text, ";")
    if len(parts) > MAX_PARAMS:
        raise SipParseError("too_many_parameters", f"{len(parts)} parameters, expected at most {MAX_PARAMS}")
    items: list[tuple[str, str | None]] = []
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.strip()
        if not name or '"' in name or "<" in name:
            raise SipParseError("parameter", f"expected a name for every parameter, got {part[:40]!r}")
        items.append((name, unquote(value.strip()) if equals else None))
    return Params(items)


def end_of_quote(text: str, at: int) -> int:
    """The position behind the quoted string that begins at ``at``."""
    at += 1
    while True:
        quote, slash = text.find('"', at), text.find("\\", at)
        if quote < 0:
            raise SipParseError("unbalanced", "expected a closing quote in a header")
        if slash < 0 or slash > quote:
            return quote + 1
        at = slash + 2
