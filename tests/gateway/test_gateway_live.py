"""The Twilio door on real sockets: a call, and everything that must not disturb one."""

import asyncio
import xml.etree.ElementTree as ET

import aiohttp
import pytest
from twilio.request_validator import RequestValidator

from tests.gateway.live import AUTH_TOKEN, Line, Phone, cancelled, line
from tests.speech import jfk_ulaw
from wire.messages import AudioChunk, CallClosed, CallOpened, Dtmf, TurnCancelled

SILENCE = b"\xff" * 3_200


@pytest.fixture
async def phones():
    async with line() as it:
        yield it


async def answered(line: Line, call_sid: str = "CA1") -> Phone:
    """A call in which the agent has begun to speak."""
    phone = line.phone(call_sid)
    await phone.dial()
    await phone.speak(2 * SILENCE)
    await phone.hear("media")
    return phone


async def test_a_call_goes_from_the_webhook_to_the_worker_and_back(phones: Line):
    phone = await answered(phones)
    (opened,) = phones.worker.of(CallOpened)
    assert (opened.call, opened.caller, opened.callee) == ("CA1", "+15550100", "+15550199")
    await phone.send("dtmf", dtmf={"track": "inbound_track", "digit": "7"})
    await phones.worker.until(lambda messages: any(isinstance(m, Dtmf) for m in messages))
    await phone.send("stop", stop={"callSid": "CA1"})
    await phones.worker.until(lambda messages: any(isinstance(m, CallClosed) for m in messages))
    record = await phone.record()
    assert (record["state"], record["outcome"]) == ("ended", "caller_hung_up")
    assert [d["index"] for d in record["decisions"]] == [0, 1]


async def test_barge_in_sends_clear_and_nothing_of_the_old_turn_after_it(phones: Line):
    phone = await answered(phones)
    await phone.speak(jfk_ulaw()[43_200:61_600])
    await phone.hear("clear")  # the voice is lowered
    await phone.hear("media")
    await phone.hear("clear")  # and stopped
    await phones.worker.until(cancelled)
    await phone.speak(2 * SILENCE)
    await phone.send("mark", mark={"name": "1:0:3200"})
    await phone.send("stop", stop={"callSid": "CA1"})
    after = [message async for message in phone.socket if message.type is aiohttp.WSMsgType.TEXT]
    assert after == []
    (stopped,) = phones.worker.of(TurnCancelled)
    record = await phone.record()
    assert record["turns"][0]["end"] == "barged_in"
    assert record["turns"][0]["heard_samples"] == stopped.heard_samples
    assert record["transcript"][0]["heard"] == "word0"


async def test_a_wrong_signature_gets_403_and_no_work_is_done(phones: Line):
    phone = phones.phone()
    assert (await phone.post("/twilio/voice", signature="A" * 28))[0] == 403
    assert (await phone.post("/twilio/after", signature="A" * 28))[0] == 403
    phone.stream_url = phones.gateway.base_url.replace("http", "ws") + "/twilio/media"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await phone.open_stream(signature="A" * 28)
    assert refused.value.status == 403
    assert phones.worker.received == []


async def test_a_token_opens_one_stream_only(phones: Line):
    phone = await answered(phones)
    thief = phones.phone()
    thief.stream_url, thief.token = phone.stream_url, phone.token
    await thief.open_stream()
    await thief.say_start()
    assert await thief.closed() == 1008
    await phone.speak(SILENCE)
    await phones.worker.until(lambda messages: len(phones.worker.of(AudioChunk)) == 3)


async def test_a_stream_without_its_token_is_refused(phones: Line):
    phone = phones.phone()
    status, _ = await phone.post("/twilio/voice")
    assert status == 200
    phone.stream_url = phones.gateway.base_url.replace("http", "ws") + "/twilio/media"
    await phone.open_stream()
    await phone.say_start(token="1.2.3")
    assert await phone.closed() == 1008
    assert phones.worker.received == []


async def test_garbage_on_the_socket_does_not_disturb_its_call_or_another(phones: Line):
    phone, other = await answered(phones, "CA1"), await answered(phones, "CA2")
    for garbage in ("", "{}", "[" * 10_000, '{"event":"media"}', '{"event":"new","x":1}', "\x00"):
        await phone.socket.send_str(garbage)
    await phone.socket.send_bytes(b"\x00" * 100)
    for caller in (phone, other):
        await caller.speak(SILENCE)
    await phones.worker.until(lambda messages: [m.index for m in phones.worker.of(AudioChunk)].count(2) == 2)
    await phone.send("stop", stop={})
    await phone.closed()
    assert await phones.metric("twowire_gateway_bad_input_total") == 7
    assert await phones.metric("twowire_gateway_calls_active") == 1


async def test_a_frame_over_64_kib_ends_its_call_and_no_other(phones: Line):
    phone, other = await answered(phones, "CA1"), await answered(phones, "CA2")
    await phone.socket.send_str("x" * 70_000)
    await phone.closed()
    await other.speak(SILENCE)
    await phones.worker.until(
        lambda messages: any(m.index == 2 and m.call == "CA2" for m in phones.worker.of(AudioChunk))
    )
    await phones.worker.until(lambda messages: any(isinstance(m, CallClosed) and m.call == "CA1" for m in messages))


async def test_a_fragmented_message_is_put_together(phones: Line):
    phone = await answered(phones)
    text = b'{"event":"dtmf","streamSid":"MZCA1","dtmf":{"digit":"4"}}'
    connection = phone.socket.get_extra_info("socket")
    mask = b"\0\0\0\0"  # RFC 6455, section 5.3: a key of zeros masks nothing
    for first, last, part in ((0x01, 0, text[:20]), (0x00, 0, text[20:30]), (0x00, 0x80, text[30:])):
        connection._sock.send(bytes([first | last, 0x80 | len(part)]) + mask + part)
    await phones.worker.until(lambda messages: [m.digit for m in phones.worker.of(Dtmf)] == ["4"])


async def test_a_client_that_stops_sending_is_let_go_and_its_slot_is_free():
    async with line(slots=1, media_timeout_s=0.2) as it:
        phone = await answered(it)
        assert await phone.closed() == 1006  # cut: nobody is there
        await it.worker.until(lambda messages: [m.reason for m in it.worker.of(CallClosed)] == ["media_timeout"])
        await answered(it, "CA2")


async def test_a_full_house_is_busy_before_it_answers():
    async with line(slots=1) as it:
        phone = await answered(it, "CA1")
        status, twiml = await it.phone("CA2").post("/twilio/voice")
        assert (status, phone.socket.closed) == (200, False)
        assert ET.fromstring(twiml).find("Reject") is not None
        assert await it.metric('twowire_gateway_calls_refused_total{door="twilio",reason="no_slot"}') == 1


async def test_a_retried_webhook_holds_one_slot():
    async with line(slots=1) as it:
        phone = it.phone()
        for _ in range(3):
            status, twiml = await phone.post("/twilio/voice")
            assert ET.fromstring(twiml).find("Connect") is not None, status


async def test_a_draining_gateway_lets_calls_end_and_takes_no_new_one(phones: Line):
    phone = await answered(phones)
    drain = asyncio.create_task(phones.gateway.drain())
    async with asyncio.timeout(5):
        while (await phones.http.get(phones.gateway.base_url + "/readyz")).status != 503:
            pass
    _, twiml = await phones.phone("CA2").post("/twilio/voice")
    assert ET.fromstring(twiml).find("Reject") is not None
    await phone.speak(SILENCE)
    await phones.worker.until(lambda messages: len(phones.worker.of(AudioChunk)) == 3)
    assert not drain.done()
    await phone.send("stop", stop={})
    await asyncio.wait_for(drain, 5)


async def test_a_call_answered_just_before_the_drain_still_gets_its_stream(phones: Line):
    phone = phones.phone()
    _, twiml = await phone.post("/twilio/voice")
    stream = ET.fromstring(twiml).find("./Connect/Stream")
    assert stream is not None
    drain = asyncio.create_task(phones.gateway.drain())
    phone.stream_url = stream.get("url") or ""
    await phone.open_stream()
    await phone.say_start(token=stream.find("Parameter").get("value"))  # type: ignore[union-attr]
    await phone.speak(2 * SILENCE)
    await phone.hear("media")
    await phone.send("stop", stop={})
    await asyncio.wait_for(drain, 5)


async def test_two_streams_of_one_call_do_not_both_begin(phones: Line):
    first, second = phones.phone(), phones.phone()
    for phone in (first, second):
        _, twiml = await phone.post("/twilio/voice")  # a retried webhook: two good tokens
        stream = ET.fromstring(twiml).find("./Connect/Stream")
        assert stream is not None
        phone.stream_url = stream.get("url") or ""
        phone.token = stream.find("Parameter").get("value") or ""  # type: ignore[union-attr]
        await phone.open_stream()
    await asyncio.gather(first.say_start(), second.say_start())
    closing = {asyncio.create_task(phone.closed()): phone for phone in (first, second)}
    done, pending = await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert [task.result() for task in done] == [1008]
    (living,) = pending
    living.cancel()
    await closing[living].speak(SILENCE)
    await phones.worker.until(lambda messages: len(phones.worker.of(AudioChunk)) == 1)
    assert len(phones.worker.of(CallOpened)) == 1


async def test_what_comes_after_the_stream_is_asked_by_webhook(phones: Line):
    phone = await answered(phones)
    await phone.send("stop", stop={})
    await phone.closed()
    status, twiml = await phone.post("/twilio/after")
    assert (status, [e.tag for e in ET.fromstring(twiml)]) == (200, ["Hangup"])


async def test_a_message_is_taken_once_and_not_again(phones: Line):
    phone = await answered(phones)
    await phone.send("stop", stop={})
    await phone.closed()
    url, params = phone.base_url + "/twilio/after", {**phone.params(), "RecordingUrl": "https://example.com/r"}
    signature = RequestValidator(AUTH_TOKEN).compute_signature(url, params)
    async with phones.http.post(url, data=params, headers={"X-Twilio-Signature": signature}) as response:
        assert [e.tag for e in ET.fromstring(await response.text())] == ["Hangup"]


async def test_a_form_in_no_known_charset_is_a_bad_request(phones: Line):
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=foo"}
    async with phones.http.post(phones.gateway.base_url + "/twilio/voice", data=b"a=b", headers=headers) as response:
        assert response.status == 400


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics"])
async def test_operators_are_answered(phones: Line, path: str):
    async with phones.http.get(phones.gateway.base_url + path) as response:
        assert response.status == 200


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic eA==", "Bearer é"])
async def test_the_record_of_a_call_needs_the_token(phones: Line, authorization: str | None):
    headers = {"Authorization": authorization} if authorization else {}
    async with phones.http.get(phones.gateway.base_url + "/api/calls", headers=headers) as response:
        assert response.status == 401


async def test_half_a_request_holds_nothing(phones: Line):
    port = int(phones.gateway.base_url.rsplit(":", 1)[1])
    for start in (b"", b"G", b"GET /twilio/medi", b"GET /twilio/media HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00"):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(start)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    await answered(phones)
