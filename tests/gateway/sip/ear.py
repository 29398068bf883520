"""What the gateway hears of a call, moment by moment: an ear between the leg and the call's session."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from gateway.events import CallEvent
from gateway.transports.rtp_leg import RtpLeg
from gateway.transports.stream_leg import Listener


@dataclass(frozen=True, slots=True)
class Heard:
    """Audio that a leg handed on, and how much the stream had made up by then."""

    at: float
    audio: bytes
    made_up: float


class Ear:
    """Stands in the session's place and hands everything on to it."""

    def __init__(self, leg: RtpLeg, session: Listener) -> None:
        self.leg = leg
        self.heard: list[Heard] = []
        self._session = session

    def receive_media(self, payload: bytes) -> None:
        stats = self.leg.stream.stats()
        made_up = stats["heard_concealed_samples"] + stats["heard_quiet_samples"]
        self.heard.append(Heard(monotonic(), payload, made_up))
        self._session.receive_media(payload)

    def post(self, event: CallEvent) -> None:
        self._session.post(event)

    @property
    def audio(self) -> bytes:
        return b"".join(heard.audio for heard in self.heard)

    def first_with(self, piece: bytes, after: float) -> float | None:
        """When ``piece`` was heard first, if it was."""
        return next((heard.at for heard in self.heard if heard.at >= after and piece in heard.audio), None)


@contextmanager
def ears(monkeypatch: Any) -> Iterator[list[Ear]]:
    """An ear in every leg that begins from now on."""
    made: list[Ear] = []
    begin = RtpLeg.begin

    def listen(leg: RtpLeg, session: Listener) -> None:
        made.append(Ear(leg, session))
        begin(leg, made[-1])

    with monkeypatch.context() as patched:
        patched.setattr(RtpLeg, "begin", listen)
        yield made


class Lateness:
    """How late the event loop itself was, so that a busy machine is not taken for a fault."""

    def __init__(self) -> None:
        self.beats: list[tuple[float, float]] = []

    async def watch(self) -> None:
        due = monotonic()
        while True:
            due += 0.005
            await asyncio.sleep(max(0.0, due - monotonic()))
            late_s = monotonic() - due
            self.beats.append((monotonic(), late_s))
            due = max(due, monotonic() - 0.005)

    def worst(self, begin: float, end: float) -> float:
        """The worst between two moments, and just before them."""
        return max((late_s for at, late_s in self.beats if begin - 0.03 <= at <= end + 0.01), default=0.0)
