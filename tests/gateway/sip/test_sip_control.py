"""Calls that the gateway places, hands on, and the peers it keeps in touch with, on real sockets."""

from typing import Any

import numpy as np
import pytest

from gateway.sip.identity import user_of
from gateway.sip.ua.effects import (
    CallConfirmed,
    CallEnded,
    EndCause,
    IncomingCall,
)
from tests.gateway.sip.far_end import sip_config, sip_line
from tests.gateway.sip.registrar import registrar
from tests.gateway.sip.telephone import answers, refuses
from tests.speech import is_quiet
from wire.audio.codecs import Codec
from wire.audio.g711 import encode
from wire.messages import AudioChunk


@pytest.fixture(autouse=True)
def password(monkeypatch):
    monkeypatch.setenv("TWOWIRE_TEST_SIP_PASSWORD", "secret")


def ended(record: dict[str, Any]) -> bool:
    return bool(record["state"] == "ended")


async def test_a_call_that_is_answered_is_a_call_like_any_other():
    async with sip_line() as line:
        phone = await line.telephone()
        status, body = await line.dial(
            to=str(phone.uri), agent="sales", caller_id="+15005550100", variables={"order": "4711"}
        )
        assert status == 202, body
        invite = await phone.told(IncomingCall)
        assert user_of(invite.request.from_.uri) == "+15005550100"
        assert (await line.record(body["call"]))["state"] == "dialling"
        phone.answer(invite)
        opened = await line.worker.opened()
        assert (opened.call, opened.agent, opened.caller, opened.callee) == (
            body["call"],
            "sales",
            "+15005550100",
            "phone",
        )
        assert opened.variables == {"order": "4711", "direction": "outbound"}
        await phone.heard(invite.call, lambda heard: b"\x22" * 800 in heard)
        record = await line.record(body["call"])
        assert (record["state"], record["direction"]) == ("live", "outbound")
        phone.hang_up(invite.call)
        record = await line.state(body["call"], ended)
        assert record["outcome"] == "callee_hung_up"
        assert await line.metric('twowire_gateway_calls_total{door="sip",outcome="callee_hung_up"}') == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(486, "busy"), (600, "busy"), (480, "no_answer"), (404, "rejected_4xx"), (503, "rejected_5xx")],
)
async def test_a_call_that_is_not_answered_says_why(status, outcome):
    async with sip_line(slots=1) as line:
        phone = await line.telephone()
        refuses(phone, status)
        for _ in range(2):  # the slot is free again
            accepted, body = await line.dial(to=str(phone.uri))
            assert accepted == 202, body
            record = await line.state(body["call"], ended)
            assert record["outcome"] == outcome
        assert await line.metric(f'twowire_gateway_calls_total{{door="sip",outcome="{outcome}"}}') == 2
        assert line.worker.received == []


async def test_a_telephone_that_nobody_picks_up_rings_for_as_long_as_was_asked():
    async with sip_line() as line:
        phone = await line.telephone()
        phone.react = lambda effect: phone.ring(effect.call) if isinstance(effect, IncomingCall) else None
        _, body = await line.dial(to=str(phone.uri), ring_s=0.2)
        assert (await phone.told(CallEnded)).cause is EndCause.CANCELLED
        assert (await line.state(body["call"], ended))["outcome"] == "no_answer"


async def test_a_callee_that_wants_other_media_refuses():
    async with sip_line(sip_config({"name": "loopback", "peers": ["127.0.0.0/8"], "codecs": ["PCMA"]})) as line:
        phone = await line.telephone(codecs=("PCMU",))
        refuses(phone, 488)
        _, body = await line.dial(to=str(phone.uri))
        assert (await line.state(body["call"], ended))["outcome"] == "rejected_4xx"


async def test_a_number_is_called_over_the_proxy_of_the_trunk():
    async with sip_line() as helper:
        carrier = await helper.telephone()
        refuses(carrier, 486)
        trunk = {"name": "carrier", "proxy": str(carrier.uri).replace("phone@", ""), "caller_id": "+15005550001"}
        async with sip_line(sip_config(trunk)) as line:
            await line.dial(to="+1 (500) 555-0002".replace(" ", ""), trunk="carrier")
            request = (await carrier.told(IncomingCall)).request
            assert str(request.uri) == f"sip:+15005550002@{carrier.uri.host_port}"
            assert user_of(request.from_.uri) == "+15005550001"
            assert not request.routes
            await line.dial(to="sip:somebody@pbx.example.com")
            request = (await carrier.told(IncomingCall, 2)).request
            assert str(request.uri) == "sip:somebody@pbx.example.com"
            assert [str(route.uri) for route in request.routes] == [f"sip:{carrier.uri.host_port};lr"]


TWO_TRUNKS = ({"name": "one", "peers": ["127.0.0.0/8"]}, {"name": "two"})


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({}, 400, "to"),
        ({"to": "sip:a@127.0.0.1", "colour": "red"}, 400, "colour"),
        ({"to": "sip:a@127.0.0.1", "variables": {"a b": "c"}}, 400, "variables"),
        ({"to": "sip:a@127.0.0.1", "variables": ["a"]}, 400, "variables"),
        ({"to": "sip:a@127.0.0.1"}, 400, "name the trunk, one of one, two"),
        ({"to": "sip:a b@127.0.0.1", "trunk": "one"}, 400, "expected a sip:"),
        ({"to": "mailto:a@example.com", "trunk": "one"}, 400, "expected a number"),
        ({"to": "+15005550001", "trunk": "one"}, 400, "proxy"),
        ({"to": "sip:a@127.0.0.1", "trunk": "one", "caller_id": "a\r\nb"}, 400, "expected a number"),
        ({"to": "sip:a@127.0.0.1", "trunk": "three"}, 404, "one, two"),
    ],
)
async def test_an_order_that_cannot_be_carried_out_is_answered_with_the_reason(body, status, word):
    async with sip_line(sip_config(*TWO_TRUNKS)) as line:
        answered, answer = await line.dial(**body)
        assert answered == status
        assert word in answer["error"]
        assert "15005550001" not in answer["error"]
        async with line.http.get(line.gateway.base_url + "/api/calls") as response:
            assert response.status == 401


async def test_what_is_no_json_is_refused_and_so_is_a_wrong_token():
    async with sip_line() as line:
        url, headers = f"{line.gateway.base_url}/api/calls", {"Authorization": "Bearer api-token-of-the-tests"}
        async with line.http.post(url, data=b"to=me", headers=headers) as response:
            assert response.status == 400
            assert "JSON" in (await response.json())["error"]
        status, _ = await line.dial(token="wrong", to="sip:a@127.0.0.1")
        assert status == 401


async def test_without_a_slot_nobody_is_called():
    async with sip_line(slots=1) as line:
        phone = await line.telephone()
        first, _ = await line.dial(to=str(phone.uri))
        second, answer = await line.dial(to=str(phone.uri))
        assert (first, second) == (202, 503)
        assert "no worker" in answer["error"]
        await phone.told(IncomingCall)
        assert len(phone.of(IncomingCall)) == 1


async def test_a_gateway_that_stops_cancels_what_still_rings():
    async with sip_line() as line:
        phone = await line.telephone()
        await line.dial(to=str(phone.uri))
        invite = await phone.told(IncomingCall)
        await line.gateway.stop()
        assert (await phone.told(CallEnded)).call == invite.call
        assert not phone.of(CallConfirmed)


def noise(seconds: float) -> bytes:
    return encode(Codec.PCMU, np.random.default_rng(7).normal(0, 3_000, round(8_000 * seconds)).astype(np.int16))


@pytest.mark.parametrize(
    ("sound", "by"),
    [(noise(2.6), "machine"), (noise(0.8) + b"\xff" * 8_000, "human"), (b"", "unknown")],
)
async def test_the_record_says_who_picked_up(sound, by):
    async with sip_line() as line:
        phone = await line.telephone()
        answers(phone)
        _, body = await line.dial(to=str(phone.uri))
        call = (await phone.told(CallConfirmed)).call
        phone.say(call, sound)
        assert (await line.state(body["call"], lambda record: record["answered_by"] == by))["state"] == "live"


async def test_what_was_played_while_it_rang_is_not_heard_by_the_agent():
    async with sip_line() as line:
        phone = await line.telephone()
        await line.dial(to=str(phone.uri))
        invite = await phone.told(IncomingCall)
        phone.send_early_media(invite, packets=100)
        phone.answer(invite)
        await line.worker.until(lambda _: bool(line.worker.of(AudioChunk)))
        assert is_quiet(line.worker.of(AudioChunk)[0].payload)


async def test_a_trunk_registers_shows_its_password_and_takes_its_leave():
    async with registrar() as pbx:
        trunk = {
            "name": "office",
            "peers": ["127.0.0.0/8"],
            "outbound": {"user": "line7", "password_env": "TWOWIRE_TEST_SIP_PASSWORD"},
            "register": {"registrar": f"sip:{pbx.host_port}", "address": "sip:line7@pbx.example.com"},
        }
        async with sip_line(sip_config(trunk)) as line:
            await pbx.until(lambda: pbx.bindings)
            await line.until_metric('twowire_gateway_sip_registered{trunk="office"}', 1)
            assert pbx.bindings == [(f"sip:line7@{line.uri.host_port}", 300)]
            assert pbx.challenges == 1
        await pbx.until(lambda: len(pbx.bindings) == 2)
        assert pbx.bindings[1][1] == 0


async def test_a_registered_line_calls_out_as_the_address_that_is_registered():
    async with registrar() as pbx, sip_line() as helper:
        phone = await helper.telephone()
        register = {"registrar": f"sip:{pbx.host_port}", "address": "sip:line7@pbx.example.com"}
        async with sip_line(sip_config({"name": "office", "register": register})) as line:
            await line.dial(to=str(phone.uri))
            assert str((await phone.told(IncomingCall)).request.from_.uri) == "sip:line7@pbx.example.com"


async def test_a_wrong_password_leaves_the_trunk_unregistered(monkeypatch):
    monkeypatch.setenv("TWOWIRE_TEST_SIP_PASSWORD", "wrong")
    async with registrar() as pbx:
        trunk = {
            "name": "office",
            "outbound": {"user": "line7", "password_env": "TWOWIRE_TEST_SIP_PASSWORD"},
            "register": {"registrar": f"sip:{pbx.host_port}", "address": "sip:line7@pbx.example.com"},
        }
        async with sip_line(sip_config(trunk)) as line:
            await pbx.until(lambda: pbx.challenges == 2)
            assert await line.metric('twowire_gateway_sip_registered{trunk="office"}') == 0
        assert pbx.bindings == []


async def test_proxies_are_asked_whether_they_are_there():
    async with registrar() as pbx:
        trunks = ({"name": "there", "proxy": f"sip:{pbx.host_port}"}, {"name": "quiet"})
        async with sip_line(sip_config(*trunks, options_ping_s=0.05)) as line:
            await line.until_metric("twowire_gateway_sip_peer_up", 1)
            pbx.status = 503
            await line.until_metric("twowire_gateway_sip_peer_up", 0)
            pbx.status = 404  # it refuses, so it is there
            await line.until_metric("twowire_gateway_sip_peer_up", 1)
