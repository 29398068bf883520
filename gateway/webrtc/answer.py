"""Our answer to a browser's offer (RFC 9429 §5.3), written whole: all our candidates are in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.sdp.description import Attribute, Connection, Direction, Media, Origin, SessionDescription
from gateway.sdp.formats import DTMF_EVENTS, MAX_PTIME_MS, MediaCodec
from gateway.sdp.opus import OUR_WISHES
from gateway.webrtc.offer import ENCODINGS, BrowserOffer, OfferedLine

MAX_MESSAGE_BYTES = 65_536
"""The longest message of a data channel that we take."""

_PORT = 9  # discard: the candidates say where (RFC 9429 §5.2.1)
_ANYWHERE = "0.0.0.0"  # noqa: S104 - written, not bound to
_CHANNELS = "webrtc-datachannel"
_STREAM = "twowire"
_TRACK = "agent"


@dataclass(frozen=True, slots=True)
class LocalPeer:
    """Our side of one path. ``candidates`` are values of ``a=candidate``; ``fingerprint`` is hash name and value."""

    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    candidates: tuple[str, ...]
    fingerprint: tuple[str, str]
    setup: str
    """``active`` begins the handshake (RFC 8842 §5.3)."""
    ssrc: int
    cname: str
    sctp_port: int
    session_id: int
    """Chosen once per path, below 2**62."""


def write_answer(offer: BrowserOffer, local: LocalPeer) -> bytes:
    """Take the audio and the data channel of the offer, and refuse all else."""
    carrier = offer.bundle[0] if offer.bundle else offer.audio.mid
    media = tuple(_answered(line, offer, local, line.mid == carrier) for line in offer.lines)
    attributes = [Attribute("ice-options", "trickle"), Attribute("msid-semantic", f"WMS {_STREAM}")]
    if offer.bundle:
        attributes.insert(0, Attribute("group", " ".join(("BUNDLE", *offer.bundle))))
    origin = Origin(str(local.session_id), "1", _ANYWHERE)
    return SessionDescription(origin, media, attributes=tuple(attributes)).to_bytes()


def _answered(line: OfferedLine, offer: BrowserOffer, local: LocalPeer, carries: bool) -> Media:
    mid = () if line.mid is None else (Attribute("mid", line.mid),)
    if not line.taken:
        formats = line.formats[:1] or ("0",)  # one has to stand there (RFC 3264 §6)
        return Media(line.kind, 0, line.protocol, formats, (*mid, Attribute(Direction.INACTIVE.value)))
    if line.kind == "audio":
        formats, described = _audio(offer, local)
    else:
        formats, described = (_CHANNELS,), _data(local)
    attributes = (*mid, *_transport(local), *(_candidates(local) if carries else ()), *described)
    return Media(line.kind, _PORT, line.protocol, formats, attributes, (Connection(_ANYWHERE),))


def _transport(local: LocalPeer) -> Iterator[Attribute]:
    """In every stream of the bundle, though the first would do: not all browsers look there only."""
    yield Attribute("ice-ufrag", local.ice_ufrag)
    yield Attribute("ice-pwd", local.ice_pwd)
    yield Attribute("fingerprint", " ".join(local.fingerprint))
    yield Attribute("setup", local.setup)


def _candidates(local: LocalPeer) -> Iterator[Attribute]:
    for candidate in local.candidates:
        yield Attribute("candidate", candidate)
    yield Attribute("end-of-candidates")


def _audio(offer: BrowserOffer, local: LocalPeer) -> tuple[tuple[str, ...], tuple[Attribute, ...]]:
    audio = offer.audio
    clock_hz, channels = ENCODINGS[audio.codec]
    written = f"{audio.codec.value}/{clock_hz}" + (f"/{channels}" if channels > 1 else "")
    formats = [str(audio.payload_type)]
    attributes = [Attribute("rtpmap", f"{audio.payload_type} {written}")]
    if audio.codec is MediaCodec.OPUS:
        attributes.append(Attribute("fmtp", f"{audio.payload_type} {OUR_WISHES}"))
    if audio.dtmf_type is not None:
        formats.append(str(audio.dtmf_type))
        attributes.append(Attribute("rtpmap", f"{audio.dtmf_type} telephone-event/{clock_hz}"))
        attributes.append(Attribute("fmtp", f"{audio.dtmf_type} {DTMF_EVENTS}"))
    direction = audio.direction.answered_by(Direction.SENDRECV)
    attributes.append(Attribute("ptime", str(audio.ptime_ms)))
    attributes.append(Attribute("maxptime", str(MAX_PTIME_MS)))
    attributes.append(Attribute("rtcp-mux"))
    attributes.append(Attribute(direction.value))
    if direction.sends:
        attributes.append(Attribute("msid", f"{_STREAM} {_TRACK}"))
        attributes.append(Attribute("ssrc", f"{local.ssrc} cname:{local.cname}"))
    return tuple(formats), tuple(attributes)


def _data(local: LocalPeer) -> tuple[Attribute, ...]:
    return (
        Attribute("sctp-port", str(local.sctp_port)),
        Attribute("max-message-size", str(MAX_MESSAGE_BYTES)),
    )
