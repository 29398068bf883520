"""The open loop: all callers on one absolute grid, never waiting for an answer."""

import asyncio
import gc
import secrets
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, process_time

import aiohttp
from picows import WSError, ws_connect
from twilio.request_validator import RequestValidator

from load_tests.caller import Caller, Tally, media_heads
from load_tests.figures import grown, parse_metrics
from load_tests.procfs import Process, machine_busy_s
from load_tests.schedule import FRAME_MS, TICK_MS, TICKS_PER_FRAME, Questions, first_tick, whole_chunks

TICK_S = TICK_MS / 1_000
SIGNATURE = "X-Twilio-Signature"
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
    auth_token: str
    calls: int
    seconds: float
    questions_every_chunks: int
    answer_ms: int


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


class Generator:
    """Places the calls of a plan, measures, and ends them."""

    def __init__(self, plan: Plan, processes: Sequence[Process], at_window: Callable[[], None] = lambda: None) -> None:
        """``at_window`` is called, and must return at once, when the measured time begins."""
        self._plan = plan
        self._processes = processes
        self._at_window = at_window
        self._questions = Questions(plan.questions_every_chunks)
        self._run_id = secrets.token_hex(4)
        self._observed = Observed()
        self._buckets: list[list[Caller]] = [[] for _ in range(TICKS_PER_FRAME)]
        self._heads: list[bytes] = []
        self._start = 0.0
        self._next_tick = 0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> Observed:
        """One run from the first ring to the last hang-up."""
        plan, observed = self._plan, self._observed
        longest_s = plan.calls / DIALS_A_SECOND * 3 + DIAL_TIMEOUT_S + WARM_UP_S + plan.seconds + ANSWER_LIMIT_S + 5
        longest_s += plan.answer_ms / 1_000
        self._heads = media_heads(round(longest_s * 1_000 / FRAME_MS))
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DIAL_TIMEOUT_S)) as http:
            observed.metrics_before = await self._scrape(http)
            gc.collect()
            gc.freeze()
            gc.disable()  # the generator's own pauses would be measured as the gateway's
            self._begin_ticking()
            try:
                async with asyncio.timeout(longest_s):
                    callers = await self._dial_all(http)
                    observed.calls_up = len(callers)
                    await asyncio.sleep(WARM_UP_S)
                    await self._measure(callers)
            finally:
                if self._timer is not None:
                    self._timer.cancel()
                gc.enable()
                gc.unfreeze()
            await asyncio.sleep(SETTLE_S)  # the decision on the last whole chunk comes back
            observed.calls_lost = sum(caller.lost for caller in callers)
            for caller in callers:
                caller.hang_up()
                observed.expected_decisions += whole_chunks(caller.frames_sent)
            observed.metrics_after = await self._scrape_when_closed(http)
        observed.peak_mib = {process.name: process.peak_mib() for process in self._processes}
        return observed

    async def _measure(self, callers: list[Caller]) -> None:
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
            bucket, heads = self._buckets[self._next_tick % TICKS_PER_FRAME], self._heads
            for caller in bucket:
                if caller.first_tick <= self._next_tick:
                    caller.send_frame(heads, due)
            self._next_tick += 1
            due = self._start + self._next_tick * TICK_S
        self._timer = asyncio.get_running_loop().call_later(max(0.0, due - monotonic()), self._tick)

    async def _dial_all(self, http: aiohttp.ClientSession) -> list[Caller]:
        plan = self._plan
        gate = asyncio.Semaphore(DIALS_AT_ONCE)
        started = monotonic()

        async def dial(number: int) -> Caller | None:
            await asyncio.sleep(max(0.0, started + number / DIALS_A_SECOND - monotonic()))
            async with gate:
                caller = Caller(number, self._run_id, self._questions, plan.answer_ms, self._observed.tally)
                try:
                    await self._dial(http, caller)
                except (DialError, aiohttp.ClientError, WSError, TimeoutError, OSError) as error:
                    self._observed.refusals[str(error) or type(error).__name__] += 1
                    return None
                return caller

        callers = await asyncio.gather(*(dial(number) for number in range(plan.calls)))
        return [caller for caller in callers if caller is not None]

    async def _dial(self, http: aiohttp.ClientSession, caller: Caller) -> None:
        """Webhook, TwiML, signed upgrade, ``start``; then the caller joins the grid. Raises DialError."""
        validator = RequestValidator(self._plan.auth_token)
        url = self._plan.gateway_url + "/twilio/voice"
        params = {"CallSid": caller.call_sid, "AccountSid": "AC" + "0" * 32, "From": "+15550100", "To": "+15550199"}
        headers = {SIGNATURE: validator.compute_signature(url, params)}
        async with http.post(url, data=params, headers=headers) as response:
            twiml = await response.text()
            if response.status != 200:
                raise DialError(f"webhook answered {response.status}")
        stream_url, token = parse_twiml(twiml)
        await ws_connect(
            partial(_itself, caller),
            stream_url,
            extra_headers={SIGNATURE: validator.compute_signature(stream_url, {})},
            websocket_handshake_timeout=DIAL_TIMEOUT_S,
        )
        caller.begin(token)
        caller.first_tick = first_tick(caller.number, self._next_tick + 1)
        self._buckets[caller.first_tick % TICKS_PER_FRAME].append(caller)

    async def _scrape(self, http: aiohttp.ClientSession) -> dict[str, float]:
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


def _itself(caller: Caller) -> Caller:
    return caller


def parse_twiml(twiml: str) -> tuple[str, str]:
    """(stream URL, token) of an answer that connects. Raises DialError on any other."""
    try:
        root = ET.fromstring(twiml)
    except ET.ParseError as error:
        raise DialError(f"the webhook's answer is not XML: {error}") from None
    stream = root.find("./Connect/Stream")
    if stream is None:
        raise DialError(f"refused with <{root[0].tag if len(root) else 'nothing'}>")
    parameter = stream.find("Parameter[@name='token']")
    return stream.get("url", ""), parameter.get("value", "") if parameter is not None else ""
