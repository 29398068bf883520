"""A browser's offer as values: one voice, perhaps one data channel, one transport for both (RFC 9429, RFC 9143).

An offer may hold more; what we do not take is refused in the answer, and what nobody could take is a BadOfferError.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.sdp.description import Direction, Media, SessionDescription
from gateway.sdp.dtls import DtlsRole, Fingerprint, read_fingerprints, read_setup
from gateway.sdp.errors import SdpError
from gateway.sdp.formats import MediaCodec, read_ptime
from gateway.sdp.opus import read_wishes
from gateway.sdp.parser import MAX_BYTES, parse_sdp
from gateway.sdp.plan import MediaPlan
from gateway.sdp.security import DtlsSetup
from gateway.webrtc.errors import BadOfferError
from gateway.webrtc.ice import IceParameters, read_candidates, read_credentials

ICE_SOURCE = ("192.0.2.1", 9)
"""The address under which all media of a browser is given to its stream: ICE knows the real one, which may change
at any time. It is one for documentation (RFC 5737), so nothing could be sent there by mistake."""

MAX_LINES = 768
"""A browser with a voice and events writes 60. Without this bound 16 KiB of empty attributes would hold the event loop
for 3 ms and not 1; in a thread they would hold the interpreter just as long."""

PTIME_MS = 20

ENCODINGS = {MediaCodec.OPUS: (48_000, 2), MediaCodec.PCMU: (8_000, 1), MediaCodec.PCMA: (8_000, 1)}
"""Clock and channels: Opus says two and means any number (RFC 7587 §7)."""
CODECS = tuple(ENCODINGS)
"""What browsers speak and we do, best first."""
_WITHOUT_RTPMAP = {0: "PCMU/8000", 8: "PCMA/8000"}

_RTP = re.compile(r"(UDP/TLS|TCP/DTLS)/RTP/SAVPF?")
_SCTP = re.compile(r"(UDP|TCP)/DTLS/SCTP")
_CHANNELS = "webrtc-datachannel"
_MID = re.compile(r"[!#-'*+.0-9A-Z^-~-]{1,64}", re.ASCII)  # a token (RFC 8866 §9)
_SETUPS = ("active", "passive", "actpass")
_MAX_MESSAGE_BYTES = 65_536  # where nothing is said (RFC 8841 §6.1)


@dataclass(frozen=True, slots=True)
class OfferedLine:
    """One ``m=`` line, in the words that its answer repeats."""

    kind: str
    protocol: str
    formats: tuple[str, ...]
    mid: str | None
    taken: bool
    """We take it; all others are refused."""


@dataclass(frozen=True, slots=True)
class DtlsParameters:
    """``fingerprints``: hash name and value of certificates, one of which must be seen. ``setup``: the browser's."""

    fingerprints: tuple[tuple[str, str], ...] = field(repr=False)
    setup: str


@dataclass(frozen=True, slots=True)
class AudioOffer:
    """The voice that we take, with the one codec that we chose."""

    mid: str | None
    codec: MediaCodec
    payload_type: int
    fmtp: str
    dtmf_type: int | None
    """Of telephone-event with the codec's own clock (RFC 4733 §7.1)."""
    ptime_ms: int
    direction: Direction
    """The browser's."""


@dataclass(frozen=True, slots=True)
class DataOffer:
    """The transport of data channels (RFC 8841)."""

    mid: str
    sctp_port: int
    max_message_bytes: int


@dataclass(frozen=True, slots=True)
class BrowserOffer:
    """All that matters of an offer. ``lines`` are all its streams in order, ``bundle`` the mids that we take of its
    group: the first one's transport carries them all.
    """

    ice: IceParameters
    dtls: DtlsParameters
    audio: AudioOffer
    data: DataOffer | None
    lines: tuple[OfferedLine, ...] = field(repr=False)
    bundle: tuple[str, ...] = ()


def read_offer(body: bytes, codecs: Sequence[MediaCodec] = CODECS) -> BrowserOffer:
    """Read an offer; ``codecs`` are those we speak, best first. Raises BadOfferError, never anything else."""
    lines = body.count(b"\n", 0, MAX_BYTES)
    if lines > MAX_LINES and len(body) <= MAX_BYTES:
        raise BadOfferError("too_many_lines", f"expected at most {MAX_LINES} lines, got {lines}")
    try:
        description = parse_sdp(body)
    except SdpError as error:
        raise BadOfferError(error.reason, str(error)) from None
    group = _bundle(description)
    audio_index, audio = _first_audio(description, group, codecs)
    data_index, data = _first_data(description, group)
    if data is not None and (audio.mid not in group or data.mid not in group):
        raise BadOfferError("no_bundle", "expected audio and data channel in one a=group:BUNDLE, got them apart")
    taken = {audio_index: audio.mid, data_index: None if data is None else data.mid}
    bundle = tuple(mid for mid in group if mid in taken.values())
    transport = _transport(description, bundle, description.media[audio_index])
    streams = tuple(
        OfferedLine(media.kind, media.protocol, media.formats, media.get("mid"), index in taken)
        for index, media in enumerate(description.media)
    )
    return BrowserOffer(_ice(description, transport), _dtls(description, transport), audio, data, streams, bundle)


def plan_of(offer: BrowserOffer) -> MediaPlan:
    """What an offer and our answer to it mean for the stream. Nothing passes before the keys of the handshake."""
    audio = offer.audio
    role = DtlsRole.SERVER if offer.dtls.setup == "active" else DtlsRole.CLIENT
    fingerprints = tuple(
        Fingerprint(name, bytes.fromhex(value.replace(":", ""))) for name, value in offer.dtls.fingerprints
    )
    wishes = read_wishes(audio.fmtp)
    return MediaPlan(
        bitrate_bps=wishes.bitrate_bps,
        fec=wishes.fec,
        codec=audio.codec,
        payload_type_out=audio.payload_type,
        payload_type_in=audio.payload_type,
        remote=ICE_SOURCE,
        remote_rtcp=ICE_SOURCE,
        direction=audio.direction.answered_by(Direction.SENDRECV),
        ptime_ms=audio.ptime_ms,
        rtcp_mux=True,
        dtmf_out=audio.dtmf_type,
        dtmf_in=audio.dtmf_type,
        security=DtlsSetup(role, fingerprints),
    )


def _bundle(description: SessionDescription) -> tuple[str, ...]:
    """The mids of the group that has the first stream of all; browsers write one group only."""
    mids = [mid for mid in (media.get("mid") for media in description.media) if mid is not None]
    if any(_MID.fullmatch(mid) is None for mid in mids) or len(set(mids)) < len(mids):
        raise BadOfferError("bad_mid", "expected a=mid to be tokens, each another, got something else")
    for value in description.get_all("group"):
        semantics, *group = value.split()[:33] or ("",)
        if semantics == "BUNDLE":
            return tuple(dict.fromkeys(group))
    return ()


def _offered(media: Media, group: Sequence[str]) -> bool:
    """Whether the stream is there at all: port 0 says no, unless it only wants to be bundled (RFC 9143 §6)."""
    return media.port != 0 or (media.get("bundle-only") is not None and media.get("mid") in group)


def _first_audio(
    description: SessionDescription, group: Sequence[str], codecs: Sequence[MediaCodec]
) -> tuple[int, AudioOffer]:
    refusal: BadOfferError | None = None
    for index, media in enumerate(description.media):
        if media.kind != "audio" or not _offered(media, group):
            continue
        try:
            return index, _audio(description, media, codecs)
        except BadOfferError as error:
            refusal = refusal or error
    raise refusal or BadOfferError("no_audio", "expected an audio stream, got none")


def _audio(description: SessionDescription, media: Media, codecs: Sequence[MediaCodec]) -> AudioOffer:
    if _RTP.fullmatch(media.protocol) is None:
        raise BadOfferError("no_dtls", f"expected UDP/TLS/RTP/SAVPF, got {media.protocol[:40]!r}")
    direction = description.direction_of(media)
    if direction is Direction.INACTIVE:
        raise BadOfferError("no_audio", "expected audio that is sent or received, got an inactive stream")
    if media.get("rtcp-mux") is None:
        raise BadOfferError("no_rtcp_mux", "expected a=rtcp-mux for the audio (RFC 8834), got none")
    names, parameters = _by_type(media, "rtpmap"), _by_type(media, "fmtp")
    found: dict[tuple[str, int, int], int] = {}
    for text in media.formats:
        number = _payload_type(text)
        if number is not None:
            found.setdefault(_encoding(names.get(number, _WITHOUT_RTPMAP.get(number, ""))), number)
    for codec in codecs:
        clock_hz, channels = ENCODINGS[codec]
        payload_type = found.get((codec.value.lower(), clock_hz, channels))
        if payload_type is not None:
            dtmf = found.get(("telephone-event", clock_hz, 1))
            fmtp = parameters.get(payload_type, "")
            return AudioOffer(media.get("mid"), codec, payload_type, fmtp, dtmf, read_ptime(media, PTIME_MS), direction)
    raise BadOfferError("no_codec", f"expected {' or '.join(codecs)}, got formats without any")


def _first_data(description: SessionDescription, group: Sequence[str]) -> tuple[int, DataOffer | None]:
    for index, media in enumerate(description.media):
        mid, port = media.get("mid"), _whole(media.get("sctp-port"), 65_535)
        if (
            media.kind == "application"
            and _offered(media, group)
            and _SCTP.fullmatch(media.protocol)
            and media.formats == (_CHANNELS,)
            and port
        ):
            if mid is None:
                raise BadOfferError("no_bundle", "expected a=mid for the data channel, got none")
            size = _whole(media.get("max-message-size"), 2**32)
            # 0 is any size (RFC 8841 §6.1), and more than we ever send is as good.
            return index, DataOffer(mid, port, _MAX_MESSAGE_BYTES if size is None else size or 2**32)
    return -1, None


def _transport(description: SessionDescription, bundle: Sequence[str], audio: Media) -> Media:
    """The stream whose transport carries all that we take: the first of its group (RFC 9143 §7.3.1)."""
    by_mid = {media.get("mid"): media for media in description.media}
    candidates = [by_mid[mid] for mid in bundle if by_mid[mid].port != 0]
    return candidates[0] if candidates else audio


def _ice(description: SessionDescription, media: Media) -> IceParameters:
    ufrag = media.get("ice-ufrag") or description.get("ice-ufrag")
    pwd = media.get("ice-pwd") or description.get("ice-pwd")
    end = (media.get("end-of-candidates"), description.get("end-of-candidates")) != (None, None)
    return IceParameters(*read_credentials(ufrag, pwd), read_candidates(media.get_all("candidate")), end)


def _dtls(description: SessionDescription, media: Media) -> DtlsParameters:
    fingerprints = read_fingerprints(description, media)
    if not fingerprints:
        raise BadOfferError("no_fingerprint", "expected a=fingerprint of sha-256 or better, got none")
    setup = read_setup(description, media, "active")
    if setup not in _SETUPS:
        raise BadOfferError("bad_setup", f"expected a=setup of active, passive or actpass, got {setup[:20]!r}")
    return DtlsParameters(tuple((name, digest.hex(":").upper()) for name, digest in fingerprints), setup)


def _by_type(media: Media, name: str) -> dict[int, str]:
    """``a=name:<payload type> <rest>``, the first of each payload type."""
    found: dict[int, str] = {}
    for value in media.get_all(name):
        text, _, rest = value.partition(" ")
        number = _payload_type(text)
        if number is not None:
            found.setdefault(number, rest.strip())
    return found


def _payload_type(text: str) -> int | None:
    return _whole(text, 127)


def _encoding(text: str) -> tuple[str, int, int]:
    """Name in lower case, clock, channels."""
    name, clock, channels, *_ = (*text.split("/"), "", "")
    return name.strip().lower(), _whole(clock, 2**31) or 0, _whole(channels, 255) or 1


def _whole(text: str | None, most: int) -> int | None:
    whole = (text or "").strip()
    return int(whole) if whole.isascii() and whole.isdigit() and len(whole) <= 10 and int(whole) <= most else None
