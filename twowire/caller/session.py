"""Place one call on a gateway: webhook, media stream, what comes after, the gateway's record of it."""

import asyncio
import secrets
from dataclasses import dataclass, field

import aiohttp

from twowire.caller.addresses import Addresses
from twowire.caller.gateway_record import fetch_record
from twowire.caller.messages import StreamIds
from twowire.caller.result import CallRefusedError, CallResult, CannotConnectError, Tape
from twowire.caller.script import Plan
from twowire.caller.stream import TwilioCaller
from twowire.caller.twilio_conversation import TwilioConversation
from twowire.caller.twiml import MAX_TWIML_BYTES, Response, TwimlError, parse_twiml

VOICE_PATH = "/twilio/voice"
HTTP_TIMEOUT_S = 15.0  # Twilio's own limit for webhooks
MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Dialled:
    """The call that is placed, as Twilio's parameters name it."""

    caller: str
    callee: str
    account_sid: str = "AC" + "0" * 32
    call_sid: str = field(default_factory=lambda: "CA" + secrets.token_hex(16))


class CallSession:
    """One call. Raises CallRefusedError or CannotConnectError; the rest is in the result."""

    def __init__(self, addresses: Addresses, dialled: Dialled, plan: Plan, api_token: str) -> None:
        self._addresses = addresses
        self._dialled = dialled
        self._plan = plan
        self._api_token = api_token

    async def run(self, recording: Tape | None) -> CallResult:
        """Dial, talk, hang up, ask what comes after."""
        timeout = aiohttp.ClientTimeout(total=HTTP_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            dialled_at = asyncio.get_running_loop().time()
            voice_url = self._addresses.public(VOICE_PATH)
            answer = await self._dial(http, voice_url)
            assert answer.stream is not None, "a call without a stream was refused"
            socket = await self._open_stream(http, answer.stream.url)
            now = asyncio.get_running_loop().time()
            ids = StreamIds(self._dialled.account_sid, self._dialled.call_sid, "MZ" + secrets.token_hex(16))
            conversation = self.converse(ids, answer.stream.parameters, now)
            try:
                await talk(conversation, socket, recording)
            finally:
                await socket.close()
            ended_by = conversation.left or "agent"
            result = CallResult(ids.call_sid, "twilio", conversation, now - dialled_at, ended_by, socket.close_code)
            result.violations = conversation.stream.violations
            await self._follow(http, answer, result)
            url = self._addresses.reach(self._addresses.public(f"/api/calls/{ids.call_sid}"))
            await fetch_record(http, url, self._api_token, result)
            return result

    def converse(self, ids: StreamIds, parameters: dict[str, str], now: float) -> TwilioConversation:
        """What the caller does on the stream."""
        return TwilioConversation(TwilioCaller(ids, parameters, now), self._plan)

    async def _dial(self, http: aiohttp.ClientSession, url: str) -> Response:
        reached = self._addresses.reach(url)
        try:
            status, body = await self._post(http, url, "ringing")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CannotConnectError(
                f"cannot reach a gateway at {reached} ({str(error) or type(error).__name__}); "
                "start one with `twowire demo`, or give its address with --url"
            ) from None
        if status == 403:
            raise CallRefusedError(
                f"{reached} refused the signature (HTTP 403): --auth-token or TWOWIRE_TWILIO_AUTH_TOKEN must be the "
                f"gateway's, and {url} the address it signs for (else give that one with --public-url)"
            )
        if status != 200:
            raise CallRefusedError(f"{reached} answered HTTP {status}, expected TwiML; is this a twowire gateway?")
        try:
            answer = parse_twiml(body, url)
        except TwimlError as error:
            raise CallRefusedError(f"{reached} answered no TwiML: {error}") from None
        if answer.stream is None:
            verbs = ", ".join(map(str, answer.verbs)) or "an empty response"
            raise CallRefusedError(f"the call was not connected: {verbs} (is a worker up, with a free slot?)")
        return answer

    async def _open_stream(self, http: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
        reached = self._addresses.reach(url)
        try:
            return await http.ws_connect(reached, headers=self._addresses.signed(url, {}), max_msg_size=1 << 20)
        except aiohttp.WSServerHandshakeError as error:
            raise CallRefusedError(f"the media stream at {reached} was refused with HTTP {error.status}") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CannotConnectError(
                f"the call was answered, but nothing serves its media stream at {reached} "
                f"({str(error) or type(error).__name__}); --public-url maps the gateway's own address to --url"
            ) from None

    async def _post(self, http: aiohttp.ClientSession, url: str, call_status: str) -> tuple[int, bytes]:
        """A webhook request as Twilio makes it: status and body."""
        params = {
            "CallSid": self._dialled.call_sid,
            "AccountSid": self._dialled.account_sid,
            "From": self._dialled.caller,
            "To": self._dialled.callee,
            "Direction": "inbound",
            "CallStatus": call_status,
            "ApiVersion": "2010-04-01",
        }
        headers = self._addresses.signed(url, params)
        async with http.post(self._addresses.reach(url), data=params, headers=headers) as response:
            return response.status, await response.content.read(MAX_TWIML_BYTES + 1)

    async def _follow(self, http: aiohttp.ClientSession, answer: Response, result: CallResult) -> None:
        """Find out what Twilio does when the stream has ended: the action's TwiML, or the verbs behind it."""
        assert answer.stream is not None, "the call had a stream"
        verbs, url = answer.verbs, answer.stream.action
        result.after = tuple(map(str, verbs))
        status = "in-progress" if result.ended_by == "agent" else "completed"
        for _ in range(MAX_REDIRECTS):
            if url is None:
                return
            try:
                code, body = await self._post(http, url, status)
                if code != 200:
                    raise TwimlError(f"HTTP {code}")
                verbs = parse_twiml(body, url).verbs
            except (TwimlError, aiohttp.ClientError, TimeoutError, OSError) as error:
                result.after, result.after_trouble = (), f"{url}: {str(error) or type(error).__name__}"
                return
            result.after = tuple(map(str, verbs))
            first = verbs[0] if verbs else None
            url = first.text if first is not None and first.name == "Redirect" else None
        if url is not None:
            result.after_trouble = f"more than {MAX_REDIRECTS} redirects"


async def talk(
    conversation: TwilioConversation, socket: aiohttp.ClientWebSocketResponse, recording: Tape | None
) -> None:
    """Run a conversation on an open socket until one side ends it. Takes no decision of its own."""
    clock = asyncio.get_running_loop().time
    while True:
        while (text := conversation.poll()) is not None:
            try:
                await socket.send_str(text)
            except (ConnectionError, aiohttp.ClientError):
                conversation.agent_left()
        while conversation.heard:
            tick = conversation.heard.popleft()
            if recording is not None:
                recording.write(tick)
        if conversation.ended:
            return
        message = None
        try:
            async with asyncio.timeout_at(conversation.next_deadline()):
                message = await socket.receive()
        except TimeoutError:
            pass
        now = clock()
        conversation.advance(now)
        if message is None or conversation.ended:
            continue
        if message.type is aiohttp.WSMsgType.TEXT:
            conversation.receive(message.data, now)
        elif message.type is aiohttp.WSMsgType.BINARY:
            conversation.stream.note_violation("31950 binary message")
        else:
            conversation.agent_left()
