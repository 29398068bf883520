"""``python -m load_tests.sip_flood``: more INVITEs than anybody should send, for a bounded time, on loopback only.

From a source that the gateway does not know (``--source 127.0.0.2``), from the same one with a
password, or from a trunk's own address. Calls that are answered are ended at once.
"""

import asyncio
import json
import os
import secrets
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast

import click
import uvloop

from load_tests.command import CONTEXT, end_cleanly_when_told, parse_address
from load_tests.figures import json_number, percentile
from load_tests.loopback import NotLoopbackError, check_loopback
from load_tests.sip_text import Address, Dialog, SipText, SipTextError, digest_response, pcmu_offer, read

PASSWORD_VARIABLE = "TWOWIRE_LOAD_SIP_PASSWORD"
TICK_S = 0.005
LINGER_S = 2.0  # for the answers to the last ones
_DISCARD_PORT = 9  # RFC 863: the offers' media goes nowhere


@dataclass(frozen=True, slots=True)
class FloodPlan:
    """How much, and as whom."""

    target: Address
    rate_per_s: float = 1_000.0
    seconds: float = 10.0
    source: str = "127.0.0.1"
    credentials: tuple[str, str] | None = None
    """User and password, shown when the gateway asks; None shows none."""


@dataclass(slots=True)
class Flooded:
    """What came of it."""

    sent: int = 0
    """First INVITEs; those with a password and all other requests come on top."""
    authorized: int = 0
    """INVITEs that were sent again with a password."""
    finals: Counter[int] = field(default_factory=Counter)
    """Last final status of each INVITE that got one."""
    unanswered: int = 0
    send_errors: int = 0
    bad_input: int = 0
    answer_s: list[float] = field(default_factory=list)
    """Due time of the first INVITE to the final status."""
    lateness_s: list[float] = field(default_factory=list)
    """Of the INVITEs, behind the even grid."""

    def as_json(self) -> dict[str, Any]:
        def shares(values: list[float]) -> dict[str, float | str | None]:
            return {f"p{share}": json_number(1_000 * percentile(values, share / 100)) for share in (50, 99)}

        return {
            "sent": self.sent,
            "authorized": self.authorized,
            "finals": {str(status): count for status, count in sorted(self.finals.items())},
            "unanswered": self.unanswered,
            "send_errors": self.send_errors,
            "bad_input": self.bad_input,
            "answer_ms": shares(self.answer_s),
            "lateness_ms": shares(self.lateness_s),
        }


class _Flooder(asyncio.DatagramProtocol):
    def __init__(self, plan: FloodPlan) -> None:
        self.flooded = Flooded()
        self._plan = plan
        self._run_id = secrets.token_hex(6)
        self._open: dict[str, tuple[Dialog, float]] = {}
        self._ringing: set[str] = set()
        self._ending: dict[str, Dialog] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._local: Address = ("", 0)
        self._offer = pcmu_offer(plan.source, _DISCARD_PORT, _DISCARD_PORT)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: uvloop's transport is not an asyncio.DatagramTransport.
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._local = transport.get_extra_info("sockname")[:2]

    def error_received(self, exc: Exception) -> None:
        self.flooded.send_errors += 1

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def invite(self, number: int, due: float) -> None:
        dialog = Dialog(self._local, self._plan.target, f"{self._run_id}-{number}", user="flood")
        self._open[dialog.call_id] = dialog, due
        self._send(dialog.invite(self._offer))
        self.flooded.sent += 1
        self.flooded.lateness_s.append(monotonic() - due)

    def give_up(self) -> None:
        """What is not answered by now is not; whoever may still ring is told so."""
        self.flooded.unanswered = len(self._open)
        for call_id in self._ringing & self._open.keys():  # RFC 3261 §9.1: no CANCEL before a provisional answer
            self._send(self._open[call_id][0].cancel())
        self._open.clear()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            message = read(data)
            if message.status == 0:
                if message.method != "ACK":
                    self._send(message.answer("200 OK"))  # a BYE, mostly
            elif message.status < 200:
                self._ringing.add(message.get("call-id"))
            elif message.method == "INVITE":
                self._take_final(message)
        except (SipTextError, ValueError):
            self.flooded.bad_input += 1

    def _take_final(self, message: SipText) -> None:
        call_id = message.get("call-id")
        dialog, due = self._open.get(call_id, (self._ending.get(call_id), 0.0))
        if dialog is None or int(message.get("cseq").split()[0]) != dialog.cseq:
            return
        if message.status < 300:
            if call_id in self._open:
                self._send(dialog.confirm(message))
                self._send(dialog.bye())
                self._ending[call_id] = dialog
        else:
            self._send(dialog.reject(message))
        if call_id not in self._open:
            return
        credentials = self._plan.credentials
        if message.status in (401, 407) and credentials is not None and dialog.cseq == 1:
            challenges = message.all("www-authenticate") + message.all("proxy-authenticate")
            authorization = digest_response(challenges, credentials, "INVITE", dialog.request_uri, 1)
            dialog.cseq += 1
            self._send(dialog.invite(self._offer, authorization))
            self.flooded.authorized += 1
            return
        del self._open[call_id]
        self.flooded.finals[message.status] += 1
        self.flooded.answer_s.append(monotonic() - due)

    def _send(self, message: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(message, self._plan.target)


async def flood(plan: FloodPlan) -> Flooded:
    """Send the INVITEs of a plan on an even grid, never waiting. Raises NotLoopbackError, OSError."""
    check_loopback(plan.target[0])
    check_loopback(plan.source)
    flooder = _Flooder(plan)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: flooder, local_addr=(plan.source, 0))
    try:
        start = monotonic()
        total = round(plan.rate_per_s * plan.seconds)
        number = 0
        while number < total:
            await asyncio.sleep(TICK_S)
            while number < total and (due := start + number / plan.rate_per_s) <= monotonic():
                flooder.invite(number, due)
                number += 1
        await asyncio.sleep(LINGER_S)
        flooder.give_up()
        await asyncio.sleep(0)  # what is queued leaves before the socket is closed
    finally:
        flooder.close()
    return flooder.flooded


@click.command(context_settings=CONTEXT)
@click.option("--sip", "target", required=True, callback=parse_address, metavar="HOST:PORT", help="Whom to flood.")
@click.option("--rate", type=click.FloatRange(1, 5_000), default=1_000, show_default=True, help="INVITEs a second.")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=10, show_default=True)
@click.option("--source", default="127.0.0.2", show_default=True, help="Address to send from.")
@click.option("--user", help=f"Digest user; the password is in {PASSWORD_VARIABLE}.")
def main(target: Address, rate: float, seconds: float, source: str, user: str | None) -> None:
    """Flood a gateway on this machine with INVITEs and print, as JSON, what it answered."""
    credentials = None
    if user is not None:
        if PASSWORD_VARIABLE not in os.environ:
            raise click.UsageError(f"--user needs {PASSWORD_VARIABLE} in the environment")
        credentials = user, os.environ[PASSWORD_VARIABLE]
    end_cleanly_when_told()
    try:
        flooded = uvloop.run(flood(FloodPlan(target, rate, seconds, source, credentials)))
    except (NotLoopbackError, OSError) as error:
        raise click.ClickException(str(error)) from None
    print(json.dumps(flooded.as_json(), indent=2))


if __name__ == "__main__":
    main()
