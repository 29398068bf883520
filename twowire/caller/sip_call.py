"""Place one SIP call on our own stack and talk: the softphone behind ``twowire call sip:…``."""

import asyncio
import random
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

import aiohttp

from gateway.config.sip import Listener, client_context
from gateway.rtp.dtls_identity import make_identity
from gateway.sip.flow import Flow, Target, Transport
from gateway.sip.name_addr import NameAddr
from gateway.sip.params import Params
from gateway.sip.trunk import Credentials, MediaSecurity, Trunk
from gateway.sip.ua.agent import UserAgent
from gateway.sip.ua.config import UserAgentConfig
from gateway.sip.ua.effects import CallAnswered, CallEnded, Effect, EndCause, OfferReceived
from gateway.sip.ua.gate import Refused
from gateway.sip.uri import SipUri
from gateway.transports.rtp_ports import RtpPorts
from gateway.transports.sip_agent import SipAgent
from gateway.transports.sip_media import MediaRefusedError, SipMedia
from gateway.transports.sip_network import SipNetwork
from gateway.transports.sip_resolver import SipResolver
from twowire.caller.conversation import Conversation
from twowire.caller.gateway_record import fetch_record
from twowire.caller.result import CallRefusedError, CallResult, CannotConnectError, Tape
from twowire.caller.rtp_line import RtpLine
from twowire.caller.script import Plan

_MEDIA_PORTS = (30_000, 32_999)
_ANSWER_S = 30.0
_GOODBYE_S = 1.0
_WHY = {
    EndCause.UNREACHABLE: "nothing there speaks SIP",
    EndCause.TIMED_OUT: "nobody answered the INVITE",
    EndCause.NO_ANSWER: "it rang, and nobody answered",
}


@dataclass(frozen=True, slots=True)
class SipDialled:
    """Whom to call, as whom, and with which media."""

    target: SipUri
    caller: str = "caller"
    credentials: Credentials | None = None
    media_security: MediaSecurity = MediaSecurity.NONE


class _NobodyIn:
    """The gate of a phone that only calls out."""

    def check(self, *_: object) -> Refused:
        return Refused(603)


class SipCaller:
    """One call. Raises CallRefusedError or CannotConnectError; the rest is in the result."""

    def __init__(self, dialled: SipDialled, plan: Plan, gateway_url: str, api_token: str) -> None:
        self._dialled = dialled
        self._plan = plan
        self._gateway_url = gateway_url
        self._api_token = api_token
        self._token = secrets.token_hex(12)
        self._events: asyncio.Queue[Effect] = asyncio.Queue()

    async def run(self, recording: Tape | None) -> CallResult:
        """Dial, talk, hang up."""
        target = await self._target()
        host = _our_address(target)
        network = SipNetwork(
            [Listener(Transport.UDP, (host, 0)), Listener(Transport.TCP, (host, 0))],
            None,
            lambda: client_context(None),
            lambda data, flow: agent.receive(data, flow),
            lambda flow: agent.broken(flow),
            lambda _reason: None,
        )
        agent = SipAgent(self._user_agent(network), SipResolver(), self._events.put_nowait, lambda _reason: None)
        agent.attach(network)
        await network.start()
        pair = RtpPorts(host, *_MEDIA_PORTS).take()
        try:
            trunk = Trunk("phone", codecs=("PCMU",), media_security=self._dialled.media_security)
            media = SipMedia(trunk, pair, host, make_identity(datetime.now(UTC)))
            return await self._talk(agent, media, recording)
        finally:
            pair.close()
            agent.close()
            network.close()

    async def _target(self) -> Target:
        """Where to dial; our own address on the way there follows from it."""
        targets = await SipResolver().resolve(self._dialled.target)
        if not targets:
            raise CannotConnectError(f"{self._dialled.target.host}: no such host, or it has no SIP service")
        return targets[0]

    def _user_agent(self, network: SipNetwork) -> UserAgent:
        def contact(flow: Flow) -> SipUri:
            host, port = network.local_for(flow.transport, flow.remote)
            stream = flow.transport is not Transport.UDP
            params = Params([("transport", flow.transport.value.lower())] if stream else ())
            return SipUri(host, "caller", port, params)

        def flow_to(target: Target) -> Flow:
            return Flow(target.transport, network.local_for(target.transport, target.address), target.address)

        config = UserAgentConfig(contact, flow_to, user_agent="twowire call")
        return UserAgent(config, _NobodyIn(), lambda: secrets.token_hex(8), random.random)

    def converse(self, line: RtpLine) -> Conversation:
        """What the caller does on the line."""
        return Conversation(line, self._plan)

    async def _talk(self, agent: SipAgent, media: SipMedia, recording: Tape | None) -> CallResult:
        ua, dialled = agent.ua, self._dialled
        dialled_at = monotonic()
        from_ = NameAddr(SipUri(_our_host(media), dialled.caller))
        handle = ua.place_call(
            dialled.target,
            from_,
            media.offer(),
            dialled_at,
            credentials=dialled.credentials,
            headers=(("X-Twowire-Caller", self._token),),
        )
        agent.drain()
        await self._until_answered(media)
        assert media.stream is not None, "an answered call has media"
        now = monotonic()
        line = RtpLine(media.stream, now, media.handshake)
        conversation = self.converse(line)
        await self._converse(conversation, line, media, agent, recording)
        ua.hang_up(handle, monotonic())
        agent.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await agent.idle()
        result = CallResult(
            str(dialled.target), "sip", conversation, now - dialled_at, conversation.left or "agent", media=_media(line)
        )
        await self._fetch_record(result)
        return result

    async def _until_answered(self, media: SipMedia) -> None:
        """Wait for the answer. Raises CallRefusedError and CannotConnectError."""
        target = self._dialled.target
        try:
            async with asyncio.timeout(_ANSWER_S):
                while True:
                    match await self._events.get():
                        case CallAnswered(sdp=bytes() as sdp):
                            media.accept(sdp)
                            return
                        case CallEnded(cause=cause, status=status, reason=reason):
                            if cause in _WHY:
                                raise CannotConnectError(
                                    f"{target}: {_WHY[cause]}; start a gateway with `twowire demo`"
                                )
                            raise CallRefusedError(f"{target} refused the call: {status} {reason}".rstrip())
        except TimeoutError:
            raise CannotConnectError(f"{target}: no answer within {_ANSWER_S:g} s") from None
        except MediaRefusedError as error:
            raise CallRefusedError(f"{target} answered with media that does not do: {error.reason}") from None

    async def _converse(
        self,
        conversation: Conversation,
        line: RtpLine,
        media: SipMedia,
        agent: SipAgent,
        recording: Tape | None,
    ) -> None:
        """Run the conversation on the media socket until one side ends it. Takes no decision of its own."""
        sock, loop = media.pair.rtp, asyncio.get_running_loop()

        def read() -> None:
            try:
                datagram, source = sock.recvfrom(2_048)
            except OSError:
                return
            line.receive(datagram, source, monotonic())

        loop.add_reader(sock.fileno(), read)
        try:
            while not conversation.ended:
                await asyncio.sleep(max(0.0, conversation.next_deadline() - monotonic()))
                conversation.advance(monotonic())
                while (datagram := line.poll()) is not None:
                    if line.stream.remote is not None:
                        sock.sendto(datagram, line.stream.remote)
                while conversation.heard:
                    tick = conversation.heard.popleft()
                    if recording is not None:
                        recording.write(tick)
                self._obey(conversation, line, media, agent)
        finally:
            loop.remove_reader(sock.fileno())

    def _obey(self, conversation: Conversation, line: RtpLine, media: SipMedia, agent: SipAgent) -> None:
        """What the other side did in signalling since the last tick."""
        if line.insecure:
            raise CallRefusedError(f"{self._dialled.target}: no keys for the media ({line.insecure})")
        while not self._events.empty():
            match self._events.get_nowait():
                case CallEnded():
                    line.hang_up()
                    conversation.agent_left()
                case OfferReceived(call, sdp):
                    try:
                        answer = media.offer() if sdp is None else media.answer(sdp)
                    except MediaRefusedError as error:
                        agent.ua.reject_offer(call, error.status, monotonic())
                    else:
                        agent.ua.answer_offer(call, answer, monotonic())
                    agent.drain()

    async def _fetch_record(self, result: CallResult) -> None:
        """The gateway's record of the call, if it is a gateway of ours and its API is in reach."""
        headers = {"Authorization": f"Bearer {self._api_token}"}
        timeout = aiohttp.ClientTimeout(total=5.0)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            try:
                url = f"{self._gateway_url}/api/calls?variable=sip_x_twowire_caller:{self._token}"
                async with http.get(url, headers=headers) as response:
                    calls = (await response.json())["calls"] if response.status == 200 else []
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError) as error:
                result.record_trouble = f"no record at {self._gateway_url}: {str(error) or type(error).__name__}"
                return
            if not calls:
                result.record_trouble = f"{self._gateway_url} knows nothing of this call; is --url its address?"
                return
            result.call = calls[0]["call"]
            await fetch_record(http, f"{self._gateway_url}/api/calls/{result.call}", self._api_token, result)


def _media(line: RtpLine) -> dict[str, int]:
    stats = line.stream.stats()
    names = {"heard_received": "packets heard", "heard_lost": "lost", "heard_late": "late", "sent_packets": "sent"}
    figures = {what: int(stats[name]) for name, what in names.items() if name in stats}
    return figures | {"frames skipped": line.skipped_frames}


def _our_host(media: SipMedia) -> str:
    host: str = media.pair.rtp.getsockname()[0]
    return host


def _our_address(target: Target) -> str:
    """The address of this machine that the target is reached from; no packet is sent by a connect of UDP."""
    family = socket.AF_INET6 if ":" in target.address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(target.address)
        except OSError as error:
            raise CannotConnectError(f"{target.address[0]}: {error.strerror}") from None
        host: str = probe.getsockname()[0]
    return host
