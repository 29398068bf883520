"""The console's API on a real hub: who gets in, what is seen, what can be done."""

import asyncio
import io
import json
import zipfile
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from gateway.events import OperatorMuted
from gateway.runner.archive import PastCall, PastCalls, pack
from gateway.web import console_socket
from tests.gateway.consoles import CHUNK, CONSOLE_TOKEN, Bench, console, hear, until
from tests.gateway.live import line
from wire.bus.archive import LocalArchive
from wire.ids import CallId


@pytest.fixture
async def bench():
    async with console() as it:
        yield it


@pytest.fixture
async def operator(bench: Bench):
    assert await bench.log_in() == 204
    return bench


API = [
    "/console/api/calls",
    "/console/api/calls/CA1",
    "/console/api/calls/CA1/test-case",
    "/console/api/calls/CA1/recording.wav",
]


@pytest.mark.parametrize("path", API)
async def test_nothing_is_told_before_the_login(bench: Bench, path: str):
    await bench.call()
    assert (await bench.get(path))[0] == 401


@pytest.mark.parametrize("path", ["live", "live?call=CA1", "listen?call=CA1"])
async def test_no_socket_opens_before_the_login(bench: Bench, path: str):
    await bench.call()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await bench.socket(path)
    assert refused.value.status == 401


async def test_nothing_is_done_before_the_login(bench: Bench):
    session = await bench.call()
    assert await bench.act("CA1", action="hangup") == 401
    assert session.record.state == "live"


async def test_the_cookie_of_a_login_stays_with_the_browser_and_the_console(bench: Bench):
    headers = {"Origin": "https://voice.example.com"}
    async with bench.http.post(
        bench.url + "/console/login", json={"token": CONSOLE_TOKEN}, headers=headers
    ) as response:
        assert response.status == 204
        cookie = response.cookies["twowire_console"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (
        True,
        "Strict",
        "/console",
        True,
    )


async def test_a_logout_ends_the_session_not_only_the_cookie(operator: Bench):
    (cookie,) = operator.http.cookie_jar
    cookies = {cookie.key: cookie.value}
    async with operator.http.post(operator.url + "/console/logout") as response:
        assert response.status == 204
    async with (
        aiohttp.ClientSession(cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True)) as thief,
        thief.get(operator.url + "/console/api/calls") as response,
    ):
        assert response.status == 401


async def test_the_sixth_wrong_token_of_a_minute_is_not_even_looked_at(bench: Bench):
    assert [await bench.log_in("wrong") for _ in range(6)] == [401] * 5 + [429]
    assert await bench.log_in(CONSOLE_TOKEN) == 429


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"token": 7}', b'{"token": "x", "more": 1}'])
async def test_a_broken_login_is_refused_with_a_word(bench: Bench, body: bytes):
    async with bench.http.post(bench.url + "/console/login", data=body) as response:
        assert response.status == 422
        assert "error" in await response.json()


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null", "http://127.0.0.1:1"])
async def test_only_our_own_page_may_act_and_watch(operator: Bench, origin: str | None):
    session = await operator.call()
    headers = {"Origin": origin} if origin else {}
    url = operator.url + "/console/api/calls/CA1/actions"
    async with operator.http.post(url, json={"action": "hangup"}, headers=headers) as response:
        assert response.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await operator.http.ws_connect(operator.url + "/console/api/live", headers=headers)
    assert refused.value.status == 403
    assert session.record.state == "live"


async def test_a_call_is_told_with_all_its_events_in_the_order_of_time(operator: Bench):
    await operator.call(chunks=3)
    status, body = await operator.get("/console/api/calls/CA1")
    assert status == 200
    assert (body["call"]["call"], body["call"]["caller"], body["detail"]) == ("CA1", "+15550100", None)
    assert [event["index"] for event in body["events"] if event["event"] == "decision"] == [0, 1, 2]
    at_s = [event["at_s"] for event in body["events"] if event["event"] != "levels"]
    assert at_s == sorted(at_s)


async def test_a_call_that_nobody_knows_is_not_found(operator: Bench):
    for path in API[1:]:
        assert (await operator.get(path.replace("CA1", "CA9")))[0] == 404
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await operator.socket("live?call=CA9")
    assert refused.value.status == 404
    assert await operator.act("CA9", action="hangup") == 404


async def test_the_operator_hangs_up(operator: Bench):
    session = await operator.call()
    assert await operator.act("CA1", action="hangup") == 202
    assert (session.record.state, session.record.outcome) == ("ended", "operator_hangup")
    assert operator.legs["CA1"].ended == [("hangup", {})]


async def test_the_operator_transfers(operator: Bench):
    await operator.call()
    assert await operator.act("CA1", action="transfer", to=" sip:desk@example.com ") == 202
    assert operator.legs["CA1"].ended == [("transfer", {"to": "sip:desk@example.com"})]


async def test_the_operator_mutes_and_the_list_says_so(operator: Bench):
    session = await operator.call()
    assert await operator.act("CA1", action="mute", on=True) == 202
    assert session.record.muted
    _, body = await operator.get("/console/api/calls")
    assert body["calls"][0]["muted"] is True


@pytest.mark.parametrize(
    "action",
    [
        {},
        {"action": "explode"},
        {"action": "say"},
        {"action": "say", "text": "   "},
        {"action": "say", "text": "x" * 1_001},
        {"action": "mute", "on": "yes"},
        {"action": "transfer", "to": ""},
        {"action": "hangup", "more": 1},
    ],
)
async def test_an_action_that_makes_no_sense_does_nothing(operator: Bench, action: dict[str, object]):
    session = await operator.call()
    assert await operator.act("CA1", **action) == 422
    assert session.record.state == "live"


async def test_a_watcher_gets_the_call_its_story_and_then_what_happens(operator: Bench):
    session = await operator.call(chunks=2)
    socket = await operator.socket("live?call=CA1")
    first = await socket.receive_json()
    assert (first["event"], first["call"]["call"]) == ("call", "CA1")
    assert [(await hear(socket, "decision"))["index"] for _ in range(2)] == [0, 1]
    session.receive_media(CHUNK)
    assert (await hear(socket, "decision"))["index"] == 2
    assert await operator.act("CA1", action="hangup") == 202
    ended = await hear(socket, "ended")
    assert ended["outcome"] == "operator_hangup"
    assert (await hear(socket, "call"))["call"]["state"] == "ended"
    assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    assert socket.close_code == 1000


async def test_a_watcher_of_a_call_that_is_over_gets_its_whole_story(operator: Bench):
    await operator.call(chunks=2)
    await operator.act("CA1", action="hangup")
    socket = await operator.socket("live?call=CA1")
    events = [json.loads(message.data)["event"] async for message in socket]
    assert events[0] == "call"
    assert events[-1] == "ended"
    assert events.count("decision") == 2


async def test_the_list_is_sent_at_once_and_again_when_it_changed(operator: Bench):
    socket = await operator.socket("live")
    assert (await hear(socket, "calls"))["calls"] == []
    await operator.call()
    (call,) = (await hear(socket, "calls"))["calls"]
    assert (call["call"], call["state"], call["direction"]) == ("CA1", "live", "inbound")
    await operator.act("CA1", action="hangup")
    assert (await hear(socket, "calls"))["calls"] == []


async def test_a_page_that_logs_out_sees_no_more(operator: Bench):
    session = await operator.call(chunks=1)
    socket = await operator.socket("live?call=CA1")
    await hear(socket, "decision")
    async with operator.http.post(operator.url + "/console/logout") as response:
        assert response.status == 204
    session.receive_media(CHUNK)
    messages = [json.loads(message.data) async for message in socket]
    assert [message for message in messages if message["event"] == "decision"] == []
    assert socket.close_code == 4401


async def test_a_page_that_goes_away_leaves_nothing_behind(operator: Bench):
    await operator.call()
    for path in ("live", "live?call=CA1", "listen?call=CA1"):
        socket = await operator.socket(path)
        await socket.receive()
        await socket.close()
    await until(lambda: operator.feed.watchers == 0)


async def test_who_listens_in_hears_both_voices(operator: Bench):
    session = await operator.call(chunks=1)
    socket = await operator.socket("listen?call=CA1")
    assert await socket.receive_json() == {"rate_hz": 8_000}
    session.receive_media(CHUNK)  # after this one the agent speaks
    heard: dict[int, int] = {}
    while set(heard) != {0, 1}:
        frame = await socket.receive_bytes()
        heard[frame[0]] = len(frame) - 1
    assert heard[0] == 6_400  # a chunk of 0.4 s in 16 bits
    assert heard[1] == 320  # a piece of 20 ms


async def test_a_call_is_taken_away_as_a_test_case(tmp_path: Path):
    recording = tmp_path / "CA1.wav"
    recording.write_bytes(b"RIFF of both")
    async with console(recordings={"CA1": recording}) as bench:
        await bench.log_in()
        await bench.call(chunks=3)
        async with bench.http.get(bench.url + "/console/api/calls/CA1/test-case") as response:
            assert response.status == 200
            assert response.headers["Content-Disposition"] == 'attachment; filename="CA1.zip"'
            body = await response.read()
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        assert archive.read("audio.wav") == b"RIFF of both"
        assert json.loads(archive.read("call.json"))["call"]["call"] == "CA1"
        decisions = [json.loads(line) for line in archive.read("decisions.jsonl").splitlines()]
        events = json.loads(archive.read("events.json"))
    assert [decision["index"] for decision in decisions] == [0, 1, 2]
    assert [event for event in events if event["event"] == "decision"] == decisions


async def test_a_player_may_ask_for_a_part_of_the_recording(tmp_path: Path):
    recording = tmp_path / "CA1.wav"
    recording.write_bytes(bytes(range(100)))
    async with console(recordings={"CA1": recording}) as bench:
        await bench.log_in()
        url = bench.url + "/console/api/calls/CA1/recording.wav"
        async with bench.http.get(url, headers={"Range": "bytes=10-19"}) as response:
            assert response.status == 206
            assert await response.read() == bytes(range(10, 20))
        assert (await bench.get("/console/api/calls/CA2/recording.wav"))[0] == 404


async def archive() -> PastCalls:
    """Three calls of long ago."""
    kept = LocalArchive()
    for number in (1, 2, 3):
        call, started_unix_s = CallId(f"OLD{number}"), 100.0 * number
        summary = {"call": call, "started_unix_s": started_unix_s, "state": "ended"}
        events = [{"event": "ended", "call": call, "at_s": 3.0}]
        await kept.put(pack(call, started_unix_s, PastCall(summary, {"turns": number}, events)))
    return PastCalls(kept)


async def test_past_calls_follow_the_live_ones_page_by_page():
    async with console(past=await archive()) as bench:
        await bench.log_in()
        await bench.call()
        _, first = await bench.get("/console/api/calls?limit=2")
        assert [call["call"] for call in first["calls"]] == ["CA1", "OLD3"]
        before = first["calls"][-1]["started_unix_s"]
        _, second = await bench.get(f"/console/api/calls?limit=2&before={before}")
        assert [call["call"] for call in second["calls"]] == ["OLD2", "OLD1"]


async def test_a_past_call_opens_as_a_live_one_does():
    async with console(past=await archive()) as bench:
        await bench.log_in()
        status, body = await bench.get("/console/api/calls/OLD1")
        assert status == 200
        assert body["detail"] == {"turns": 1}
        assert [event["event"] for event in body["events"]] == ["ended"]


@pytest.mark.parametrize("query", ["limit=many", "before=yesterday"])
async def test_a_list_asked_for_in_words_is_refused(operator: Bench, query: str):
    assert (await operator.get(f"/console/api/calls?{query}"))[0] == 400


async def test_a_page_that_never_reads_is_cut_off_and_its_call_goes_on(
    operator: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(console_socket, "SEND_S", 0.1)
    session = await operator.call()
    (cookie,) = operator.http.cookie_jar
    port = int(operator.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_024)
    writer.write(
        f"GET /console/api/live?call=CA1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: {operator.url}\r\n"
        f"Cookie: {cookie.key}={cookie.value}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    chunks = 0
    while operator.feed.watchers:
        session.receive_media(CHUNK)
        session.post(OperatorMuted(chunks % 2 == 0))
        chunks += 1
        await asyncio.sleep(0)
    await until(lambda: len(session.record.decisions) == chunks)
    assert session.record.state == "live"
    writer.transport.abort()


async def test_a_gateway_with_a_console_token_shows_its_telephone_calls():
    async with line(console_token=SecretStr(CONSOLE_TOKEN)) as it:
        url = it.gateway.base_url
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(headers={"Origin": url}, cookie_jar=jar) as browser:
            async with browser.post(url + "/console/login", json={"token": CONSOLE_TOKEN}) as response:
                assert response.status == 204
            phone = it.phone()
            await phone.dial()
            await phone.speak(2 * CHUNK)
            await phone.hear("media")
            async with browser.ws_connect(url + "/console/api/live?call=CA1") as socket:
                assert (await hear(socket, "call"))["call"]["caller"] == "+15550100"
                assert (await hear(socket, "turn"))["state"] == "open"
                async with browser.post(url + "/console/api/calls/CA1/actions", json={"action": "hangup"}) as response:
                    assert response.status == 202
                assert (await hear(socket, "ended"))["outcome"] == "operator_hangup"


async def test_a_gateway_without_a_console_token_has_no_console():
    async with line() as it, it.http.get(it.gateway.base_url + "/console/api/calls") as response:
        assert response.status == 404


async def test_one_page_too_many_is_told_to_come_back(operator: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(console_socket, "MAX_SOCKETS", 2)
    first, _second = await operator.socket("live"), await operator.socket("live")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await operator.socket("live")
    assert refused.value.status == 503
    await first.close()
    await until(lambda: operator.feed.watchers == 1)
    await (await operator.socket("live")).close()
