"""What happens to gateways: told to leave while calls are live, killed under them."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from load_tests.chaos.callers import NUMBER, ClockedTape, Crowd, listen
from load_tests.chaos.ear import runs
from load_tests.chaos.fleet import Fleet, FleetPlan
from load_tests.chaos.worker_faults import SCRIPT
from load_tests.duplex.caller import FRAME_S, Scene, TwilioScene
from load_tests.duplex.measures import SILENT_RMS, levels, percentile
from twowire.caller.addresses import Addresses
from twowire.caller.gateway_record import fetch_record
from twowire.caller.messages import StreamIds
from twowire.caller.result import CallResult
from twowire.caller.session import HTTP_TIMEOUT_S, VOICE_PATH, talk
from twowire.caller.twilio_conversation import TwilioConversation
from twowire.caller.twiml import parse_twiml

PUBLIC_URL = "https://voice.example.com"
"""The address of all gateways together; who is asked behind it, the fault decides."""
_STATE_WORDS = 4  # what is kept is up to 0.5 s old, and a word lasts 0.3 s


@dataclass(slots=True)
class Returned:
    """A call whose gateway was killed. Seconds from the end of the stream."""

    connected_s: float | None = None
    voice_s: float | None = None
    went_on: bool = False
    """The agent went on with what the caller had not heard."""
    trouble: str = ""
    began: list[ClockedTape] = field(default_factory=list)


class ReturningCall(TwilioScene):
    """Twilio's part when a stream breaks: it asks for the next document, and does what that says."""

    def __init__(self, fleet: Fleet, first: Addresses, second: Addresses, seconds: float) -> None:
        self._second, self._seconds = second, seconds
        super().__init__(first, fleet.api_token, Scene("chaos", NUMBER, (), limit_s=seconds), ClockedTape())

    async def run_twice(self) -> Returned:
        """Raises whatever a call that does not come about raises."""
        clock = asyncio.get_running_loop().time
        returned = Returned()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HTTP_TIMEOUT_S)) as http:
            answer = await self._dial(http, self._addresses.public(VOICE_PATH))
            assert answer.stream is not None, "a call without a stream was refused"
            first, _ = await self._hear(http, answer.stream.url, answer.stream.parameters)
            broke_at = clock()
            self._addresses = self._second
            assert answer.stream.action is not None, "our TwiML says what comes after a stream"
            status, body = await self._post(http, answer.stream.action, "in-progress")
            again = parse_twiml(body, answer.stream.action)
            if again.stream is None:
                returned.trouble = f"HTTP {status}, {', '.join(map(str, again.verbs))}"
                return returned
            second, conversation = await self._hear(http, again.stream.url, again.stream.parameters)
            returned.connected_s = second.began_at - broke_at
            voiced = next((n for n, level in enumerate(levels(second.heard)) if level >= SILENT_RMS), None)
            returned.voice_s = None if voiced is None else second.began_at + voiced * FRAME_S - broke_at
            result = CallResult(self._dialled.call_sid, "twilio", conversation, returned.connected_s, "limit")
            url = self._second.reach(self._second.public(f"/api/calls/{self._dialled.call_sid}"))
            await fetch_record(http, url, self._api_token, result)
            returned.went_on = goes_on(first, result.record)
        return returned

    async def _hear(
        self, http: aiohttp.ClientSession, url: str, parameters: dict[str, str]
    ) -> tuple[ClockedTape, TwilioConversation]:
        self._tape = tape = ClockedTape()
        socket = await self._open_stream(http, url)
        ids = StreamIds("AC" + "0" * 32, self._dialled.call_sid, "MZ" + self._dialled.call_sid[2:])
        conversation = self.converse(ids, parameters, asyncio.get_running_loop().time())
        try:
            await talk(conversation, socket, tape)
        finally:
            await socket.close()
        return tape, conversation


def goes_on(first: ClockedTape, record: dict[str, Any]) -> bool:
    """Whether the first words of the second stream are those at which the first one broke."""
    heard = runs(first.heard)
    said = [words["text"].split() for words in record.get("transcript", ()) if words["voice"] == "agent"]
    if not heard or not said or not said[0]:
        return False
    resumed_at = int(said[0][0].removeprefix("word"))
    last = heard[-1].word
    return min((resumed_at - last) % 40, (last - resumed_at) % 40) <= _STATE_WORDS


async def killed(calls: int, rounds: int) -> dict[str, Any]:
    """SIGKILL of a gateway with live Twilio calls; another one takes them."""
    settings = {"TWOWIRE_PUBLIC_URL": PUBLIC_URL}
    returned: list[Returned] = []
    for _ in range(max(1, rounds // 2)):
        with Fleet(FleetPlan(SCRIPT, workers=2, gateways=2, slots=calls, settings=settings)) as fleet:
            first, second = (Addresses(member.url, PUBLIC_URL, fleet.auth_token) for member in fleet.gateways)
            tasks = []
            for _ in range(calls):
                tasks.append(asyncio.create_task(ReturningCall(fleet, first, second, 12.0).run_twice()))
                await asyncio.sleep(0.03)
            await asyncio.sleep(3.5)
            fleet.gateway.kill()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    outcome = Returned(trouble=str(outcome) or type(outcome).__name__)
                returned.append(outcome)
    return _returns(returned)


def _returns(returned: Sequence[Returned]) -> dict[str, Any]:
    connected = [one.connected_s for one in returned if one.connected_s is not None]
    voiced = [one.voice_s for one in returned if one.voice_s is not None]
    return {
        "calls": len(returned),
        "back": len(connected),
        "connected_p95_s": percentile(connected, 0.95),
        "voice_p50_s": percentile(voiced, 0.50),
        "voice_p95_s": percentile(voiced, 0.95),
        "went_on_where_it_broke": sum(one.went_on for one in returned),
        "troubles": sorted({one.trouble for one in returned if one.trouble}),
    }


async def told_to_leave(calls: int, rounds: int) -> dict[str, Any]:
    """SIGTERM of a gateway with live calls: they end as they would have, new ones are refused at once."""
    del rounds
    with Fleet(FleetPlan(SCRIPT, workers=2, slots=2 * calls, settings={"TWOWIRE_DRAIN_LIMIT_S": "60"})) as fleet:
        crowd = Crowd(fleet, calls, seconds=12.0)
        await crowd.dial()
        fleet.gateway.signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        refused = [await listen(fleet, fleet.gateway, 1.0) for _ in range(10)]
        heard = await crowd.end()
        ended_at = asyncio.get_running_loop().time()
        code = await asyncio.to_thread(fleet.gateway.process.wait, 20)
        gone_s = asyncio.get_running_loop().time() - ended_at
    return {
        "calls": len(heard),
        "cut_calls": [one.trouble for one in heard if not one.live_to_the_end],
        "refused": sum(not one.live_to_the_end for one in refused),
        "asked": len(refused),
        "refusal_max_s": max(one.set_up_s for one in refused),
        "exit_code": code,
        "gone_after_the_last_call_s": round(gone_s, 2),
    }
