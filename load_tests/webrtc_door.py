"""Calls through the browser door: an offer over HTTP (WHIP), audio both ways, DELETE."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

import aiohttp
from aiortc import RTCCertificate

from load_tests.asking import SEARCH_S, find_chunk_ends, shifts_of
from load_tests.generator import DIAL_TIMEOUT_S, DialError, Plan
from load_tests.pace import PaceFigures
from load_tests.schedule import Questions
from load_tests.tally import Tally
from load_tests.webrtc_caller import WebRtcCaller
from load_tests.webrtc_peer import OFFER_TYPE, LightPeer, PeerError
from load_tests.webrtc_sound import Voice

HANG_UPS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Line:
    """How calls are placed."""

    whip_url: str
    voice: Voice
    token: str = ""
    """A page token for all calls of the run; none is shown when empty."""
    events: bool = True
    """Ask for the data channel with the call's events."""
    loss: float = 0.0
    """Share of the callers' packets that get lost on their way."""


@dataclass(frozen=True, slots=True)
class WebRtcFigures:
    """What the callers saw beyond their tally."""

    pace: PaceFigures
    shifts: dict[str, int]
    """Where chunks ended, in frames before the end of the caller's: how many calls; "none" for those never answered."""
    sent: int
    dropped: int
    """Of the packets sent: lost on purpose."""
    rtcp: int
    garbage: int
    messages: int
    """Of the data channels."""
    unanswered_deletes: int


class WebRtcDoor:
    """Dials as a page does. A ``load_tests.generator.Door``."""

    extra_s = SEARCH_S

    def __init__(self, plan: Plan, line: Line, tally: Tally) -> None:
        self._plan = plan
        self._line = line
        self._tally = tally
        self._questions = Questions(plan.questions_every_chunks)
        self._certificate = RTCCertificate.generateCertificate()
        self._http: aiohttp.ClientSession | None = None
        self._callers: list[WebRtcCaller] = []
        self._unanswered_deletes = 0

    async def open(self) -> None:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DIAL_TIMEOUT_S))

    async def close(self) -> None:
        for caller in self._callers:
            if caller.peer is not None:
                await caller.peer.close()
        if self._http is not None:
            await self._http.close()

    async def dial(self, number: int) -> WebRtcCaller:
        line = self._line
        caller = WebRtcCaller(
            number,
            self._questions,
            self._plan.answer_ms,
            self._tally,
            line.voice,
            loss=line.loss,
        )

        def on_lost() -> None:
            caller.lost = True

        peer = LightPeer(self._certificate, caller.take, on_lost, events=line.events)
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                await peer.gather()
                caller.session, answer = await self._post(peer.offer(line.voice))
                await peer.connect(answer)
        except PeerError as error:
            await peer.close()
            raise DialError(str(error)) from None
        except BaseException:
            await peer.close()
            raise
        caller.peer = peer
        self._callers.append(caller)
        return caller

    async def warm_up(self, callers: Sequence[WebRtcCaller]) -> None:
        """Let the calls become steady, and find out where the gateway's chunks end."""
        await find_chunk_ends(callers, self._plan.answer_ms)

    async def hang_up(self, callers: Sequence[WebRtcCaller]) -> None:
        gate = asyncio.Semaphore(HANG_UPS_AT_ONCE)

        async def end(caller: WebRtcCaller) -> None:
            assert caller.peer is not None, "a caller that was dialled has its peer"
            async with gate:
                await self._delete(caller.session)
                await caller.peer.close()
            caller.close()

        await asyncio.gather(*(end(caller) for caller in callers))

    def figures(self) -> WebRtcFigures:
        """Once all calls have ended."""
        callers = self._callers
        peers = [caller.peer for caller in callers if caller.peer is not None]
        return WebRtcFigures(
            PaceFigures.of(caller.pace for caller in callers),
            shifts_of(callers),
            sum(caller.frames_sent for caller in callers),
            sum(caller.dropped for caller in callers),
            sum(peer.rtcp for peer in peers),
            sum(peer.garbage for peer in peers) + sum(caller.strange for caller in callers),
            sum(peer.messages for peer in peers),
            self._unanswered_deletes,
        )

    async def _post(self, offer: bytes) -> tuple[str, str]:
        """Where the session is, and the answer. Raises DialError."""
        assert self._http is not None, "the door is open"
        headers = {"Content-Type": OFFER_TYPE}
        if self._line.token:
            headers["Authorization"] = f"Bearer {self._line.token}"
        try:
            async with self._http.post(self._line.whip_url, data=offer, headers=headers) as response:
                text = await response.text()
                if response.status != 201:
                    raise DialError(f"{response.status} {response.reason}: {text.strip()[:120]}")
                return urljoin(self._line.whip_url, response.headers["Location"]), text
        except aiohttp.ClientError as error:
            raise DialError(type(error).__name__) from None

    async def _delete(self, session: str) -> None:
        assert self._http is not None, "the door is open"
        try:
            async with self._http.delete(session) as response:
                if response.status != 200:
                    self._unanswered_deletes += 1
        except (aiohttp.ClientError, TimeoutError):
            self._unanswered_deletes += 1
