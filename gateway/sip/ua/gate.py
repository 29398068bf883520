"""The seam where the gateway decides who may speak to it."""

from dataclasses import dataclass
from typing import Protocol

from gateway.sip.flow import Flow
from gateway.sip.message import Request


@dataclass(frozen=True, slots=True)
class Admitted:
    """``trunk`` names, in the configuration, the peer the request is taken to come from."""

    trunk: str


@dataclass(frozen=True, slots=True)
class Challenged:
    """Answer 401 with ``headers`` (``WWW-Authenticate`` …)."""

    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    status: int


@dataclass(frozen=True, slots=True)
class Ignored:
    """No answer at all: scanners learn nothing."""


Verdict = Admitted | Challenged | Refused | Ignored


class Gate(Protocol):
    """Asked once for every request outside a dialog but ACK and CANCEL.

    Retransmissions are answered as the first time without asking; those of what was ignored are asked again.
    """

    def check(self, request: Request, flow: Flow, now: float) -> Verdict: ...
