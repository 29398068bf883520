"""Callers who listen: what each heard, frame by frame, on a clock that the faults share."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from load_tests.chaos.fleet import Fleet, Member
from load_tests.duplex.caller import FRAME_S, Scene, Tape, TwilioScene
from twowire.caller.addresses import Addresses
from twowire.caller.stream import Tick

NUMBER = "+15550100009"
_DIALS_A_SECOND = 25.0


@dataclass(slots=True)
class ClockedTape(Tape):
    """A tape that knows when it began, on the event loop's clock."""

    began_at: float = 0.0

    def write(self, tick: Tick) -> None:
        if not self.heard:
            self.began_at = asyncio.get_running_loop().time() - tick.late_s - tick.index * FRAME_S
        Tape.write(self, tick)

    def frame_at(self, moment: float) -> int:
        """The frame that is heard at a moment of the loop's clock; never below 0."""
        return max(0, round((moment - self.began_at) / FRAME_S))


@dataclass(slots=True)
class Heard:
    """One call as it went: the tape, and the gateway's record of it."""

    tape: ClockedTape
    record: dict[str, Any] = field(default_factory=dict)
    trouble: str = ""
    """Why the call did not come about, or ended before the caller hung up."""
    set_up_s: float = 0.0
    """From dialling to the media stream, or to the refusal."""

    @property
    def live_to_the_end(self) -> bool:
        return not self.trouble


async def listen(fleet: Fleet, gateway: Member, seconds: float) -> Heard:
    """One caller who says nothing and hangs up after ``seconds``."""
    tape, dialled_at = ClockedTape(), asyncio.get_running_loop().time()
    scene = Scene("chaos", NUMBER, (), limit_s=seconds)
    call = TwilioScene(Addresses(gateway.url, None, fleet.auth_token), fleet.api_token, scene, tape)
    try:
        result = await call.run(tape)
    except Exception as error:  # a call that fails is a finding
        set_up_s = asyncio.get_running_loop().time() - dialled_at
        return Heard(tape, trouble=str(error) or type(error).__name__, set_up_s=set_up_s)
    trouble = (
        "" if result.ended_by == "limit" else f"ended by {result.ended_by} after {len(tape.heard) * FRAME_S:.1f} s"
    )
    return Heard(tape, result.record, trouble, tape.began_at - dialled_at)


class Crowd:
    """So many callers at once, dialled in over a few seconds; ``end`` waits for them to hang up."""

    def __init__(self, fleet: Fleet, calls: int, seconds: float, gateway: Member | None = None) -> None:
        self._calls: Sequence[asyncio.Task[Heard]] = ()
        self._fleet, self._count, self._seconds = fleet, calls, seconds
        self._gateway = gateway or fleet.gateway

    async def dial(self) -> None:
        """Return when every caller has dialled; each hears the agent a second later."""
        calls = []
        for number in range(self._count):
            longer_s = (self._count - number) / _DIALS_A_SECOND  # all hang up together
            calls.append(asyncio.create_task(listen(self._fleet, self._gateway, self._seconds + longer_s)))
            await asyncio.sleep(1 / _DIALS_A_SECOND)
        self._calls = calls
        await asyncio.sleep(1.5)

    async def end(self) -> list[Heard]:
        return list(await asyncio.gather(*self._calls))
