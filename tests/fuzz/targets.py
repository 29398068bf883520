"""What is fuzzed: for each parser, what must be true of any bytes.

A check takes bytes and raises only for a defect: an exception that is not the parser's own, a message that
reads differently once written, a result that depends on how a stream was cut.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from zlib import crc32

from gateway.rtp.receiver import RtpReceiver
from gateway.rtp.reception import ReceiverConfig
from gateway.rtp.rtcp import Report, RtcpParseError, build_report, parse_compound
from gateway.sdp.dtls import Fingerprint
from gateway.sdp.errors import NegotiationError, SdpError
from gateway.sdp.local import LocalMedia
from gateway.sdp.offer_answer import answer_offer, make_offer, read_answer
from gateway.sdp.parser import MAX_BYTES, parse_sdp
from gateway.sdp.security import SecurityMethod, SecurityMode, SecurityPolicy
from gateway.sip.errors import SipParseError
from gateway.sip.framing import KeepAlive, StreamFramer
from gateway.sip.identity import identify
from gateway.sip.message import Message, Request
from gateway.sip.name_addr import parse_name_addr
from gateway.sip.parser import Limits, parse_message
from gateway.sip.uri import SipUri, TelUri, parse_uri
from gateway.sip.via import parse_via
from tests.fuzz.agent import NEXT, conversations, converse
from tests.fuzz.corpus import RTCP_PACKETS, RTP_STREAMS, SDP_SAMPLES, TOKENS, datagrams, sip_messages
from tests.gateway.sip.network import BOB, Network
from tests.gateway.sip.raw import STRANGER
from wire.audio.codecs import Codec

Check = Callable[[bytes], None]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Target:
    """``spent`` gives the seconds that parsing took by a clock; of many datagrams those of the worst."""

    name: str
    check: Check
    spent: Callable[[bytes, Clock], float]
    seeds: tuple[bytes, ...]
    tokens: tuple[bytes, ...]
    max_bytes: int


# --- SIP ------------------------------------------------------------------------------------------------------------

_WRITTEN = Limits(message_bytes=1 << 20, head_bytes=1 << 20, headers=300, line_chars=1 << 14)
"""Written out, a message may be longer than it came: spaces behind the colons, long names, whole line ends."""


def check_sip(data: bytes) -> None:
    """Any bytes are a message or a SipParseError; a message means the same when it is written and read again."""
    for stream in (False, True):
        try:
            message = parse_message(data, stream=stream)
        except SipParseError as error:
            _check_refusal(error)
        else:
            _check_message(message)
    check_framing(data)


def check_framing(data: bytes) -> None:
    """A stream means the same however it is cut; what is cut out is a message or a SipParseError."""
    whole = _framed([data])
    cut = crc32(data) % (len(data) + 1)
    assert _framed([data[:cut], data[cut:]]) == whole, f"cut at {cut}: {_framed([data[:cut], data[cut:]])} != {whole}"
    if len(data) <= 400:
        octets = [data[at : at + 1] for at in range(len(data))]
        assert _framed(octets) == whole, f"octet by octet: {_framed(octets)} != {whole}"
    for item in whole:
        if isinstance(item, bytes):
            with suppress(SipParseError):
                parse_message(item, stream=True)


def spent_on_sip(data: bytes, clock: Clock) -> float:
    began = clock()
    with suppress(SipParseError):
        parse_message(data)
    return clock() - began


def _framed(pieces: list[bytes]) -> list[bytes | KeepAlive | str]:
    framer = StreamFramer()
    items: list[bytes | KeepAlive | str] = []
    try:
        for piece in pieces:
            items.extend(framer.push(piece))  # which keeps what came before an error
    except SipParseError as error:
        items.append(error.reason)
    return items


def _check_refusal(error: SipParseError) -> None:
    assert error.status is None or 400 <= error.status <= 699, f"a refusal with {error.status}"
    if error.request is None:
        assert error.status is None, "an answer to nobody"
        return
    if error.status is not None:
        assert error.request.method != "ACK", "an answer to an ACK"
        assert error.request.headers.get("Via"), "an answer without a way"
        wire = error.request.respond(error.status, "", "tag").to_bytes()
        head = wire.partition(b"\r\n\r\n")[0]
        assert head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r"), f"a header of two lines in {head!r}"


def _check_message(message: Message) -> None:
    _read_all(message)
    wire = message.to_bytes()
    again = parse_message(wire, stream=True, limits=_WRITTEN)
    assert type(again) is type(message), f"{again} was {message}"
    assert again.body == message.body, "another body"
    assert _fields(again) == _fields(message), "other headers"
    assert again.to_bytes() == wire, "written differently the second time"
    if isinstance(message, Request):
        assert isinstance(again, Request)
        assert (again.method, again.uri) == (message.method, message.uri), f"{again.uri} was {message.uri}"
        answer = message.respond(200, "", "tag")
        assert answer.to.tag == (message.to.tag or "tag")
        parse_message(answer.to_bytes(), stream=True, limits=_WRITTEN)
        identify(message, trusted=True)


def _read_all(message: Message) -> None:
    """What a message that was parsed promises: that its parts can be read, and mean the same when written."""
    vias = message.vias
    assert vias, "a message without a Via"
    assert vias[0] == message.via
    for via in vias:
        assert parse_via(str(via)) == via, f"{via} reads differently"
        _ = via.branch, via.received, via.rport, via.sent_by
    assert message.call_id
    assert message.cseq.number < 2**31
    _ = message.content_type, message.expires, message.tokens("Require"), message.tokens("Allow")
    addresses = [message.from_, message.to]
    if isinstance(message, Request):
        assert message.max_forwards is None or 0 <= message.max_forwards <= 255
        addresses += [*message.contacts, *message.routes, *message.record_routes]
    elif message.status < 400:
        addresses += [*message.contacts, *message.record_routes]
    for address in addresses:
        assert parse_name_addr(str(address)) == address, f"{address} reads differently"
        uri = address.uri
        if isinstance(uri, SipUri | TelUri):
            assert parse_uri(str(uri)) == uri, f"{uri} reads differently"
        if isinstance(uri, SipUri):
            assert uri.equivalent(uri)
            assert 0 < (uri.port or 1) < 65_536


def _fields(message: Message) -> list[tuple[str, str]]:
    return [(name, value) for name, value in message.headers.items() if name.lower() != "content-length"]


def check_agent(data: bytes) -> None:
    """Whatever a peer says in a call and around it, the user agent goes on."""
    converse(data)


def spent_on_agent(data: bytes, clock: Clock) -> float:
    """What one datagram costs a fresh user agent."""
    network = Network()
    network.add(BOB)
    datagram = data.split(NEXT)[0]
    began = clock()
    network.inject(datagram, BOB, STRANGER)
    return clock() - began


# --- SDP ------------------------------------------------------------------------------------------------------------

_LOCALS = tuple(
    LocalMedia("192.0.2.1", 20_000, 7_000, security=policy, fingerprint=Fingerprint("sha-256", bytes(range(32))))
    for policy in (
        SecurityPolicy(SecurityMode.OPTIONAL),
        SecurityPolicy(SecurityMode.REQUIRED, (SecurityMethod.SDES,)),
        SecurityPolicy(SecurityMode.REQUIRED, (SecurityMethod.DTLS,)),
    )
)


def check_sdp(data: bytes) -> None:
    """Any bytes are a description or an SdpError; any description is answered, understood as an answer, or refused."""
    try:
        theirs = parse_sdp(data)
    except SdpError:
        return
    wire = theirs.to_bytes()  # with whole line ends, which may take it over the limit
    assert len(wire) > MAX_BYTES or parse_sdp(wire) == theirs, "reads differently when written"
    for ours in _LOCALS:
        with suppress(NegotiationError):
            agreed = answer_offer(theirs, ours, _new_key)
            assert parse_sdp(agreed.answer.to_bytes()) == agreed.answer, "our answer reads differently when written"
            kinds = [media.kind.lower() for media in theirs.media]
            assert [media.kind.lower() for media in agreed.answer.media] == kinds, "other streams than were offered"
        with suppress(NegotiationError):
            read_answer(make_offer(ours, _new_key), theirs, ours)


def spent_on_sdp(data: bytes, clock: Clock) -> float:
    began = clock()
    with suppress(SdpError, NegotiationError):
        answer_offer(parse_sdp(data), _LOCALS[0], _new_key)
    return clock() - began


def _new_key(length: int) -> bytes:
    return bytes(length)


# --- RTP and RTCP ---------------------------------------------------------------------------------------------------

_PCMU = ReceiverConfig(Codec.PCMU, payload_type=0, dtmf_type=101, cn_type=13)
_KEYS = ReceiverConfig(Codec.PCMU, payload_type=0, find_tones=True)
_SLACK_S = 5.0


def check_rtp(data: bytes) -> None:
    """Any datagrams at any times raise nothing, and give no more audio than time has passed."""
    for config in (_PCMU, _KEYS):
        receiver = RtpReceiver(config, 0.0)
        now, heard = 0.0, 0
        for gap_s, datagram in datagrams(data):
            now += gap_s
            for audio in (receiver.receive(datagram, now), receiver.handle_deadline(now)):
                assert isinstance(audio, bytes)
                heard += len(audio)
            deadline = receiver.next_deadline()
            assert isfinite(deadline), f"a deadline of {deadline}"
            receiver.poll()
        assert heard <= (now + _SLACK_S) * config.clock_hz, f"{heard} octets of audio in {now} s"
        assert all(isfinite(value) for value in receiver.stats().values())
        report = receiver.report()
        assert report is None or 0 <= report.fraction_lost <= 255


def spent_on_rtp(data: bytes, clock: Clock) -> float:
    receiver = RtpReceiver(_PCMU, 0.0)
    now = worst_s = 0.0
    for gap_s, datagram in datagrams(data):
        now += gap_s
        began = clock()
        receiver.receive(datagram, now)
        worst_s = max(worst_s, clock() - began)
    return worst_s


def check_rtcp(data: bytes) -> None:
    """Any bytes are packets or an RtcpParseError; a report means the same when it is written."""
    try:
        packets = parse_compound(data)
    except RtcpParseError:
        return
    for packet in packets:
        if isinstance(packet, Report):
            assert parse_compound(build_report(packet)) == [packet], f"{packet} reads differently"


def spent_on_rtcp(data: bytes, clock: Clock) -> float:
    began = clock()
    with suppress(RtcpParseError):
        parse_compound(data)
    return clock() - began


AGENT_WORDS = tuple(
    b"$TAG|$BRANCH|$CALL|$FROM|$NUMBER|$RSEQ|\n%%\n|100rel|timer|replaces|RSeq: 1\r\n|Require: 100rel\r\n|Replaces: "
    b"|Session-Expires: 90;refresher=uas\r\n|Refer-To: <sip:c@192.0.2.9>\r\n|Content-Type: application/sdp\r\n"
    b"|UPDATE|PRACK|BYE|REFER".split(b"|")
)

TARGETS = {
    target.name: target
    for target in (
        Target("sip", check_sip, spent_on_sip, sip_messages(), TOKENS["sip"], 65_535),
        Target("agent", check_agent, spent_on_agent, conversations(), (*TOKENS["sip"], *AGENT_WORDS), 16_384),
        Target("sdp", check_sdp, spent_on_sdp, SDP_SAMPLES, TOKENS["sdp"], 16_384),
        Target("rtp", check_rtp, spent_on_rtp, RTP_STREAMS, TOKENS["rtp"], 16_384),
        Target("rtcp", check_rtcp, spent_on_rtcp, RTCP_PACKETS, TOKENS["rtcp"], 1_600),
    )
}
