"""Cutting header values where separators stand outside quotes, brackets and comments (RFC 3261 §25.1).

Every function here takes time in proportion to its input: quantifiers are possessive, and what is
opened and never closed is found out once.
"""

import re

from gateway.sip.errors import SipParseError
from gateway.sip.params import MAX_PARAMS, Params, QuotedString

MAX_ELEMENTS = 128  # hops, contacts or option tags; Max-Forwards starts at 70
MAX_NESTING = 16  # of comments

NAME_CHAR = r"[A-Za-z0-9\-.!%*_+`'~]"

_OUTSIDE = {
    separator: re.compile(rf'"(?:[^"\\]++|\\.)*+(?P<quote>"?)|<[^>]*+(?P<angle>>?)|(?P<cut>{separator})', re.DOTALL)
    for separator in ",;"
}
_OPENING = re.compile(r'"(?:[^"\\]++|\\.)*+"?|\(', re.DOTALL)
_TO_PARENTHESIS = re.compile(r"(?:[^()\\]++|\\.)*+([()])", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PARAM = re.compile(
    rf"[ \t]*+({NAME_CHAR}++)[ \t]*+"
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
    """``text`` without its (comments), which may nest; a parenthesis that is never closed is kept.

    Raises SipParseError for more than ``MAX_ELEMENTS`` comments, or ``MAX_NESTING`` inside each other.
    """
    kept: list[str] = []
    start = at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        at = opening.end()
        if opening[0] != "(":
            continue  # a quoted string
        depth = 1
        while depth:
            match = _TO_PARENTHESIS.match(text, at)
            if match is None:
                return "".join(kept) + text[start:]
            at = match.end()
            depth += 1 if match[1] == "(" else -1
            if depth > MAX_NESTING:
                raise SipParseError("nesting", f"expected comments at most {MAX_NESTING} deep")
        if len(kept) == MAX_ELEMENTS:
            raise SipParseError("too_many_elements", f"expected at most {MAX_ELEMENTS} comments in one header")
        kept.append(text[start : opening.start()])
        start = at
    return "".join(kept) + text[start:]


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
