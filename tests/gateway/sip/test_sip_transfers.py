"""Callers who are handed on: by REFER, by Replaces, by a bridge, or not at all. On real sockets."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.rtp.call_progress import congestion, hold, ringback
from gateway.rtp.transcode import conversion
from gateway.sip.identity import user_of
from gateway.sip.params import Params
from gateway.sip.ua.effects import (
    CallConfirmed,
    CallEnded,
    EndCause,
    IncomingCall,
    TransferProgress,
    TransferRequested,
)
from tests.gateway.sip.far_end import SipLine, sip_line
from tests.gateway.sip.telephone import Telephone, answers, follows_transfers, refuses
from wire.audio.codecs import Codec
from wire.ids import CallId
from wire.messages import CallClosed

CALLER_SPEECH = bytes(range(0x20, 0x70)) * 100  # 1 s of something that is no silence
TARGET_SPEECH = bytes(range(0x80, 0xD0)) * 100


async def in_conversation(line: SipLine, **telephone: Any) -> tuple[Telephone, Any, CallId]:
    """A caller who talks with the agent: his telephone, his call there, its name here."""
    phone = await line.telephone(**telephone)
    call = phone.call(line.uri)
    opened = await line.worker.opened()
    return phone, call, opened.call


async def test_a_caller_is_transferred_by_asking_his_telephone():
    async with sip_line() as line:
        target = await line.telephone()
        answers(target)
        caller, call, id = await in_conversation(line)
        follows_transfers(caller)
        line.worker.use_tool(id, "transfer", to=str(target.uri))
        await target.told(CallConfirmed)
        assert str((await caller.told(TransferRequested)).refer_to.uri) == str(target.uri)
        assert (await caller.told(CallEnded)).call == call
        assert (await line.record(id))["outcome"] == "agent_transfer"
        assert await line.metric('twowire_gateway_transfers_total{way="refer"}') == 1
        assert len(target.of(IncomingCall)) == 1


async def bridged(line: SipLine, caller: Telephone, call: Any, target: Telephone) -> Any:
    """Wait until both hear each other; the target's call."""
    callee = (await target.told(CallConfirmed)).call
    caller.say(call, CALLER_SPEECH)
    await target.heard(callee, lambda heard: CALLER_SPEECH[:800] in heard)
    target.say(callee, TARGET_SPEECH)
    await caller.heard(call, lambda heard: TARGET_SPEECH[:800] in heard)
    return callee


async def test_a_caller_whose_telephone_knows_no_refer_is_joined_with_the_target_here():
    async with sip_line() as line:
        target = await line.telephone()
        caller, call, id = await in_conversation(line, refer=False)
        line.worker.use_tool(id, "transfer", to=str(target.uri))
        invite = await target.told(IncomingCall)
        await caller.heard(call, lambda heard: ringback(Codec.PCMU)[:1_600] in heard)
        target.answer(invite)
        callee = await bridged(line, caller, call, target)
        caller.press(call, "5")
        await target.until(lambda: target.ear(callee).keys == "5")
        assert await line.metric('twowire_gateway_transfers_total{way="bridge"}') == 1
        target.hang_up(callee)
        assert (await caller.told(CallEnded)).cause is EndCause.PEER_HUNG_UP


async def test_a_caller_who_hangs_up_ends_the_other_half_of_the_bridge():
    async with sip_line() as line:
        target = await line.telephone()
        answers(target)
        caller, call, id = await in_conversation(line, refer=False)
        line.worker.use_tool(id, "transfer", to=str(target.uri))
        await bridged(line, caller, call, target)
        caller.hang_up(call)
        assert (await target.told(CallEnded)).cause is EndCause.PEER_HUNG_UP


async def test_a_transfer_that_the_telephone_refuses_becomes_a_bridge():
    async with sip_line() as line:
        target = await line.telephone()
        answers(target)
        caller, call, id = await in_conversation(line)
        caller.react = lambda effect: caller.report(effect.call, 503) if isinstance(effect, TransferRequested) else None
        line.worker.use_tool(id, "transfer", to=str(target.uri))
        await bridged(line, caller, call, target)


async def test_a_target_that_told_the_caller_it_is_busy_is_not_called_again():
    async with sip_line() as line:
        target = await line.telephone()
        refuses(target, 486)
        caller, call, id = await in_conversation(line)
        follows_transfers(caller)
        line.worker.use_tool(id, "transfer", to=str(target.uri))
        await caller.heard(call, lambda heard: congestion(Codec.PCMU, 2.0)[:1_600] in heard)
        assert len(target.of(IncomingCall)) == 1


async def test_a_bridge_speaks_to_each_side_in_its_own_codec():
    async with sip_line() as line:
        target = await line.telephone(codecs=("PCMA",))
        answers(target)
        caller, call, id = await in_conversation(line, refer=False)
        line.worker.use_tool(id, "transfer", to=str(target.uri))
        callee = (await target.told(CallConfirmed)).call
        caller.say(call, CALLER_SPEECH)
        there = conversion(Codec.PCMU, Codec.PCMA)
        assert there is not None
        await target.heard(callee, lambda heard: there(CALLER_SPEECH[:800]) in heard)


async def test_a_target_that_is_busy_gets_the_caller_a_tone_and_a_goodbye():
    async with sip_line() as line:
        target = await line.telephone()
        refuses(target, 486)
        caller, call, id = await in_conversation(line, refer=False)
        line.worker.use_tool(id, "transfer", to=str(target.uri))
        await caller.heard(call, lambda heard: congestion(Codec.PCMU, 2.0)[:1_600] in heard)
        assert (await caller.told(CallEnded)).cause is EndCause.PEER_HUNG_UP
        assert await line.metric('twowire_gateway_transfers_total{way="failed"}') == 1


async def test_a_caller_who_hangs_up_while_it_rings_stops_the_ringing():
    async with sip_line() as line:
        target = await line.telephone()
        caller, call, id = await in_conversation(line, refer=False)
        line.worker.use_tool(id, "transfer", to=str(target.uri))
        await target.told(IncomingCall)
        caller.hang_up(call)
        assert (await target.told(CallEnded)).cause is EndCause.CANCELLED


async def test_a_target_that_cannot_be_called_gets_the_caller_the_tone():
    async with sip_line() as line:
        caller, call, id = await in_conversation(line)
        line.worker.use_tool(id, "transfer", to="mailto:somebody@example.com")
        await caller.heard(call, lambda heard: congestion(Codec.PCMU, 2.0)[:1_600] in heard)


async def test_an_attended_transfer_calls_the_target_first_and_then_puts_the_caller_in_our_place():
    async with sip_line() as line:
        target = await line.telephone()
        caller, call, id = await in_conversation(line)
        follows_transfers(caller)
        line.worker.use_tool(id, "transfer", to=str(target.uri), mode="attended")
        first = await target.told(IncomingCall)
        await caller.heard(call, lambda heard: hold(Codec.PCMU)[:1_000] in heard)
        assert not caller.of(TransferRequested)
        answers(target)
        target.answer(first)
        await target.until(lambda: len(target.of(CallConfirmed)) == 2)
        second = target.of(IncomingCall)[1]
        assert second.replaces == first.call
        assert (await caller.told(CallEnded)).call == call
        assert [ended.cause for ended in target.of(CallEnded)] == [EndCause.REPLACED]
        assert await line.metric('twowire_gateway_transfers_total{way="replaces"}') == 1


async def test_an_attended_transfer_of_a_telephone_without_refer_is_a_bridge():
    async with sip_line() as line:
        target = await line.telephone()
        answers(target)
        caller, call, id = await in_conversation(line, refer=False)
        line.worker.use_tool(id, "transfer", to=str(target.uri), mode="attended")
        await bridged(line, caller, call, target)


async def test_an_attended_transfer_that_the_telephone_cannot_carry_out_is_a_bridge():
    async with sip_line() as line:
        target = await line.telephone()
        answers(target)
        caller, call, id = await in_conversation(line)
        caller.react = lambda effect: caller.report(effect.call, 481) if isinstance(effect, TransferRequested) else None
        line.worker.use_tool(id, "transfer", to=str(target.uri), mode="attended")
        await bridged(line, caller, call, target)


async def test_a_caller_who_leaves_as_soon_as_he_is_referred_still_reaches_the_target():
    async with sip_line() as line:
        target = await line.telephone()
        answers(target)
        caller, call, id = await in_conversation(line)

        def leave_and_call(effect: Any) -> None:
            if isinstance(effect, TransferRequested):
                caller.hang_up(call)
                caller.call(effect.refer_to.uri)

        caller.react = leave_and_call
        line.worker.use_tool(id, "transfer", to=str(target.uri), mode="attended")
        await target.until(lambda: len(target.of(CallConfirmed)) == 2)
        assert [ended.cause for ended in target.of(CallEnded)] == [EndCause.REPLACED]


async def test_somebody_who_was_called_is_transferred_too():
    async with sip_line() as line:
        target, called = await line.telephone(), await line.telephone()
        answers(target)
        follows_transfers(called)
        _, body = await line.dial(to=str(called.uri))
        invite = await called.told(IncomingCall)
        called.answer(invite)
        await line.worker.opened()
        line.worker.use_tool(body["call"], "transfer", to=str(target.uri))
        await target.told(CallConfirmed)
        await line.state(body["call"], lambda record: record["outcome"] == "agent_transfer")


async def test_the_drain_waits_for_callers_who_are_joined_here():
    async with sip_line() as line:
        target = await line.telephone()
        answers(target)
        caller, call, id = await in_conversation(line, refer=False)
        line.worker.use_tool(id, "transfer", to=str(target.uri))
        await bridged(line, caller, call, target)
        drained = asyncio.create_task(line.gateway.drain())
        caller.say(call, TARGET_SPEECH)
        callee = target.of(CallConfirmed)[-1].call
        await target.heard(callee, lambda heard: TARGET_SPEECH[:800] in heard)
        assert not drained.done()
        caller.hang_up(call)
        async with asyncio.timeout(10):
            await drained


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_number_is_asked_for_where_the_call_came_from(transport):
    async with sip_line() as line:
        pbx = await line.telephone(refer=False)
        call = pbx.call(replace(line.uri, params=Params([("transport", transport)])))
        opened = await line.worker.opened()
        line.worker.use_tool(opened.call, "transfer", to="100")
        second = await pbx.told(IncomingCall)
        assert second.flow.transport.value == transport.upper()
        assert user_of(second.request.uri) == "100"
        pbx.answer(second)
        await pbx.told(CallConfirmed)
        pbx.say(call, CALLER_SPEECH)
        await pbx.heard(second.call, lambda heard: CALLER_SPEECH[:800] in heard)


async def test_who_called_over_a_connection_of_his_is_not_referred_to_its_end():
    async with sip_line() as line:
        pbx = await line.telephone()
        pbx.call(replace(line.uri, params=Params([("transport", "tcp")])))
        opened = await line.worker.opened()
        line.worker.use_tool(opened.call, "transfer", to="100")
        assert str((await pbx.told(TransferRequested)).refer_to.uri) == "sip:100@127.0.0.1"


async def test_a_peer_may_not_transfer_us():
    async with sip_line() as line:
        target = await line.telephone()
        caller, call, _ = await in_conversation(line)
        caller.refer(call, target.uri)
        assert (await caller.told(TransferProgress)).status == 603
        assert not line.worker.of(CallClosed)
        assert not target.of(IncomingCall)
