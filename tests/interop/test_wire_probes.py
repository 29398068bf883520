"""What goes wrong on real networks, sent on purpose: repetitions, races, stray requests, and RFC 4475's torture.

A whole call must succeed after each of them: a probe may be refused, but it may not break the gateway.
"""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from tests.gateway.sip import torture
from tests.gateway.sip.torture import CASES, RINGS, SILENCE, Fate
from tests.interop.sipp import Target
from tests.interop.wire_client import Received, Sketch, WireClient, offer, token, wire_client

pytestmark = pytest.mark.interop

TRANSPORTS = ("udp", "tcp")


@pytest.fixture(params=TRANSPORTS)
async def client(request: pytest.FixtureRequest, gateway: Target) -> AsyncIterator[WireClient]:
    """A raw caller over UDP and over TCP; a whole call is tried when the test is through."""
    address = gateway.host, gateway.port
    async with wire_client(address, gateway.user, request.param) as made:
        yield made
    async with wire_client(address, gateway.user, request.param) as after:
        await after.whole_call()


async def answered(client: WireClient, body: str | None = None) -> tuple[Sketch, Received]:
    """A call that is answered and confirmed."""
    invite = client.invite(body)
    answer = await client.ask(invite, 10.0)
    assert answer.status == 200, answer.start
    client.send(invite.following("ACK", answer))
    return invite, answer


async def test_an_invite_sent_three_times_is_one_call(client: WireClient):
    invite = client.invite()
    for _ in range(3):
        client.send(invite)
    answer = await client.final("INVITE", 10.0)
    client.send(invite.following("ACK", answer))
    others = await client.everything(0.7)
    tags = {message.to_tag for message in [answer, *others] if message.status >= 180}
    assert tags == {answer.to_tag}
    await client.hang_up(invite, answer)


async def test_a_200_is_repeated_until_the_ack_comes(client: WireClient):
    invite = client.invite()
    first = await client.ask(invite, 10.0)
    repeated = await client.everything(1.9)  # T1 = 0.5 s: after 0.5 and 1.5 s (RFC 3261 13.3.1.4)
    assert [message.status for message in repeated if message.method == "INVITE"] == [200, 200]
    assert {message.to_tag for message in repeated} == {first.to_tag}
    client.send(invite.following("ACK", first))
    assert [message.start for message in await client.everything(2.5) if message.method == "INVITE"] == []
    await client.hang_up(invite, first)


@pytest.mark.parametrize(("ours", "theirs"), [("sendonly", {"recvonly", "inactive"}), ("inactive", {"inactive"})])
async def test_hold_is_answered_with_the_direction_that_fits(client: WireClient, ours: str, theirs: set[str]):
    invite, answer = await answered(client)
    hold = invite.following("INVITE", answer, offer(client.local[0], 40_000, direction=ours, version=2))
    held = await client.ask(hold)
    assert held.status == 200
    assert set(re.findall(r"a=(sendrecv|sendonly|recvonly|inactive)", held.body)) <= theirs
    client.send(invite.following("ACK", answer, cseq=hold.cseq))
    assert (await client.ask(invite.following("BYE", answer, cseq=3))).status == 200


async def test_a_bye_with_a_wrong_tag_is_refused_and_the_call_goes_on(client: WireClient):
    invite, answer = await answered(client)
    wrong = invite.following("BYE", answer)
    wrong.to_tag = "wrong"
    assert (await client.ask(wrong)).status == 481
    assert (await client.ask(invite.following("BYE", answer, cseq=3))).status == 200


async def test_a_bye_whose_answer_was_lost_is_answered_again(client: WireClient):
    invite, answer = await answered(client)
    bye = invite.following("BYE", answer)
    assert (await client.ask(bye)).status == 200
    if client.transport == "udp":  # nothing is repeated over TCP: the transaction ends with its answer
        assert (await client.ask(bye)).status == 200


async def test_options_is_answered_with_what_we_can(client: WireClient):
    answer = await client.ask(client.sketch("OPTIONS", extra=("Accept: application/sdp",)))
    assert answer.status == 200
    assert {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS"} <= set(re.split(r"\s*,\s*", ",".join(answer.all("Allow"))))


async def test_an_invite_without_sdp_is_answered_with_an_offer(client: WireClient):
    invite = client.invite("")
    answer = await client.ask(invite, 10.0)
    assert answer.status == 200
    assert re.search(r"^m=audio [1-9]\d* RTP/AVP .*\b0\b", answer.body, re.M)
    client.send(invite.following("ACK", answer, offer(client.local[0], 40_000, "0")))
    assert (await client.ask(invite.following("BYE", answer))).status == 200


async def test_only_g729_is_refused_with_488(client: WireClient):
    invite = client.invite(offer(client.local[0], 40_000, "18"))
    answer = await client.ask(invite)
    assert answer.status == 488
    client.send(invite.refusal_ack(answer))


async def test_an_unknown_requirement_is_refused_by_name(client: WireClient):
    invite = client.invite(extra=("Require: foo",))
    answer = await client.ask(invite)
    assert (answer.status, answer.get("Unsupported")) == (420, "foo")
    client.send(invite.refusal_ack(answer))


async def test_an_invite_for_a_dialog_that_never_was_is_refused_with_481(client: WireClient):
    invite = client.invite(to_tag="never-was")
    answer = await client.ask(invite)
    assert answer.status == 481
    client.send(invite.refusal_ack(answer))


async def test_a_cancel_that_crosses_the_answer_ends_the_call_either_way(client: WireClient):
    invite = client.invite()
    client.send(invite)
    first = await client.receive(10.0)
    client.send(invite.cancel())
    messages = [first, *await client.everything(1.0)]
    finals = {message.method: message for message in messages if message.status >= 200}
    assert finals["CANCEL"].status in (200, 481)
    answer = finals["INVITE"]
    assert answer.status in (200, 487), answer.start
    if answer.status == 487:
        client.send(invite.refusal_ack(answer))
    else:
        await client.hang_up(invite, answer)


async def test_overlapping_reinvites_are_each_answered_and_the_call_goes_on(client: WireClient):
    invite, answer = await answered(client)
    pair = [
        invite.following("INVITE", answer, offer(client.local[0], 40_000, direction=direction, version=cseq), cseq)
        for cseq, direction in ((2, "sendonly"), (3, "sendrecv"))
    ]
    for sketch in pair:
        client.send(sketch)
    acknowledged: dict[int, int] = {}
    async with asyncio.timeout(10):
        while len(acknowledged) < 2:
            message = await client.receive(5.0)
            if message.status < 200 or message.method != "INVITE":
                continue
            cseq = int(message.get("CSeq").split()[0])
            if message.status == 200:
                client.send(invite.following("ACK", answer, cseq=cseq))
            else:
                refused = pair[cseq - 2].refusal_ack(message)
                client.send(refused)
            acknowledged[cseq] = message.status
    assert acknowledged[2] == 200
    assert acknowledged[3] in (200, 491, 500)
    assert (await client.ask(invite.following("BYE", answer, cseq=4))).status == 200


async def test_a_request_that_came_two_ways_is_merged(gateway: Target):
    async with wire_client((gateway.host, gateway.port), gateway.user) as client:
        invite = client.invite()
        twin = client.invite(call_id=invite.call_id, from_tag=invite.from_tag)
        client.send(invite)
        client.send(twin)
        finals: dict[str, Received] = {}
        async with asyncio.timeout(10):
            while len(finals) < 2:
                message = await client.receive(5.0)
                if message.status >= 200:
                    branch = re.search(r"branch=([^;]+)", message.get("Via"))
                    assert branch is not None, message
                    finals[branch[1]] = message
        assert finals[twin.branch].status == 482  # RFC 3261 8.2.2.2
        client.send(twin.refusal_ack(finals[twin.branch]))
        await client.hang_up(invite, finals[invite.branch])


async def test_a_stream_cut_into_single_octets_is_read_whole(gateway: Target):
    async with wire_client((gateway.host, gateway.port), gateway.user, "tcp") as client:
        ping = client.sketch("OPTIONS")
        for octet in ping.data:
            client.send(bytes([octet]))
            await asyncio.sleep(0)
        assert (await client.final("OPTIONS")).status == 200


async def test_many_requests_in_one_segment_are_all_answered(gateway: Target):
    async with wire_client((gateway.host, gateway.port), gateway.user, "tcp") as client:
        pings = [client.sketch("OPTIONS") for _ in range(10)]
        client.send(b"\r\n\r\n".join(ping.data for ping in pings))
        answers = [await client.final("OPTIONS") for _ in pings]
        assert {answer.get("Call-ID") for answer in answers} == {ping.call_id for ping in pings}
        assert {answer.status for answer in answers} == {200}


async def test_a_keep_alive_of_the_stream_is_answered_by_crlf(gateway: Target):
    async with wire_client((gateway.host, gateway.port), gateway.user, "tcp") as client:
        client.send(b"\r\n\r\n")
        assert (await client.ask(client.sketch("OPTIONS"))).status == 200
        assert client.raw.startswith(b"\r\nSIP/2.0 200")  # RFC 5626 3.5.1: one CRLF, before the answer


# --- RFC 4475 -------------------------------------------------------------------------------------------------------


def allowed(outcome: int | Fate) -> set[int]:
    """The final responses that may come: to a call that rings, anything that does not call it malformed."""
    if isinstance(outcome, int):
        return {outcome}
    return set(range(200, 700)) - {400, 500, 505} if outcome is RINGS else set()


def on_its_own(message: bytes, name: str) -> bytes:
    """The message with a branch of its own: several of the 49 share one, as if they were one transaction."""
    return re.sub(rb"(branch=z9hG4bK[\w.]+)", rb"\g<1>" + name.encode(), message, count=1)


SENT_BY = re.compile(rb"^(?:Via|v)\s*:\s*SIP\s*/\s*2\.0\s*/\s*(\w+)\s+[^;\s]+?(?::\s*(\d+))?\s*[;\r]", re.M | re.I)


def sent_by_port(message: bytes) -> int:
    """Where answers over UDP go without rport (RFC 3261 18.2.2): the port in the top Via, or its transport's own."""
    via = SENT_BY.search(message)
    if via is None or via[2] is None:
        return 5_061 if via is not None and via[1].upper() == b"TLS" else 5_060
    return int(via[2])


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", CASES)
async def test_a_message_of_rfc_4475_is_judged_right_and_breaks_nothing(
    gateway: Target, second_gateway: Target, name: str, transport: str
):
    # The same request by another transport would be a merged one (RFC 3261 8.2.2.2).
    gateway = gateway if transport == "udp" else second_gateway
    message = on_its_own(torture.message(name), name)
    # Another address of loopback: answers go to the port that the message names, which may be taken on 127.0.0.1.
    local = ("127.0.0.2", sent_by_port(message))
    async with wire_client((gateway.host, gateway.port), gateway.user, transport, local) as client:
        client.send(message)
        try:
            answer = await first_final(client, call_ids(message))
        except TimeoutError:
            answer = None
        await clean_up(client, answer)
    outcome = CASES[name].outcome
    if answer is None:
        # A stream is owed the octets that its Content-Length promises, or the empty line: the gateway waits for them.
        assert outcome is SILENCE or (name, transport) in (("clerr", "tcp"), ("baddn", "tcp")), f"{name}: no answer"
    else:
        assert answer.status in allowed(outcome), f"{name}: {answer.start}"
    async with wire_client((gateway.host, gateway.port), gateway.user, transport) as after:
        await after.whole_call()


def call_ids(message: bytes) -> list[str]:
    """Of the first request only: what follows it in a datagram is no message (RFC 3261 18.3)."""
    head = message.partition(b"\r\n\r\n")[0]
    found = re.findall(rb"^(?:Call-ID|i)[ \t]*:\s*(\S+)", head, re.M | re.I)
    return [value.decode() for value in found]


async def first_final(client: WireClient, ids: list[str]) -> Received:
    """The final response to this message; an earlier one's may still be repeated to the same port."""
    async with asyncio.timeout(1.5):
        while True:
            message = await client.receive()
            if message.status >= 200 and (not ids or message.get("Call-ID") in ("", *ids)):
                return message


async def clean_up(client: WireClient, answer: Received | None) -> None:
    """Confirm what a torture INVITE got, and end the call that it may have started, so that no slot stays taken."""
    if answer is None or answer.method != "INVITE":
        return
    number = int(answer.get("CSeq").split()[0])
    host, port = client.local
    own_via = f"SIP/2.0/{client.transport.upper()} {host}:{port};branch=z9hG4bK{token()};rport"
    started = answer.status < 300
    steps = [("ACK", number, own_via if started else answer.get("Via"))]
    if started:
        steps.append(("BYE", number + 1, f"{own_via[:-6]}b;rport"))
    for method, cseq, via in steps:
        lines = [
            f"{method} {answer.contact or f'sip:{client.user}@interop'} SIP/2.0",
            f"Via: {via}",
            "Max-Forwards: 70",
            f"From: {answer.get('From')}",
            f"To: {answer.get('To')}",
            f"Call-ID: {answer.get('Call-ID')}",
            f"CSeq: {cseq} {method}",
            "Content-Length: 0",
        ]
        client.send("\r\n".join(lines).encode() + b"\r\n\r\n")
    if started:
        assert (await client.final("BYE")).status in (200, 481)
