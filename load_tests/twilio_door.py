"""Calls through the Twilio door: signed webhook, TwiML, signed WebSocket upgrade, ``start``."""

import asyncio
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from functools import partial

import aiohttp
from picows import WSError, ws_connect
from twilio.request_validator import RequestValidator

from load_tests.generator import DIAL_TIMEOUT_S, WARM_UP_S, DialError, Plan
from load_tests.schedule import FRAME_MS, Questions
from load_tests.tally import Tally
from load_tests.twilio_caller import TwilioCaller, media_heads

SIGNATURE = "X-Twilio-Signature"


class TwilioDoor:
    """Dials as Twilio does. A ``load_tests.generator.Door``."""

    extra_s = 0.0

    def __init__(self, plan: Plan, auth_token: str, tally: Tally) -> None:
        self._plan = plan
        self._tally = tally
        self._validator = RequestValidator(auth_token)
        self._questions = Questions(plan.questions_every_chunks)
        self._heads = media_heads(round(plan.longest_s * 1_000 / FRAME_MS))
        self._run_id = secrets.token_hex(4)
        self._http: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DIAL_TIMEOUT_S))

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def dial(self, number: int) -> TwilioCaller:
        caller = TwilioCaller(number, self._run_id, self._questions, self._plan.answer_ms, self._tally, self._heads)
        try:
            await self._connect(caller)
        except (aiohttp.ClientError, WSError) as error:
            raise DialError(str(error) or type(error).__name__) from error
        return caller

    async def warm_up(self, callers: Sequence[TwilioCaller]) -> None:
        await asyncio.sleep(WARM_UP_S)

    async def hang_up(self, callers: Sequence[TwilioCaller]) -> None:
        for caller in callers:
            caller.hang_up()

    async def _connect(self, caller: TwilioCaller) -> None:
        assert self._http is not None, "dialing comes after open()"
        url = self._plan.gateway_url + "/twilio/voice"
        params = {"CallSid": caller.call_sid, "AccountSid": "AC" + "0" * 32, "From": "+15550100", "To": "+15550199"}
        headers = {SIGNATURE: self._validator.compute_signature(url, params)}
        async with self._http.post(url, data=params, headers=headers) as response:
            twiml = await response.text()
            if response.status != 200:
                raise DialError(f"webhook answered {response.status}")
        stream_url, token = parse_twiml(twiml)
        await ws_connect(
            partial(_itself, caller),
            stream_url,
            extra_headers={SIGNATURE: self._validator.compute_signature(stream_url, {})},
            websocket_handshake_timeout=DIAL_TIMEOUT_S,
        )
        caller.begin(token)


def _itself(caller: TwilioCaller) -> TwilioCaller:
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
