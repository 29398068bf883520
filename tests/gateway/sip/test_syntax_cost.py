"""No input makes the parser slow: a 64 KiB datagram costs little more than its length.

Measured on one shared core in 2026: at most 5 ms. What is quadratic in 32 KiB takes seconds, so the
bound leaves room for a busy machine and still tells them apart.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from gateway.sip.errors import SipParseError
from gateway.sip.framing import StreamFramer
from gateway.sip.parser import parse_message

BOUND_S = 0.1
GOOD = (
    b"Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"
)
START = b"INVITE sip:a@h SIP/2.0\r\n"


def headers(name: bytes, value: bytes, lines: int = 4) -> bytes:
    return START + GOOD + (name + b": " + value[:8_000] + b"\r\n") * lines + b"\r\n"


def hostile() -> dict[str, bytes]:
    inputs = {
        "empty lines": b"\r\n" * 32_767,
        "line feeds": b"\n" * 65_535,
        "carriage returns": b"\ra" * 32_767,
        "one long line": b"A" * 65_535,
        "folds": START + b"a: b" + b"\r\n " * 10_000 + b"\r\n\r\n",
        "spaces": START + b"a: b" + b" " * 32_000 + b"\r\n\r\n",
        "many headers": START + b"a:\r\n" * 8_000 + b"\r\n",
        "long status": b"SIP/2.0 " + b"9" * 65_000,
        "long version": b"INVITE sip:a@h SIP/" + b"2" * 30_000 + b"\r\n\r\n",
        "zeros": headers(b"Expires", b"0" * 8_000) + headers(b"CSeq", b"0" * 8_000),
        "spaces in CSeq": headers(b"X", b"").replace(b"1 INVITE", b"1" + b" " * 8_000),
        "every byte": bytes(range(256)) * 255,
    }
    for name in (b"Via", b"Contact", b"Route", b"To"):
        for unit in (
            b"<a:b>,", b"a:b,", b'"', b'"\\', b'""', b'"",', b"<", b"<>,", b"(", b"()", b"(\\", b",", b";", b"a;",
            b'a="";', b'<sip:a@h>;a="b",', b"SIP/2.0/UDP [::1]:5060;branch=z,", b"SIP/2.0/UDP h (x),",
            b"<sip:%41@[::1];lr>,", b" ", b"\\",
        ):  # fmt: skip
            inputs[f"{name.decode()} of {unit.decode()}"] = headers(name, unit * 8_000)
    for unit in (b"%41", b"%", b";a", b"a@", b"@", b"?", b"&a=b", b"=", b"-", b".", b"[", b"\xff", b"#", b":"):
        for before in (b"sip:", b"sip:a@", b"sip:h;", b"sip:h?", b"tel:1;", b"sip:["):
            uri = before + (unit * 4_000)[:4_000]
            inputs[f"URI {before.decode()} of {unit!r}"] = headers(b"Contact", b"<" + uri + b">,<" + uri + b">")
    return inputs


HOSTILE = hostile()


def best_of_three(read: Callable[[], None]) -> float:
    """Seconds of this thread; a garbage collection or a stolen core hits one run, not three."""
    costs = []
    for _ in range(3):
        began = time.thread_time()
        read()
        costs.append(time.thread_time() - began)
    return min(costs)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_datagram_costs_little(name):
    data = HOSTILE[name][:65_535]

    def read() -> None:
        with suppress(SipParseError):
            parse_message(data)

    assert best_of_three(read) < BOUND_S


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_stream_costs_little(name):
    data = HOSTILE[name][:65_535]

    def read() -> None:
        framer = StreamFramer()
        with suppress(SipParseError):
            for at in range(0, len(data), 536):
                for _ in framer.push(data[at : at + 536]):
                    pass

    assert best_of_three(read) < BOUND_S
