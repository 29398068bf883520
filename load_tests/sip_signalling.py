"""A caller's SIP over one UDP socket: places calls, ends them, notices when they are ended. Nothing more.

Written by hand on ``load_tests.sip_text``, so that the gateway's own SIP stack is never its own judge.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import cast

from load_tests.generator import DIAL_TIMEOUT_S, DialError
from load_tests.sip_text import Address, Dialog, SipText, SipTextError, digest_response, read

T1_S = 0.5  # RFC 3261 §17.1.1.1; doubled with each retransmission
BYE_TIMEOUT_S = 4.0
_IN_DIALOG = {"BYE": "200 OK", "OPTIONS": "200 OK", "INFO": "200 OK"}


class SipCall:
    """One call that was placed."""

    __slots__ = ("_ack", "_answer", "_bye_answer", "dialog", "lost", "on_lost", "ringing", "sdp")

    def __init__(self, dialog: Dialog, on_lost: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.dialog = dialog
        self.on_lost = on_lost
        self.sdp = ""
        """The answer, once there is one."""
        self.lost = False
        """The other side hung up."""
        self.ringing = False
        self._ack = b""
        self._answer: asyncio.Future[SipText] = loop.create_future()
        self._bye_answer: asyncio.Future[SipText] = loop.create_future()


class SipPhone(asyncio.DatagramProtocol):
    """All calls of a generator, on one socket."""

    def __init__(self, target: Address, credentials: tuple[str, str] | None = None) -> None:
        """``credentials`` (user, password) answer a challenge; without them a challenge is a refusal."""
        self.unanswered_byes = 0
        self.bad_input = 0
        self._target = target
        self._credentials = credentials
        self._transport: asyncio.DatagramTransport | None = None
        self._calls: dict[str, SipCall] = {}
        self._run_id = secrets.token_hex(6)
        self._local: Address = ("", 0)
        self._challenges = 0

    async def open(self, host: str = "127.0.0.1") -> None:
        """Bind a free port. Raises OSError."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(host, 0))

    def close(self) -> None:
        """Harmless when it was never opened."""
        if self._transport is not None:
            self._transport.close()

    async def call(self, number: int, sdp: str, on_lost: Callable[[], None] = lambda: None) -> SipCall:
        """INVITE to ACK. Raises DialError when the call is refused, cannot be used or is not answered in time."""
        dialog = Dialog(self._local, self._target, f"{self._run_id}-{number}", user=f"load{number}")
        call = SipCall(dialog, on_lost)
        self._calls[dialog.call_id] = call
        try:
            answer = await self._invite(call, sdp, "")
            if answer.status in (401, 407) and self._credentials is not None:
                self._challenges += 1
                values = answer.all("www-authenticate") + answer.all("proxy-authenticate")
                authorization = digest_response(
                    values, self._credentials, "INVITE", dialog.request_uri, self._challenges
                )
                dialog.cseq += 1
                call._answer = asyncio.get_running_loop().create_future()
                answer = await self._invite(call, sdp, authorization)
            if not 200 <= answer.status < 300:
                raise DialError(f"refused with {answer.start[8:]}")
        except SipTextError as error:
            raise DialError(str(error)) from None
        except TimeoutError:
            self._send(dialog.cancel())
            raise DialError("INVITE was not answered") from None
        call.sdp = answer.body
        return call

    async def hang_up(self, call: SipCall) -> None:
        """BYE, repeated until it is answered or ``BYE_TIMEOUT_S`` is over; nothing when the other side was first."""
        if not call.lost:
            bye = call.dialog.bye()
            try:
                await self._repeat(bye, call._bye_answer, BYE_TIMEOUT_S, lambda: False)
            except TimeoutError:
                self.unanswered_byes += 1
        self._calls.pop(call.dialog.call_id, None)

    async def _invite(self, call: SipCall, sdp: str, authorization: str) -> SipText:
        invite = call.dialog.invite(sdp, authorization)
        return await self._repeat(invite, call._answer, DIAL_TIMEOUT_S, lambda: call.ringing)

    async def _repeat(
        self, request: bytes, answer: asyncio.Future[SipText], limit_s: float, heard: Callable[[], bool]
    ) -> SipText:
        """Send until answered; ``heard`` says that the other side has it. Raises TimeoutError."""
        wait_s = T1_S
        async with asyncio.timeout(limit_s):
            while True:
                if not heard():
                    self._send(request)
                done, _ = await asyncio.wait((answer,), timeout=wait_s)
                if done:
                    return answer.result()
                wait_s *= 2

    def _send(self, message: bytes, to: Address | None = None) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(message, to or self._target)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: uvloop's transport is not an asyncio.DatagramTransport.
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._local = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            message = read(data)
            call = self._calls.get(message.get("call-id"))
            if message.status:
                if call is not None:
                    self._take_response(call, message)
            else:
                self._take_request(call, message, addr)
        except (SipTextError, ValueError):
            self.bad_input += 1

    def _take_response(self, call: SipCall, message: SipText) -> None:
        method = message.method
        if message.status < 200:
            call.ringing = True
        elif method == "BYE":
            if not call._bye_answer.done():
                call._bye_answer.set_result(message)
        elif method == "INVITE" and int(message.get("cseq").split()[0]) == call.dialog.cseq:
            if message.status >= 300:
                self._send(call.dialog.reject(message))
            else:
                call._ack = call._ack or call.dialog.confirm(message)
                self._send(call._ack)  # each time: a repeated 2xx says that the ACK was lost
            if not call._answer.done():
                call._answer.set_result(message)

    def _take_request(self, call: SipCall | None, message: SipText, source: Address) -> None:
        method = message.method
        if method == "ACK":
            return
        if call is None:
            self._send(message.answer("481 Call/Transaction Does Not Exist"), source)
            return
        self._send(message.answer(_IN_DIALOG.get(method, "488 Not Acceptable Here")), source)
        if method == "BYE" and not call.lost:
            call.lost = True
            call.on_lost()
