"""The ladder at the SIP door, step by step: what is tried in which order, and what the caller's telephone is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.sip.flow import Flow
from gateway.sip.ua.config import AgentLimits
from gateway.sip.ua.effects import CallAnswered, CallEnded, CallRinging, EndCause, IncomingCall
from gateway.transports.rtp_ports import RtpPorts
from tests.gateway.sip.far_end import SipLine, sip_line
from tests.gateway.sip.telephone import HOST, Telephone, answers
from wire.bus.seam import BusUnavailableError, WorkerAdvert
from wire.ids import WorkerId

STAYS = AgentLimits(max_redirects=0)
"""Of a telephone that does not follow a 302, and so shows it."""


def ladder(tmp_path: Path, *steps: str) -> Path:
    file = tmp_path / "fallback.yaml"
    file.write_text("steps:\n" + "".join(f"  - {step}\n" for step in steps))
    return file


@asynccontextmanager
async def busy_line(file: Path | None = None, **settings: Any) -> AsyncIterator[tuple[SipLine, Telephone]]:
    """A line with one slot, and the telephone that has it."""
    async with sip_line(slots=1, fallback_file=file, **settings) as line:
        first = await line.telephone()
        first.call(line.uri)
        await first.told(CallAnswered)
        yield line, first


async def refused(line: SipLine) -> CallEnded:
    phone = await line.telephone(limits=STAYS)
    phone.call(line.uri)
    return await phone.told(CallEnded)


async def counted(line: SipLine, step: str) -> float:
    return await line.metric(f'twowire_gateway_fallbacks_total{{door="sip",step="{step}"}}')


async def test_without_a_ladder_a_caller_is_refused_at_once():
    async with busy_line() as (line, _):
        async with asyncio.timeout(2.0):
            assert (await refused(line)).status == 486


async def test_a_caller_who_is_sent_on_is_answered_by_a_human(tmp_path: Path):
    human = Telephone(RtpPorts(HOST, 23_000, 23_099), ("PCMU",))
    await human.start()
    answers(human)
    file = ladder(tmp_path, f"transfer: {{to: '{human.uri}'}}")
    async with busy_line(file) as (line, _):
        caller = await line.telephone()
        caller.call(line.uri)
        await caller.told(CallAnswered)
        assert (await human.told(IncomingCall)).request.uri == human.uri
        assert await counted(line, "transfer") == 1
    await human.stop()


async def test_a_caller_who_is_sent_on_is_told_302(tmp_path: Path):
    async with busy_line(ladder(tmp_path, "transfer: {to: 'sip:desk@192.0.2.1'}")) as (line, _):
        ended = await refused(line)
        assert (ended.status, ended.cause) == (302, EndCause.REDIRECTED)


async def test_a_number_is_asked_for_where_the_call_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with busy_line(ladder(tmp_path, "transfer: {to: '+15550123'}")) as (line, _):
        caller = await line.telephone(limits=STAYS)
        heard: list[bytes] = []
        receive = caller._agent.receive

        def overhear(data: bytes, flow: Flow) -> None:
            heard.append(data)
            receive(data, flow)

        monkeypatch.setattr(caller._agent, "receive", overhear)
        caller.call(line.uri)
        await caller.told(CallEnded)
        (redirection,) = [data.decode() for data in heard if data.startswith(b"SIP/2.0 302")]
        assert f"Contact: <sip:+15550123@{HOST}:{caller.uri.port}>\r\n" in redirection


async def test_who_waits_in_vain_is_sent_on(tmp_path: Path):
    file = ladder(tmp_path, "queue: {max_wait_s: 0.6}", "transfer: {to: 'sip:desk@192.0.2.1'}")
    async with busy_line(file) as (line, _):
        phone = await line.telephone(limits=STAYS)
        phone.call(line.uri)
        assert (await phone.told(CallRinging)).status == 182
        assert (await phone.told(CallEnded)).status == 302
        assert (await counted(line, "queue"), await counted(line, "transfer")) == (1, 1)


async def test_a_transfer_before_the_queue_comes_first(tmp_path: Path):
    async with busy_line(ladder(tmp_path, "transfer: {to: 'sip:desk@192.0.2.1'}", "queue: {}")) as (line, _):
        assert (await refused(line)).status == 302
        assert await counted(line, "queue") == 0


async def test_who_waits_in_vain_gets_a_smaller_engine(tmp_path: Path):
    file = ladder(tmp_path, "queue: {max_wait_s: 0.6}", "engine: {name: small}")
    async with busy_line(file, line_engine="rule") as (line, _):
        small = WorkerAdvert(WorkerId("w2"), "small", 1, 400, 400)
        await line.gateway._placement.advertise(small, ttl_s=60)
        phone = await line.telephone()
        phone.call(line.uri)
        assert (await phone.told(CallRinging)).status == 182
        await phone.told(CallAnswered)
        assert await counted(line, "engine") == 1


async def test_what_only_an_answered_call_could_hear_is_passed_over_and_counted(tmp_path: Path):
    file = ladder(tmp_path, "greeting: {say: Busy.}", "voicemail: {}")
    async with busy_line(file) as (line, _):
        ended = await refused(line)
        assert ended.status == 486
        assert (await counted(line, "greeting"), await counted(line, "voicemail")) == (0, 0)
        assert (await counted(line, "greeting_skipped"), await counted(line, "voicemail_skipped")) == (1, 1)


async def test_an_invite_that_expires_leaves_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with busy_line(ladder(tmp_path, "queue: {max_wait_s: 60}")) as (line, _):
        phone = await line.telephone()
        monkeypatch.setattr(phone.ua, "place_call", partial(phone.ua.place_call, headers=[("Expires", "1")]))
        phone.call(line.uri)
        assert (await phone.told(CallRinging)).status == 182
        assert (await phone.told(CallEnded)).status == 480
        async with asyncio.timeout(5):
            while await line.gateway._line.length():  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.05)


async def test_who_waits_when_the_gateway_drains_is_refused_for_another_gateway_to_take(tmp_path: Path):
    file = ladder(tmp_path, "queue: {max_wait_s: 60}", "transfer: {to: 'sip:desk@192.0.2.1'}")
    async with busy_line(file) as (line, _):
        phone = await line.telephone(limits=STAYS)
        phone.call(line.uri)
        await phone.told(CallRinging)
        drain = asyncio.create_task(line.gateway.drain())
        assert (await phone.told(CallEnded)).status == 503
        assert (await refused(line)).status == 503
        drain.cancel()


async def test_while_the_bus_is_away_nobody_waits_and_callers_are_sent_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def away(*_: object) -> None:
        raise BusUnavailableError("away")

    monkeypatch.setattr("gateway.runner.hub.SETUP_WAIT_S", 0.0)
    file = ladder(tmp_path, "queue: {max_wait_s: 60}", "transfer: {to: 'sip:desk@192.0.2.1'}")
    async with busy_line(file) as (line, _):
        monkeypatch.setattr(line.gateway._placement, "lease", away)
        for asked in ("ask", "length"):
            monkeypatch.setattr(line.gateway._line, asked, away)
        assert (await refused(line)).status == 302
        assert await counted(line, "queue") == 0
