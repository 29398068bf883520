"""The caller's side of a call whose media we packetise ourselves: what SIP and browser legs have in common."""

from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.events import CallEvent
from gateway.rtp.stream import MediaStream
from gateway.seams import LegQuality, PlayoutProfile

STREAM_PLAYOUT = PlayoutProfile(
    lead_s=0.2,  # the leg is ours: what it has not sent yet is taken back at once, so the lead only saves wake-ups
    piece_s=0.1,
    marks=False,
)

_MAX_EARLY_BYTES = 8_000 * 4  # audio that came before the call had begun

EndLeg = Callable[[str, Mapping[str, str]], None]


class Listener(Protocol):
    """Who gets what the leg hears: a call's session, or whoever has the leg before and after it."""

    def receive_media(self, payload: bytes) -> None: ...

    def post(self, event: CallEvent) -> None: ...


class StreamLeg:
    """One media stream and its listener. The seam ``gateway.seams.Leg``; who derives from it brings the network."""

    def __init__(self, stream: MediaStream, on_end: EndLeg) -> None:
        self.stream = stream
        self._on_end = on_end
        self._session: Listener | None = None
        self._early = bytearray()

    def begin(self, session: Listener) -> None:
        """Give ``session`` what was heard while nobody listened, and all that follows."""
        self._session = session
        early, self._early = bytes(self._early), bytearray()
        if early:
            session.receive_media(early)

    def send_audio(self, payload: bytes) -> None:
        self.stream.queue_audio(payload)

    def send_mark(self, name: str) -> None:
        """Never asked for: our own clock tells what was played."""

    def send_keys(self, keys: str) -> None:
        if self.stream.can_send_dtmf:
            self.stream.send_dtmf(keys)

    def clear(self) -> None:
        self.stream.clear()

    def end(self, action: str, arguments: Mapping[str, str]) -> None:
        self._session = None
        self._on_end(action, arguments)

    def quality(self) -> LegQuality:
        figures = self.stream.stats()
        late = int(figures["heard_late"])
        return LegQuality(
            received=int(figures["heard_received"]) - late,
            lost=int(figures["heard_lost"]) + late,
            jitter_s=figures["heard_jitter_s"],
            buffer_s=figures["heard_wait_s"],
            round_trip_s=figures.get("rtcp_round_trip_s"),
            mos=figures.get("mos"),
        )

    def _give(self, audio: bytes) -> None:
        session = self._session
        if session is not None:
            session.receive_media(audio)
        elif len(self._early) < _MAX_EARLY_BYTES:
            self._early += audio

    def _post(self, event: CallEvent) -> None:
        if self._session is not None:
            self._session.post(event)
