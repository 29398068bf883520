"""Offer and answer for one audio stream (RFC 3264, RFC 6337)."""

import base64
import binascii
from dataclasses import dataclass

from gateway.sdp.description import Attribute, Media, SessionDescription
from gateway.sdp.errors import NoCommonCodecError, SdpError, SecurityMismatchError
from gateway.sdp.plan import (
    Address,
    Direction,
    LocalMedia,
    MediaCodec,
    MediaPlan,
    SdesKeys,
    SecurityPolicy,
    SrtpSuite,
)

DTMF_TYPE = 101
CN_TYPE = 13
PTIMES_MS = range(10, 61, 10)
_RTPMAPS = {MediaCodec.PCMU: "PCMU/8000", MediaCodec.PCMA: "PCMA/8000", MediaCodec.G722: "G722/8000"}
_STATIC = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000", "13": "CN/8000"}
_PLAIN = frozenset({"RTP/AVP", "RTP/AVPF"})
_SECURE = frozenset({"RTP/SAVP", "RTP/SAVPF"})


@dataclass(frozen=True, slots=True)
class Agreed:
    answer: SessionDescription
    plan: MediaPlan


def make_offer(local: LocalMedia) -> SessionDescription:
    """Offer everything we can, plain or with keys as the policy asks."""
    secure = local.policy is SecurityPolicy.SDES
    formats = [str(codec.payload_type) for codec in local.codecs]
    attributes = [_rtpmap(str(codec.payload_type), codec) for codec in local.codecs]
    attributes += _dtmf(str(DTMF_TYPE))
    attributes += [Attribute("ptime", str(local.ptime_ms)), Attribute("rtcp-mux"), Attribute(local.direction.value)]
    if secure:
        for tag, suite in enumerate(SrtpSuite, start=1):
            attributes.append(_crypto(str(tag), suite, local.new_key(suite.key_bytes)))
    media = Media(
        "audio",
        local.port,
        "RTP/SAVP" if secure else "RTP/AVP",
        (*formats, str(DTMF_TYPE)),
        attributes=tuple(attributes),
    )
    return _description(local, (media,))


def answer_offer(offer: SessionDescription, local: LocalMedia) -> Agreed:
    """Answer an offer. Raises NoCommonCodecError, SecurityMismatchError, SdpError."""
    chosen, why = None, None
    for index, media in enumerate(offer.media):
        if media.kind != "audio" or media.port == 0:
            continue
        try:
            chosen = (index, *_answer_media(offer, media, local))
            break
        except (NoCommonCodecError, SecurityMismatchError) as error:
            why = why or error  # another m= line may fit: many offer SAVP and AVP side by side
    if chosen is None:
        raise why or NoCommonCodecError("no audio is offered")
    index, answered, plan = chosen
    sections = tuple(
        answered if at == index else Media(media.kind, 0, media.protocol, media.formats)
        for at, media in enumerate(offer.media)
    )
    return Agreed(_description(local, sections), plan)


def read_answer(offer: SessionDescription, answer: SessionDescription, local: LocalMedia) -> MediaPlan:
    """What the peer made of our offer. Raises SdpError, NoCommonCodecError, SecurityMismatchError."""
    if len(answer.media) != len(offer.media):
        raise SdpError("answer", f"expected {len(offer.media)} media in the answer, got {len(answer.media)}")
    ours, theirs = offer.media[0], answer.media[0]
    if theirs.port == 0 or theirs.kind != "audio":
        raise NoCommonCodecError("the answer takes no audio")
    codec, number = _choose(theirs, local.codecs)
    if theirs.protocol != ours.protocol:
        raise SecurityMismatchError(f"offered {ours.protocol}, answered {theirs.protocol}")
    keys = None
    if ours.protocol in _SECURE:
        keys = _answered_keys(ours, theirs)
    direction = _direction(answer, theirs).reversed()
    return _plan(answer, theirs, codec, number, codec.payload_type, direction, local, keys, mux_offered=True)


def _answer_media(offer: SessionDescription, media: Media, local: LocalMedia) -> tuple[Media, MediaPlan]:
    secure = media.protocol in _SECURE
    if not secure and media.protocol not in _PLAIN:
        raise SecurityMismatchError(f"expected RTP/AVP or RTP/SAVP, got {media.protocol}")
    if secure and local.policy is SecurityPolicy.NONE:
        raise SecurityMismatchError("SRTP is offered, and not spoken on this trunk")
    if not secure and local.policy is SecurityPolicy.SDES:
        raise SecurityMismatchError("plain RTP is offered, and not allowed on this trunk")
    codec, number = _choose(media, local.codecs)
    keys, crypto = None, None
    if secure:
        tag, suite, remote_key = _offered_key(media)
        local_key = local.new_key(suite.key_bytes)
        keys, crypto = SdesKeys(suite, local_key, remote_key), _crypto(tag, suite, local_key)
    theirs = _direction(offer, media)
    direction = _meet(theirs.reversed(), local.direction)
    plan = _plan(offer, media, codec, number, number, direction, local, keys, mux_offered=True)
    formats, attributes = [str(number)], [_rtpmap(str(number), codec)]
    if plan.dtmf_in is not None:
        formats.append(str(plan.dtmf_in))
        attributes += _dtmf(str(plan.dtmf_in))
    if plan.cn_in is not None:
        formats.append(str(plan.cn_in))
        attributes.append(Attribute("rtpmap", f"{plan.cn_in} CN/8000"))
    attributes.append(Attribute("ptime", str(plan.ptime_ms)))
    if plan.rtcp_mux:
        attributes.append(Attribute("rtcp-mux"))
    if crypto is not None:
        attributes.append(crypto)
    attributes.append(Attribute(direction.value))
    return Media("audio", local.port, media.protocol, tuple(formats), attributes=tuple(attributes)), plan


def _plan(
    session: SessionDescription,
    media: Media,
    codec: MediaCodec,
    number_out: int,
    number_in: int,
    direction: Direction,
    local: LocalMedia,
    keys: SdesKeys | None,
    *,
    mux_offered: bool,
) -> MediaPlan:
    address = session.address_of(media)
    if not address:
        raise SdpError("connection", "expected a c= line")
    mux = mux_offered and media.attribute("rtcp-mux") is not None
    remote = (address, media.port)
    if address in ("0.0.0.0", "::"):  # noqa: S104 - RFC 2543's way to say hold
        direction = Direction.INACTIVE if not direction.receives else Direction.RECVONLY
    ptime = media.attribute("ptime") or ""
    ptime_ms = int(ptime) if ptime.isascii() and ptime.isdecimal() and int(ptime[:4]) in PTIMES_MS else local.ptime_ms
    dtmf = _number_of(media, "telephone-event/8000")
    noise = _number_of(media, "CN/8000")
    return MediaPlan(
        codec, number_out, number_in, dtmf, dtmf, noise, noise, ptime_ms, remote, _rtcp(media, remote, mux), mux,
        direction, keys,
    )  # fmt: skip


def _rtcp(media: Media, remote: Address, mux: bool) -> Address:
    if mux:
        return remote
    words = (media.attribute("rtcp") or "").split()
    if words and words[0].isdecimal() and 0 < int(words[0][:6]) <= 65_535:
        return (words[3] if len(words) == 4 else remote[0], int(words[0]))
    return (remote[0], remote[1] + 1)


def _choose(media: Media, ours: tuple[MediaCodec, ...]) -> tuple[MediaCodec, int]:
    """Our best codec of theirs, and its payload type there."""
    for codec in ours:
        number = _number_of(media, _RTPMAPS[codec])
        if number is not None:
            return codec, number
    raise NoCommonCodecError(f"expected one of {', '.join(codec.value for codec in ours)}")


def _number_of(media: Media, encoding: str) -> int | None:
    names = dict(_STATIC)
    for value in media.all("rtpmap"):
        number, _, name = value.partition(" ")
        names[number] = name.strip().removesuffix("/1")
    for number in media.formats:
        if names.get(number, "").lower() == encoding.lower() and number.isdecimal() and int(number[:4]) < 128:
            return int(number)
    return None


def _direction(session: SessionDescription, media: Media) -> Direction:
    for direction in Direction:
        if media.attribute(direction.value) is not None:
            return direction
    return next((d for d in Direction if session.attribute(d.value) is not None), Direction.SENDRECV)


def _meet(a: Direction, b: Direction) -> Direction:
    sends, receives = a.sends and b.sends, a.receives and b.receives
    if sends and receives:
        return Direction.SENDRECV
    return Direction.SENDONLY if sends else Direction.RECVONLY if receives else Direction.INACTIVE


def _offered_key(media: Media) -> tuple[str, SrtpSuite, bytes]:
    for value in media.all("crypto"):
        parsed = _read_crypto(value)
        if parsed is not None:
            return parsed
    raise SecurityMismatchError("no crypto suite in common")


def _answered_keys(ours: Media, theirs: Media) -> SdesKeys:
    tag, suite, remote_key = _offered_key(theirs)
    for value in ours.all("crypto"):
        mine = _read_crypto(value)
        if mine is not None and mine[0] == tag and mine[1] is suite:
            return SdesKeys(suite, mine[2], remote_key)
    raise SecurityMismatchError("the answer chose a crypto suite that was not offered")


def _read_crypto(value: str) -> tuple[str, SrtpSuite, bytes] | None:
    """Tag, suite and key of one crypto attribute; None for what we do not speak (RFC 4568 §9.2)."""
    words = value.split()
    if len(words) != 3 or words[1] not in SrtpSuite.__members__ or not words[2].lower().startswith("inline:"):
        return None  # session parameters and several keys are not for us
    suite = SrtpSuite(words[1])
    encoded, _, rest = words[2][7:].partition("|")
    if ":" in rest.rpartition("|")[2]:
        return None  # an MKI would stand in every packet
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return (words[0], suite, key) if len(key) == suite.key_bytes else None


def _crypto(tag: str, suite: SrtpSuite, key: bytes) -> Attribute:
    return Attribute("crypto", f"{tag} {suite.value} inline:{base64.b64encode(key).decode()}")


def _rtpmap(number: str, codec: MediaCodec) -> Attribute:
    return Attribute("rtpmap", f"{number} {_RTPMAPS[codec]}")


def _dtmf(number: str) -> list[Attribute]:
    return [Attribute("rtpmap", f"{number} telephone-event/8000"), Attribute("fmtp", f"{number} 0-15")]


def _description(local: LocalMedia, media: tuple[Media, ...]) -> SessionDescription:
    kind = "IP6" if ":" in local.address else "IP4"
    origin = ("-", str(local.session_id), str(local.version), "IN", kind, local.address)
    return SessionDescription(origin, local.user_agent, local.address, (), media)
