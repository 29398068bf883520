"""A telephone of our own stack on real sockets, and what its owner may do about a call."""

import asyncio
import random
import secrets
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TypeVar

from gateway.config.sip import Listener, client_context
from gateway.events import CallEvent, KeyPressed
from gateway.rtp.dtls_identity import make_identity
from gateway.runner.ticker import Ticker
from gateway.sip.flow import Flow, Target, Transport
from gateway.sip.name_addr import NameAddr
from gateway.sip.params import Params
from gateway.sip.trunk import Trunk
from gateway.sip.ua.agent import UserAgent
from gateway.sip.ua.config import UserAgentConfig
from gateway.sip.ua.effects import (
    CallAnswered,
    CallEnded,
    CallHandle,
    Effect,
    IncomingCall,
    OfferReceived,
    TransferRequested,
)
from gateway.sip.uri import SipUri, Uri
from gateway.transports.media_plane import MediaPlane
from gateway.transports.rtp_leg import RtpLeg
from gateway.transports.rtp_ports import RtpPorts
from gateway.transports.sip_agent import SipAgent
from gateway.transports.sip_media import SipMedia
from gateway.transports.sip_network import SipNetwork
from gateway.transports.sip_resolver import SipResolver
from tests.gateway.live import WAIT_S
from tests.gateway.sip.network import OpenGate

HOST = "127.0.0.1"
E = TypeVar("E")
_IDENTITY = make_identity(datetime.now(UTC))


class Ear:
    """What one call of a telephone heard."""

    def __init__(self, news: Callable[[], None]) -> None:
        self.heard = bytearray()
        self.keys = ""
        self._news = news

    def receive_media(self, payload: bytes) -> None:
        self.heard += payload
        self._news()

    def post(self, event: CallEvent) -> None:
        if isinstance(event, KeyPressed):
            self.keys += event.digit
            self._news()


class Telephone:
    """A telephone with as many lines as are wanted. ``react`` is what its owner does about a call or a request."""

    def __init__(self, ports: RtpPorts, codecs: tuple[str, ...], **config: Any) -> None:
        self.effects: list[Effect] = []
        self.react: Callable[[Effect], None] = lambda effect: None
        self._trunk = Trunk("phone", codecs=codecs)
        self._ports = ports
        self._plane = MediaPlane(Ticker(asyncio.get_running_loop()))
        self._media: dict[CallHandle, SipMedia] = {}
        self._legs: dict[CallHandle, RtpLeg] = {}
        self._ears: dict[CallHandle, Ear] = {}
        self._news = asyncio.Event()
        self._network = SipNetwork(
            [Listener(Transport.UDP, (HOST, 0)), Listener(Transport.TCP, (HOST, 0))],
            None,
            lambda: client_context(None),
            lambda data, flow: self._agent.receive(data, flow),
            lambda flow: self._agent.broken(flow),
            lambda _reason: None,
        )
        settings = UserAgentConfig(self._contact, self._flow_to, **config)
        self.ua = UserAgent(settings, OpenGate(), lambda: secrets.token_hex(8), random.random)
        self._agent = SipAgent(self.ua, SipResolver(), self._take, lambda _reason: None)
        self._agent.attach(self._network)

    async def start(self) -> None:
        await self._network.start()

    async def stop(self) -> None:
        self.ua.stop(monotonic())
        self.drain()
        for handle in list(self._media):
            self._close(handle)
        self._agent.close()
        self._network.close()

    @property
    def uri(self) -> SipUri:
        return SipUri(HOST, "phone", self._network.bound[0].address[1])

    def of(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not true():
                self._news.clear()
                await self._news.wait()

    async def told(self, kind: type[E], number: int = 1) -> E:
        """Wait for an effect; the newest of its kind."""
        await self.until(lambda: len(self.of(kind)) >= number)
        return self.of(kind)[-1]

    async def heard(self, call: CallHandle, true: Callable[[bytes], object]) -> None:
        await self.until(lambda: call in self._ears and true(bytes(self._ears[call].heard)))

    def ear(self, call: CallHandle) -> Ear:
        return self._ears[call]

    def call(self, target: Uri) -> CallHandle:
        media = SipMedia(self._trunk, self._ports.take(), HOST, _IDENTITY)
        handle = self.ua.place_call(target, NameAddr(self.uri), media.offer(), monotonic())
        self._media[handle] = media
        self.drain()
        return handle

    def ring(self, call: CallHandle) -> None:
        self.ua.ring(call, monotonic())
        self.drain()

    def answer(self, invite: IncomingCall) -> None:
        assert invite.offer is not None
        media = self._media[invite.call] = SipMedia(self._trunk, self._ports.take(), HOST, _IDENTITY)
        sdp = media.answer(invite.offer)
        self._open(invite.call)
        self.ua.answer(invite.call, sdp, monotonic())
        self.drain()

    def refuse(self, call: CallHandle, status: int) -> None:
        self.ua.refuse(call, status, monotonic())
        self.drain()

    def hang_up(self, call: CallHandle) -> None:
        self.ua.hang_up(call, monotonic())
        self.drain()

    def say(self, call: CallHandle, audio: bytes) -> None:
        self._legs[call].send_audio(audio)

    def press(self, call: CallHandle, keys: str) -> None:
        self._legs[call].send_keys(keys)

    def refer(self, call: CallHandle, to: Uri) -> None:
        self.ua.refer(call, to, monotonic())
        self.drain()

    def report(self, call: CallHandle, status: int) -> None:
        """Tell how the transfer went that was asked for."""
        self.ua.report_transfer(call, status, monotonic())
        self.drain()

    def send_early_media(self, invite: IncomingCall, packets: int) -> None:
        """A tone, or what a machine says before it picks up, as fast as the socket takes it."""
        assert invite.offer is not None
        to = next(int(line.split()[1]) for line in invite.offer.decode().splitlines() if line.startswith("m="))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(packets):
                header = b"\x80\x00" + number.to_bytes(2, "big") + (number * 160).to_bytes(4, "big") + b"tone"
                sock.sendto(header + b"\x10" * 160, (HOST, to))

    def drain(self) -> None:
        self._agent.drain()

    def _open(self, handle: CallHandle) -> None:
        media = self._media[handle]
        assert media.stream is not None
        self._legs[handle] = leg = self._plane.open(
            media.pair, media.stream, 60.0, lambda action, arguments: None, lambda: None, media.handshake
        )
        self._ears[handle] = Ear(self._news.set)
        leg.begin(self._ears[handle])

    def _close(self, handle: CallHandle) -> None:
        media = self._media.pop(handle, None)
        leg = self._legs.get(handle)
        if leg is not None:
            self._plane.close(leg)
        elif media is not None:
            media.pair.close()

    def _take(self, effect: Effect) -> None:
        self.effects.append(effect)
        match effect:
            case CallAnswered(call, bytes() as sdp):
                self._media[call].accept(sdp)
                self._open(call)
            case OfferReceived(call, bytes() as sdp):
                self.ua.answer_offer(call, self._media[call].answer(sdp), monotonic())
            case CallEnded(call):
                self._close(call)
        self.react(effect)
        self._news.set()

    def _contact(self, flow: Flow) -> SipUri:
        stream = flow.transport is Transport.TCP
        return replace(self.uri, params=Params([("transport", "tcp")] if stream else ()))

    def _flow_to(self, target: Target) -> Flow:
        return Flow(target.transport, self._network.local_for(target.transport, target.address), target.address)


def answers(telephone: Telephone) -> None:
    """Its owner picks up."""

    def react(effect: Effect) -> None:
        if isinstance(effect, IncomingCall):
            telephone.ring(effect.call)
            telephone.answer(effect)

    telephone.react = react


def refuses(telephone: Telephone, status: int) -> None:
    def react(effect: Effect) -> None:
        if isinstance(effect, IncomingCall):
            telephone.refuse(effect.call, status)

    telephone.react = react


def follows_transfers(telephone: Telephone) -> None:
    """Calls whom it is told to call, and reports how that went."""
    asked: dict[CallHandle, CallHandle] = {}

    def react(effect: Effect) -> None:
        match effect:
            case TransferRequested(call, refer_to):
                asked[telephone.call(refer_to.uri)] = call
            case CallAnswered(call) if call in asked:
                telephone.ua.report_transfer(asked.pop(call), 200, monotonic())
            case CallEnded(call, _, status) if call in asked:
                telephone.ua.report_transfer(asked.pop(call), status or 487, monotonic())

    telephone.react = react
