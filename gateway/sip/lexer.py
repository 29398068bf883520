"""Cutting header values where separators stand outside quotes, brackets and comments (RFC 3261 §25.1).

Every function here takes time in proportion to its input: quantifiers are possessive, and what is
opened and never closed is found out once.
"""

import re

from gateway.sip.errors import SipParseError
from gateway.sip.params import MAX_PARAMS, Params, QuotedString

MAX_ELEMENTS = 128  # hops, contacts or option tags; Max-Forwards starts at 70

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]"

_OUTSIDE = {
    separator: re.compile(rf'"(?:[^"\\]++|\\.)*+(?P<quote>"?)|<[^>]*+(?P<angle>>?)|(?P<cut>{separator})', re.DOTALL)
    for separator in ",;"
}
_IN_COMMENT = re.compile(r"\\.|(?P<step>[()])", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PARAM = re.compile(
    rf"[ \t]*+({TOKEN}++)[ \t]*+"
    r'(?:=[ \t]*+(?:"((?:[^"\\]++|\\.)*+)"|([^\x00-\x20";,<>\x7f]*+))[ \t]*+)?+(;|\Z)',
    re.DOTALL,
)


def split_outside(text: str, separator: str, *, comments: bool = False) -> list[str]:
    """Cut at ``separator`` ("," or ";") outside of "quoted strings" and <angle brackets>; elements are stripped.

    ``comments`` says whether parentheses are comments: in addresses they are letters like others.
    Raises SipParseError when a quote or bracket is not closed, and for more than ``MAX_ELEMENTS``.
    """
    if comments and "(" in text:
        text = without_comments(text)
    if '"' not in text and "<" not in text:
        parts = text.split(separator)
    else:
        parts, start = [], 0
        for match in _OUTSIDE[separator].finditer(text):
            match match.lastgroup:
                case "cut":
                    parts.append(text[start : match.start()])
                    start = match.end()
                case "quote" if not match["quote"]:
                    raise SipParseError("unbalanced", "expected a closing quote in a header")
                case "angle" if not match["angle"]:
                    raise SipParseError("unbalanced", "expected a closing > in a header")
        parts.append(text[start:])
    if len(parts) > MAX_ELEMENTS:
        raise SipParseError("too_many_elements", f"{len(parts)} elements in one header, at most {MAX_ELEMENTS}")
    return [part.strip(" \t") for part in parts]


def without_comments(text: str) -> str:
    """``text`` without its (comments), which may nest; a parenthesis that is never closed is kept."""
    kept, depth, start, at = [], 0, 0, 0
    while True:
        if depth == 0:
            at = _next_outside(text, at)
            if at < 0:
                return "".join(kept) + text[start:]
            kept.append(text[start:at])
            start, at, depth = at, at + 1, 1
        match = _IN_COMMENT.search(text, at)
        if match is None:
            return "".join(kept) + text[start:]
        at = match.end()
        if match["step"]:
            depth += 1 if match["step"] == "(" else -1
            if depth == 0:
                start = at


def _next_outside(text: str, at: int) -> int:
    """Where the next parenthesis opens outside of a quoted string; -1 for nowhere."""
    while (opening := text.find("(", at)) >= 0:
        quote = text.find('"', at, opening)
        if quote < 0:
            return opening
        string = _OUTSIDE[","].match(text, quote)
        assert string is not None, "the pattern takes a quoted string, closed or not"
        at = string.end()
    return -1


def unescape_quoted(inside: str) -> str:
    """What stands between the quotes of a quoted string, its backslashes resolved."""
    return _ESCAPED.sub(r"\1", inside) if "\\" in inside else inside


def parse_params(text: str) -> Params:
    """``a=b;c`` as it stands behind the first semicolon. Raises SipParseError."""
    items: list[tuple[str, str | None]] = []
    at = 0
    while True:
        match = _PARAM.match(text, at)
        if match is None:
            raise SipParseError("parameter", f"expected ;name or ;name=value, got {text[at : at + 40]!r}")
        name, quoted, plain, end = match.groups()
        items.append((name, plain if quoted is None else QuotedString(unescape_quoted(quoted))))
        if end != ";":
            return Params(items)
        if len(items) >= MAX_PARAMS:
            raise SipParseError("too_many_parameters", f"expected at most {MAX_PARAMS} parameters")
        at = match.end()
