"""The open loop: all callers on one absolute grid, never waiting for an answer."""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic, process_time
from typing import Generic, Protocol, TypeVar

import aiohttp

from load_tests.figures import grown, parse_metrics
from load_tests.procfs import Process, machine_busy_s
from load_tests.schedule import TICK_MS, TICKS_PER_FRAME, first_tick, whole_chunks
from load_tests.tally import Tally

TICK_S = TICK_MS / 1_000
DIALS_AT_ONCE = 8
DIALS_A_SECOND = 100.0  # quick enough to come up in seconds; a real gateway is never rung by all callers in one instant
DIAL_TIMEOUT_S = 10.0
WARM_UP_S = 2.0
ANSWER_LIMIT_S = 2.0  # an answer later than this is none
SETTLE_S = 0.5
CLOSE_WITHIN_S = 10.0


class DialError(Exception):
    """A call was not answered; the text says by what."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do in a run."""

    gateway_url: str
    """Where the gateway speaks HTTP; empty when what is under test has no metrics."""
    calls: int
    seconds: float
    questions_every_chunks: int
    answer_ms: int

    @property
    def longest_s(self) -> float:
        """How long a run may take from the first ring to the first hang-up, without what a door adds."""
        dialing_s = self.calls / DIALS_A_SECOND * 3 + DIAL_TIMEOUT_S
        return dialing_s + WARM_UP_S + self.seconds + ANSWER_LIMIT_S + self.answer_ms / 1_000 + 5


@dataclass(slots=True)
class Observed:
    """Raw material of a report."""

    window_s: float = 0.0
    calls_up: int = 0
    calls_lost: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    expected_decisions: int = 0
    cpu_s: dict[str, float] = field(default_factory=dict)
    busy_s: float = 0.0
    """CPU time of the whole machine in the window, ours included."""
    peak_mib: dict[str, float] = field(default_factory=dict)
    metrics_before: dict[str, float] = field(default_factory=dict)
    metrics_after: dict[str, float] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)


class Caller(Protocol):
    """The far end of one call."""

    number: int
    first_tick: int
    """The tick of the grid at which it begins to send."""
    frames_sent: int
    lost: bool
    """The call ended and it was not the caller who hung up."""

    def send_frame(self, due: float) -> None:
        """Send the next 20 ms, which are due at ``due``."""

    def ask(self) -> None:
        """From now on, ask, and count what is heard."""

    def ask_no_more(self) -> None:
        """No further questions; answers to those that were asked still count."""


CallerT = TypeVar("CallerT", bound=Caller)


class Door(Protocol[CallerT]):
    """How calls come up and go down: the one thing in which the doors of a gateway differ."""

    extra_s: float
    """What ``warm_up`` may take beyond ``WARM_UP_S``."""

    async def open(self) -> None:
        """Get ready to dial."""

    async def dial(self, number: int) -> CallerT:
        """Place one call. Raises DialError, TimeoutError or OSError."""

    async def warm_up(self, callers: Sequence[CallerT]) -> None:
        """Let the calls that are up become steady."""

    async def hang_up(self, callers: Sequence[CallerT]) -> None:
        """End the calls; what is still unanswered counts as missing."""

    async def close(self) -> None:
        """Let go of everything; harmless after a failed ``open``."""


class Generator(Generic[CallerT]):
    """Places the calls of a plan, measures, and ends them."""

    def __init__(
        self,
        plan: Plan,
        door: Door[CallerT],
        observed: Observed,
        processes: Sequence[Process],
        at_window: Callable[[], None] = lambda: None,
    ) -> None:
        """``at_window`` is called, and must return at once, when the measured time begins."""
        self._plan = plan
        self._door = door
        self._observed = observed
        self._processes = processes
        self._at_window = at_window
        self._buckets: list[list[CallerT]] = [[] for _ in range(TICKS_PER_FRAME)]
        self._start = 0.0
        self._next_tick = 0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> Observed:
        """One run from the first ring to the last hang-up."""
        observed, door = self._observed, self._door
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DIAL_TIMEOUT_S)) as http:
            observed.metrics_before = await self._scrape(http)
            try:
                await door.open()
                callers = await self._run_calls()
                await asyncio.sleep(SETTLE_S)  # the decision on the last whole chunk comes back
                observed.calls_lost = sum(caller.lost for caller in callers)
                observed.expected_decisions = sum(whole_chunks(caller.frames_sent) for caller in callers)
                await door.hang_up(callers)
            finally:
                await door.close()
            observed.metrics_after = await self._scrape_when_closed(http)
        observed.peak_mib = {process.name: process.peak_mib() for process in self._processes}
        return observed

    async def _run_calls(self) -> list[CallerT]:
        gc.collect()
        gc.freeze()
        gc.disable()  # the generator's own pauses would be measured as the gateway's
        self._begin_ticking()
        try:
            async with asyncio.timeout(self._plan.longest_s + self._door.extra_s):
                callers = await self._dial_all()
                self._observed.calls_up = len(callers)
                await self._door.warm_up(callers)
                await self._measure(callers)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            gc.enable()
            gc.unfreeze()
        return callers

    async def _measure(self, callers: Sequence[CallerT]) -> None:
        observed = self._observed
        del observed.tally.lateness_s[:]
        for caller in callers:
            caller.ask()
        self._at_window()
        started, before, busy, own = monotonic(), self._cpu_s(), machine_busy_s(), process_time()
        await asyncio.sleep(self._plan.seconds)
        observed.window_s = monotonic() - started
        observed.cpu_s = {name: cpu_s - before[name] for name, cpu_s in self._cpu_s().items()}
        observed.cpu_s["generator"] = process_time() - own
        observed.busy_s = machine_busy_s() - busy
        for caller in callers:
            caller.ask_no_more()
        await asyncio.sleep(ANSWER_LIMIT_S + self._plan.answer_ms / 1_000)

    def _cpu_s(self) -> dict[str, float]:
        return {process.name: process.cpu_s() for process in self._processes}

    def _begin_ticking(self) -> None:
        self._start = monotonic()
        self._next_tick = 1
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        """Send all that is due, also what should have been sent before; the grid does not wait."""
        due = self._start + self._next_tick * TICK_S
        for _ in range(TICKS_PER_FRAME):  # then let the answers in: who is far behind must not go deaf as well
            if due > monotonic():
                break
            for caller in self._buckets[self._next_tick % TICKS_PER_FRAME]:
                if caller.first_tick <= self._next_tick:
                    caller.send_frame(due)
            self._next_tick += 1
            due = self._start + self._next_tick * TICK_S
        self._timer = asyncio.get_running_loop().call_later(max(0.0, due - monotonic()), self._tick)

    async def _dial_all(self) -> list[CallerT]:
        """The callers whose calls came up; each has joined the grid."""
        gate = asyncio.Semaphore(DIALS_AT_ONCE)
        started = monotonic()

        async def dial(number: int) -> CallerT | None:
            await asyncio.sleep(max(0.0, started + number / DIALS_A_SECOND - monotonic()))
            async with gate:
                try:
                    caller = await self._door.dial(number)
                except (DialError, TimeoutError, OSError) as error:
                    self._observed.refusals[str(error) or type(error).__name__] += 1
                    return None
            caller.first_tick = first_tick(number, self._next_tick + 1)
            self._buckets[caller.first_tick % TICKS_PER_FRAME].append(caller)
            return caller

        callers = await asyncio.gather(*(dial(number) for number in range(self._plan.calls)))
        return [caller for caller in callers if caller is not None]

    async def _scrape(self, http: aiohttp.ClientSession) -> dict[str, float]:
        if not self._plan.gateway_url:
            return {}
        async with http.get(self._plan.gateway_url + "/metrics") as response:
            return parse_metrics(await response.text())

    async def _scrape_when_closed(self, http: aiohttp.ClientSession) -> dict[str, float]:
        """The counters once every call has ended: some are only added to then."""
        give_up_at = monotonic() + CLOSE_WITHIN_S
        before = self._observed.metrics_before
        while True:
            after = await self._scrape(http)
            if grown(before, after, "twowire_gateway_calls_active") <= 0 or monotonic() > give_up_at:
                return after
            await asyncio.sleep(0.1)
