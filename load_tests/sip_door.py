"""Calls through the SIP door: INVITE, PCMU both ways, BYE."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from load_tests.asking import SEARCH_S, find_chunk_ends, shifts_of
from load_tests.generator import DialError, Plan
from load_tests.pace import PaceFigures
from load_tests.schedule import Questions
from load_tests.sip_caller import SipCaller, open_media_socket
from load_tests.sip_signalling import SipCall, SipPhone
from load_tests.sip_text import Address, SipTextError, media_address, pcmu_offer
from load_tests.tally import Tally

HOST = "127.0.0.1"
HANG_UPS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class SipFigures:
    """What the callers saw beyond their tally."""

    pace: PaceFigures
    shifts: dict[str, int]
    """Where chunks ended, in frames before the end of the caller's: how many calls; "none" for those never answered."""
    rtcp: int
    garbage: int
    socket_errors: int
    unanswered_byes: int


class SipDoor:
    """Dials as a trunk does. A ``load_tests.generator.Door``."""

    extra_s = SEARCH_S

    def __init__(self, plan: Plan, target: Address, tally: Tally, credentials: tuple[str, str] | None = None) -> None:
        self._plan = plan
        self._tally = tally
        self._phone = SipPhone(target, credentials)
        self._questions = Questions(plan.questions_every_chunks)
        self._rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._callers: list[SipCaller] = []
        self._calls: dict[int, SipCall] = {}

    async def open(self) -> None:
        self._rtcp.bind((HOST, 0))  # of all calls; nobody reads it, and the kernel drops what is too much
        await self._phone.open(HOST)

    async def close(self) -> None:
        self._phone.close()
        self._rtcp.close()

    async def dial(self, number: int) -> SipCaller:
        sock = open_media_socket(HOST)
        caller = SipCaller(number, self._questions, self._plan.answer_ms, self._tally, sock)
        offer = pcmu_offer(HOST, sock.getsockname()[1], self._rtcp.getsockname()[1])

        def on_lost() -> None:
            caller.lost = True

        try:
            call = await self._phone.call(number, offer, on_lost)
            try:
                caller.connect(media_address(call.sdp))
            except SipTextError as error:
                await self._phone.hang_up(call)
                raise DialError(str(error)) from None
        except BaseException:
            sock.close()
            raise
        self._callers.append(caller)
        self._calls[number] = call
        return caller

    async def warm_up(self, callers: Sequence[SipCaller]) -> None:
        await find_chunk_ends(callers, self._plan.answer_ms)

    async def hang_up(self, callers: Sequence[SipCaller]) -> None:
        gate = asyncio.Semaphore(HANG_UPS_AT_ONCE)

        async def end(caller: SipCaller) -> None:
            async with gate:
                await self._phone.hang_up(self._calls[caller.number])
            caller.close()

        await asyncio.gather(*(end(caller) for caller in callers))

    def figures(self) -> SipFigures:
        """Once all calls have ended."""
        callers = self._callers
        return SipFigures(
            PaceFigures.of(caller.pace for caller in callers),
            shifts_of(callers),
            sum(caller.rtcp for caller in callers),
            sum(caller.garbage for caller in callers),
            sum(caller.socket_errors for caller in callers),
            self._phone.unanswered_byes,
        )
