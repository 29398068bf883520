"""``twowire dial`` against a real gateway, and against none."""

import asyncio
from typing import Any

from click.testing import CliRunner, Result

from gateway.sip.ua.effects import CallConfirmed, IncomingCall
from tests.gateway.live import API_TOKEN
from tests.gateway.sip.far_end import SipLine, sip_line
from tests.gateway.sip.telephone import answers, refuses
from twowire.__main__ import main


async def dial(line: SipLine | None, *arguments: str) -> Result:
    """The command, in a thread of its own: it has a loop of its own."""
    url = "http://127.0.0.1:9" if line is None else line.gateway.base_url
    words = ["dial", "--url", url, "--api-token", API_TOKEN, *arguments]
    result: Result = await asyncio.to_thread(CliRunner().invoke, main, words)
    return result


async def test_dial_waits_until_the_call_is_over():
    async with sip_line() as line:
        phone = await line.telephone()

        def pick_up_and_hang_up(effect: Any) -> None:
            if isinstance(effect, IncomingCall):
                phone.answer(effect)
            elif isinstance(effect, CallConfirmed):
                phone.hang_up(effect.call)

        phone.react = pick_up_and_hang_up
        result = await dial(line, str(phone.uri), "--agent", "sales", "--var", "order=4711")
        assert result.exit_code == 0, result.output
        assert "ended: callee_hung_up after" in result.output
        opened = await line.worker.opened()
        assert (opened.agent, opened.variables["order"]) == ("sales", "4711")


async def test_dial_says_that_nobody_answered():
    async with sip_line() as line:
        phone = await line.telephone()
        refuses(phone, 486)
        result = await dial(line, str(phone.uri))
        assert (result.exit_code, "ended: busy" in result.output) == (1, True)


async def test_dial_need_not_wait():
    async with sip_line() as line:
        phone = await line.telephone()
        answers(phone)
        result = await dial(line, str(phone.uri), "--no-wait")
        assert (result.exit_code, "dialling" in result.output) == (0, True)
        await phone.told(CallConfirmed)


async def test_dial_says_why_the_gateway_refused():
    async with sip_line() as line:
        result = await dial(line, "+15005550001")
        assert result.exit_code == 1
        assert "needs a trunk with a proxy" in result.output
        assert (await dial(line, "+15005550001", "--trunk", "none")).exit_code == 1


async def test_dial_without_a_gateway_or_with_a_wrong_word_has_its_own_exit_code():
    assert (await dial(None, "sip:bob@127.0.0.1")).exit_code == 3
    assert (await dial(None, "sip:bob@127.0.0.1", "--var", "order")).exit_code == 2
