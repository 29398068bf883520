"""A stream that breaks is connected again, at whichever gateway is asked, and the call goes on."""

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.resumption import Resumption, unpack
from tests.gateway.live import API_TOKEN, AUTH_TOKEN, WAIT_S, Phone, RuleWorker
from wire.bus.call_states import LocalStates
from wire.bus.local import LocalHub
from wire.bus.seam import WorkerAdvert
from wire.ids import CallId, GatewayId
from wire.messages import CallClosed, CallOpened, Dtmf, Say

CALL = CallId("CA1")
SILENCE = b"\xff" * 3_200
AFTER = "/twilio/after"


class SharedStates(LocalStates):
    """States that outlive the gateway which lets go of them, and can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Condition()

    async def put(self, states: Mapping[CallId, bytes], ttl_s: float) -> None:
        async with self._news:
            await super().put(states, ttl_s)
            self._news.notify_all()

    async def close(self) -> None: ...

    async def until(self, true: Callable[[Resumption], bool], call: CallId = CALL) -> None:
        """What is kept of a call is as it should be."""
        async with asyncio.timeout(WAIT_S), self._news:
            while (state := await self.get(call)) is None or (left := unpack(state)) is None or not true(left):
                await self._news.wait()


@dataclass
class Pair:
    """Two gateways on one bus, with one worker, that share what they know of live calls."""

    first: Gateway
    second: Gateway
    hub: LocalHub
    worker: RuleWorker
    states: SharedStates
    http: aiohttp.ClientSession

    def phone(self, call_sid: str = "CA1") -> Phone:
        return Phone(self.http, self.first.base_url, call_sid)


@asynccontextmanager
async def gateways(**settings: Any) -> AsyncIterator[Pair]:
    hub, states = LocalHub(), SharedStates()
    worker = RuleWorker(hub)
    await worker.start()
    await hub.placement.advertise(WorkerAdvert(worker.id, "rule", 8, 400, 400), ttl_s=60)
    pair: list[Gateway] = []
    for name in ("g1", "g2"):
        config = GatewayConfig(
            port=0,
            gateway_id=name,
            twilio_auth_token=SecretStr(AUTH_TOKEN),
            api_token=SecretStr(API_TOKEN),
            drain_limit_s=WAIT_S,
            **settings,
        )
        pair.append(Gateway(config, *hub.open(GatewayId(name)), states=states))
    for gateway in pair:
        await gateway.start()
    async with aiohttp.ClientSession() as http:
        try:
            yield Pair(pair[0], pair[1], hub, worker, states, http)
        finally:
            for gateway in pair:
                await gateway.stop()
            await worker.close()


@pytest.fixture(autouse=True)
def _saves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.runner.state_keeper.SAVE_EVERY_S", 0.01)


@pytest.fixture
async def two() -> AsyncIterator[Pair]:
    async with gateways() as pair:
        yield pair


async def answered(pair: Pair, call_sid: str = "CA1") -> Phone:
    """A call in which the agent has begun to speak."""
    phone = pair.phone(call_sid)
    await phone.dial()
    await phone.speak(2 * SILENCE)
    await phone.hear("media")
    return phone


async def closed(pair: Pair, reason: str) -> None:
    """The gateway has noticed the end of a stream."""
    await pair.worker.until(lambda _: reason in [message.reason for message in pair.worker.of(CallClosed)])


async def broken(pair: Pair, call_sid: str = "CA1") -> Phone:
    """A call whose stream has broken without a goodbye."""
    phone = await answered(pair, call_sid)
    await phone.socket.close()
    await closed(pair, "leg_lost")
    return phone


def tags(twiml: str) -> list[str]:
    return [element.tag for element in ET.fromstring(twiml)]


def at(gateway: Gateway, phone: Phone) -> Phone:
    """The carrier asks another gateway about the same call."""
    phone.base_url = gateway.base_url
    return phone


async def goes_on(pair: Pair, phone: Phone, twiml: str) -> CallOpened:
    """The caller is connected again and hears the agent; what the worker was told."""
    assert tags(twiml) == ["Connect"]
    before = len(pair.worker.of(CallOpened))
    await phone.follow(twiml)
    await phone.speak(2 * SILENCE)
    assert (await phone.hear("media"))["media"]["payload"]
    assert len(pair.worker.of(CallOpened)) == before + 1
    opened: CallOpened = pair.worker.of(CallOpened)[-1]
    return opened


async def test_a_stream_that_broke_is_connected_again_and_the_call_goes_on_in_the_next_epoch(two: Pair):
    phone = await broken(two)
    status, twiml = await phone.post(AFTER)
    assert status == 200
    opened = await goes_on(two, phone, twiml)
    assert (opened.call, opened.epoch, opened.gateway) == ("CA1", 1, "g1")
    assert (opened.caller, opened.callee) == ("+15550100", "+15550199")
    assert opened.past is not None
    assert (opened.past.turn, opened.past.exact, opened.past.decided_below) == (1, False, 0)
    assert (await phone.record())["state"] == "live"
    await phone.send("stop", stop={})
    await closed(two, "caller_hung_up")
    assert tags((await phone.post(AFTER))[1]) == ["Hangup"]


async def test_a_call_may_come_back_again_and_again(two: Pair):
    phone = await broken(two)
    for epoch in (1, 2, 3):
        opened = await goes_on(two, phone, (await phone.post(AFTER))[1])
        assert opened.epoch == epoch
        assert opened.past is not None
        assert opened.past.turn == epoch  # one turn was begun each time
        two.worker.received.clear()
        await phone.socket.close()
        await closed(two, "leg_lost")


async def test_another_gateway_connects_the_caller_of_one_that_is_gone(two: Pair):
    phone = await answered(two)
    await two.states.until(lambda left: left.turn == 1)
    opened = await goes_on(two, at(two.second, phone), (await at(two.second, phone).post(AFTER))[1])
    assert (opened.epoch, opened.gateway) == (1, "g2")
    assert opened.past is not None
    assert opened.past.turn == 1
    await phone.send("dtmf", dtmf={"track": "inbound_track", "digit": "7"})
    await two.worker.until(lambda _: [key.epoch for key in two.worker.of(Dtmf)] == [1])


async def test_what_the_agent_had_not_said_yet_is_said_at_the_other_gateway(two: Pair):
    phone = await answered(two)
    two.worker.tell(CALL, "one two three four five six seven eight nine ten")
    await two.states.until(lambda left: left.unsaid.endswith("nine ten"))
    twiml = (await at(two.second, phone).post(AFTER))[1]
    await goes_on(two, phone, twiml)
    (said,) = two.worker.of(Say)
    assert said.epoch == 1
    assert said.text.endswith("nine ten")


async def test_a_stream_that_another_gateway_was_told_of_comes_here_too(two: Pair):
    phone = await broken(two)
    await two.states.until(lambda left: left.turn == 1)
    _, twiml = await at(two.first, phone).post(AFTER)
    there = two.second.base_url.removeprefix("http")
    twiml = twiml.replace(two.first.base_url.removeprefix("http"), there)  # a balancer stands before both
    opened = await goes_on(two, phone, twiml)
    assert (opened.epoch, opened.gateway, opened.caller) == (1, "g2", "+15550100")


@pytest.mark.parametrize(
    ("name", "arguments", "verbs"),
    [
        ("transfer", {"to": "+15550123"}, ["Dial", "Hangup"]),
        ("voicemail", {}, ["Record", "Hangup"]),
        ("hangup", {}, ["Hangup"]),
    ],
)
async def test_a_call_that_the_agent_ended_is_handed_on_by_either_gateway(
    two: Pair, name: str, arguments: dict[str, str], verbs: list[str]
):
    phone = await answered(two)
    two.worker.use_tool(CALL, name, **arguments)
    await closed(two, f"agent_{name}")
    await phone.closed()
    assert tags((await phone.post(AFTER))[1]) == verbs
    await two.states.until(lambda left: left.after == (name, arguments))
    assert tags((await at(two.second, phone).post(AFTER))[1]) == verbs
    assert tags((await phone.post(AFTER, RecordingUrl="https://example.com/r"))[1]) == ["Hangup"]
    assert len(two.worker.of(CallOpened)) == 1


async def test_a_caller_who_has_hung_up_is_not_connected_again(two: Pair):
    phone = await broken(two)
    for status in ("completed", "canceled", "failed", "busy", "no-answer"):
        assert tags((await phone.post(AFTER, CallStatus=status))[1]) == ["Hangup"]
    assert tags((await phone.post(AFTER, CallStatus="in-progress"))[1]) == ["Connect"]


async def test_a_caller_who_hung_up_into_the_stream_is_not_connected_at_the_other_gateway(two: Pair):
    phone = await answered(two)
    await phone.send("stop", stop={})
    await phone.closed()
    await two.states.until(lambda left: left.after is not None)
    assert tags((await at(two.second, phone).post(AFTER))[1]) == ["Hangup"]


async def test_a_call_that_nobody_knows_is_hung_up(two: Pair):
    assert tags((await two.phone("CA9").post(AFTER))[1]) == ["Hangup"]
    await two.states.put({CallId("CA9"): b"of another version"}, 60.0)
    assert tags((await two.phone("CA9").post(AFTER))[1]) == ["Hangup"]


async def test_a_caller_for_whom_there_is_no_worker_is_told_so(two: Pair):
    phone = await answered(two)
    await two.states.until(lambda left: left.turn == 1)
    await two.hub.placement.withdraw(two.worker.id)
    await phone.socket.close()
    await closed(two, "leg_lost")
    assert tags((await phone.post(AFTER))[1]) == ["Say", "Hangup"]


async def draining(pair: Pair, gateway: Gateway) -> asyncio.Task[None]:
    task = asyncio.create_task(gateway.drain())
    async with asyncio.timeout(WAIT_S):
        while (await pair.http.get(gateway.base_url + "/readyz")).status != 503:
            pass
    return task


async def test_a_draining_gateway_leaves_the_caller_to_another_one(two: Pair):
    phone, other = await answered(two), await answered(two, "CA2")
    drain = await draining(two, two.first)
    await phone.socket.close()
    await closed(two, "leg_lost")
    await two.states.until(lambda left: left.turn == 1)
    _, twiml = await phone.post(AFTER)
    assert tags(twiml) == ["Pause", "Redirect"]
    again = ET.fromstring(twiml).find("Redirect")
    assert again is not None
    assert again.text == two.first.base_url + AFTER
    opened = await goes_on(two, at(two.second, phone), (await at(two.second, phone).post(AFTER))[1])
    assert (opened.epoch, opened.gateway) == (1, "g2")
    await other.send("stop", stop={})
    drain.cancel()


async def test_callers_of_a_gateway_that_must_stop_go_on_at_another_one(two: Pair):
    phone = await answered(two)
    await two.first.stop()
    await phone.closed()
    opened = await goes_on(two, at(two.second, phone), (await at(two.second, phone).post(AFTER))[1])
    assert (opened.epoch, opened.gateway) == (1, "g2")
    assert [message.reason for message in two.worker.of(CallClosed)] == ["gateway_stopping"]


async def test_a_token_of_the_second_connection_is_good_once(two: Pair):
    phone = await broken(two)
    _, twiml = await phone.post(AFTER)
    thief = two.phone()
    await goes_on(two, phone, twiml)
    await thief.follow(twiml)
    assert await thief.closed() == 1008
    assert len(two.worker.of(CallOpened)) == 2
