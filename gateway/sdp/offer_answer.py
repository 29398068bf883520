"""Offers and answers for the one audio stream of a call (RFC 3264, RFC 6337, RFC 4568, RFC 5763).

Only functions: the caller keeps two values between them, ``last`` (the description we sent last) and ``plan`` (the
media now in force). Given those, the stream keeps its place among the ``m=`` lines, every change raises the version,
codec and keys in use stay, and protection that a call once has is never given up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.sdp.crypto import SUITES, CryptoLine, read_crypto
from gateway.sdp.description import Attribute, Direction, Media, SessionDescription
from gateway.sdp.dtls import DtlsRole, read_fingerprints, read_setup
from gateway.sdp.errors import NegotiationError, NoCommonCodecError, SecurityMismatchError
from gateway.sdp.formats import (
    CLOCK_HZ,
    CN_TYPE,
    DTMF_TYPES,
    Formats,
    MediaCodec,
    read_formats,
    read_ptime,
    write_formats,
)
from gateway.sdp.local import LocalMedia
from gateway.sdp.plan import MediaPlan, Reach, remote_of, remote_rtcp_of
from gateway.sdp.security import (
    DtlsOffer,
    DtlsSetup,
    Profile,
    SdesKeys,
    Security,
    SecurityMethod,
    SecurityMode,
    read_offered,
)

NewKey = Callable[[int], bytes]
"""So many bytes nobody can guess."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """Our answer to an offer, and what the two mean."""

    answer: SessionDescription
    plan: MediaPlan


@dataclass(frozen=True, slots=True)
class _Fit:
    """An offered stream that we can take."""

    index: int
    media: Media
    formats: Formats
    codec: MediaCodec
    protection: CryptoLine | DtlsOffer | None


def make_offer(
    local: LocalMedia, new_key: NewKey, last: SessionDescription | None = None, plan: MediaPlan | None = None
) -> SessionDescription:
    """Offer our audio; hold and unhold are offers with another ``local.direction``.

    Raises SecurityMismatchError when the policy asks for protection and there is no way to offer it.
    """
    index = None if last is None else _audio_index(last)
    mine = last.media[index] if last is not None and index is not None else None
    known = None if mine is None else read_formats(mine)
    codecs = sorted(local.codecs, key=lambda codec: plan is None or codec is not plan.codec)
    types = _payload_types(codecs, known)
    events = _event_types(codecs, known, set(types.values())) if local.dtmf else {}
    formats, described = write_formats(types, events, CN_TYPE if local.comfort_noise else None)
    protocol, protection = _offered_protection(local, new_key, mine, plan)
    stream = local.stream(
        protocol,
        formats,
        described,
        direction=local.direction,
        ptime_ms=local.ptime_ms,
        mux=local.rtcp_mux,
        protection=protection,
    )
    media = [_refused(one) for one in last.media] if last is not None else []
    if index is None:
        media.append(stream)
    else:
        media[index] = stream
    return local.describe(media, last)


def answer_offer(
    offer: SessionDescription,
    local: LocalMedia,
    new_key: NewKey,
    last: SessionDescription | None = None,
    plan: MediaPlan | None = None,
) -> Agreed:
    """Take one audio stream of an offer, with one codec, and refuse all other streams.

    Raises NoCommonCodecError and SecurityMismatchError; answer 488 to either.
    """
    fit = _best_fit(offer, local, None if last is None else _audio_index(last), plan)
    media, codec = fit.media, fit.codec
    payload_type = fit.formats.codecs[codec]
    events = fit.formats.events.get(codec.clock_hz) if local.dtmf else None
    cn = fit.formats.cn if local.comfort_noise and codec.clock_hz == CLOCK_HZ else None
    remote, reach = remote_of(offer, media, local.address)
    offered = offer.direction_of(media)
    direction = offered.answered_by(local.direction)
    if reach is Reach.HELD:
        direction = Direction.of(sends=False, receives=direction.receives)
    mux = local.rtcp_mux and media.get("rtcp-mux") is not None
    ptime_ms = read_ptime(media, local.ptime_ms)
    security, protection = _answered_protection(fit.protection, local, new_key, plan)
    answered = {} if events is None else {codec.clock_hz: events.payload_type}
    formats, described = write_formats({codec: payload_type}, answered, cn)
    stream = local.stream(
        media.protocol,
        formats,
        described,
        direction=direction,
        ptime_ms=ptime_ms,
        mux=mux,
        protection=protection,
    )
    streams = [stream if index == fit.index else _refused(one) for index, one in enumerate(offer.media)]
    agreed = MediaPlan(
        codec=codec,
        payload_type_out=payload_type,
        payload_type_in=payload_type,
        remote=remote,
        remote_rtcp=_rtcp(media, remote, reach, security, mux=mux),
        direction=direction,
        ptime_ms=ptime_ms,
        rtcp_mux=mux,
        dtmf_out=events.payload_type if events is not None and events.takes_keys else None,
        dtmf_in=None if events is None else events.payload_type,
        cn_out=cn,
        cn_in=cn,
        bitrate_bps=fit.formats.wishes.bitrate_bps,
        fec=fit.formats.wishes.fec,
        security=security,
        reach=reach,
    )
    return Agreed(local.describe(streams, last, offer.timings), agreed)


def read_answer(offer: SessionDescription, answer: SessionDescription, local: LocalMedia) -> MediaPlan:
    """What the answer makes of our own ``offer``.

    Raises NoCommonCodecError (refused, or nothing we offered), SecurityMismatchError, NegotiationError
    ("bad_answer"): the call cannot go on with this answer.
    """
    index = _audio_index(offer)
    assert index is not None  # make_offer always has one
    if len(answer.media) <= index or answer.media[index].kind.lower() != "audio":
        text = f"expected audio as stream {index + 1} of the answer, got {len(answer.media)} streams without it"
        raise NegotiationError("bad_answer", text)
    mine, theirs = offer.media[index], answer.media[index]
    if theirs.port == 0:
        raise NoCommonCodecError("refused", "expected our audio to be taken, got port 0")
    security = _read_protection(mine, answer, theirs)
    ours, formats = read_formats(mine), read_formats(theirs)
    codecs = [codec for codec in formats.codecs if codec in ours.codecs]
    if not codecs:
        expected = ", ".join(ours.codecs)
        raise NoCommonCodecError("no_common_codec", f"expected one of {expected}, got formats {_formats(theirs)}")
    codec, *others = codecs
    remote, reach = remote_of(answer, theirs, local.address)
    direction = answer.direction_of(theirs).answered_by(offer.direction_of(mine))
    if reach is Reach.HELD:
        direction = Direction.of(sends=False, receives=direction.receives)
    mux = mine.get("rtcp-mux") is not None and theirs.get("rtcp-mux") is not None
    our_events, events = ours.events.get(codec.clock_hz), formats.events.get(codec.clock_hz)
    cn = ours.cn is not None and formats.cn is not None and codec.clock_hz == CLOCK_HZ
    return MediaPlan(
        codec=codec,
        payload_type_out=formats.codecs[codec],
        payload_type_in=ours.codecs[codec],
        remote=remote,
        remote_rtcp=_rtcp(theirs, remote, reach, security, mux=mux),
        direction=direction,
        ptime_ms=read_ptime(theirs, local.ptime_ms),
        rtcp_mux=mux,
        dtmf_out=events.payload_type if our_events and events and events.takes_keys else None,
        dtmf_in=our_events.payload_type if our_events and events else None,
        cn_out=formats.cn if cn else None,
        cn_in=ours.cn if cn else None,
        bitrate_bps=formats.wishes.bitrate_bps,
        fec=formats.wishes.fec,
        security=security,
        reach=reach,
        other_codecs=tuple(others),
    )


def _audio_index(description: SessionDescription) -> int | None:
    """Where our stream stands in a description of ours: all others are refused."""
    for index, media in enumerate(description.media):
        if media.kind.lower() == "audio" and media.port != 0:
            return index
    return None


def _refused(media: Media) -> Media:
    """RFC 3264 §6: the same line with port 0."""
    return Media(media.kind, 0, media.protocol, media.formats or ("0",))


def _rtcp(media: Media, remote: tuple[str, int], reach: Reach, security: Security, *, mux: bool) -> tuple[str, int]:
    if isinstance(security, DtlsSetup) and not mux:
        return remote[0], 0
    return remote_rtcp_of(media, remote, reach, mux=mux)


def _payload_types(codecs: Sequence[MediaCodec], known: Formats | None) -> dict[MediaCodec, int]:
    """A payload type keeps its meaning through a session (RFC 3264 §8.3.2)."""
    known = known or Formats({})
    taken = {*known.codecs.values(), *(events.payload_type for events in known.events.values())}
    return {
        codec: known.codecs[codec] if codec in known.codecs else _free(codec.payload_type, taken) for codec in codecs
    }


def _event_types(codecs: Sequence[MediaCodec], known: Formats | None, taken: set[int]) -> dict[int, int]:
    """The payload types of telephone-event by clock, for each clock of the codecs."""
    types = {} if known is None else {clock_hz: events.payload_type for clock_hz, events in known.events.items()}
    for clock_hz in dict.fromkeys(codec.clock_hz for codec in codecs):
        types.setdefault(clock_hz, _free(DTMF_TYPES[clock_hz], {*taken, *types.values()}))
    return types


def _free(preferred: int, taken: set[int]) -> int:
    return preferred if preferred not in taken else min(set(range(96, 128)) - taken)


def _best_fit(offer: SessionDescription, local: LocalMedia, current: int | None, plan: MediaPlan | None) -> _Fit:
    """The stream in use, else a protected one, else the first; alternatives for one call are offered side by side."""
    fits: list[_Fit] = []
    faults: list[NegotiationError] = []
    for index, media in enumerate(offer.media):
        if media.kind.lower() != "audio" or media.port == 0:
            continue
        try:
            fits.append(_fit(offer, index, local, plan))
        except NegotiationError as error:
            faults.append(error)
    if fits:
        return min(fits, key=lambda fit: (fit.index != current, fit.protection is None, fit.index))
    if not faults:
        raise NoCommonCodecError("no_audio", f"expected an audio stream, got {len(offer.media)} streams without one")
    raise next((fault for fault in faults if isinstance(fault, SecurityMismatchError)), faults[0])


def _fit(offer: SessionDescription, index: int, local: LocalMedia, plan: MediaPlan | None) -> _Fit:
    media = offer.media[index]
    protection = read_offered(offer, media, local.security, with_dtls=local.fingerprint is not None)
    if protection is None and plan is not None and plan.security is not None:
        raise SecurityMismatchError("downgrade", "expected SRTP as in the call so far, got an offer of plain RTP")
    formats = read_formats(media)
    wanted = local.codecs if plan is None else (plan.codec, *local.codecs)  # a codec in use is left alone
    for codec in wanted:
        if codec in formats.codecs and codec in local.codecs:
            return _Fit(index, media, formats, codec, protection)
    text = f"expected one of {', '.join(local.codecs)}, got formats {_formats(media)}"
    raise NoCommonCodecError("no_common_codec", text)


def _formats(media: Media) -> str:
    return " ".join(media.formats)[:80]


def _offered_protection(
    local: LocalMedia, new_key: NewKey, mine: Media | None, plan: MediaPlan | None
) -> tuple[str, list[Attribute]]:
    """The protocol of our stream, and its keys or fingerprint. What a call has is offered again as it is."""
    security = None if plan is None else plan.security
    if isinstance(security, SdesKeys):
        protocol = Profile.SAVP.value if mine is None else mine.protocol
        return protocol, [CryptoLine(1, security.suite, security.local_key).attribute()]
    if isinstance(security, DtlsSetup):
        return Profile.DTLS.value if mine is None else mine.protocol, _dtls_attributes(local, "actpass")
    if local.security.mode is not SecurityMode.REQUIRED:
        return Profile.AVP.value, []
    if not local.methods:
        raise SecurityMismatchError("no_method", "expected a certificate for the DTLS of the policy, got none")
    if local.methods[0] is SecurityMethod.DTLS:
        return Profile.DTLS.value, _dtls_attributes(local, "actpass")
    lines = [CryptoLine(tag, suite, new_key(SUITES[suite])) for tag, suite in enumerate(local.security.suites, 1)]
    return Profile.SAVP.value, [line.attribute() for line in lines]


def _dtls_attributes(local: LocalMedia, setup: str) -> list[Attribute]:
    if local.fingerprint is None:
        raise SecurityMismatchError("no_certificate", "expected a certificate of ours for DTLS, got none")
    return [Attribute("setup", setup), local.fingerprint.attribute()]


def _answered_protection(
    offered: CryptoLine | DtlsOffer | None, local: LocalMedia, new_key: NewKey, plan: MediaPlan | None
) -> tuple[Security, list[Attribute]]:
    if offered is None:
        return None, []
    now = None if plan is None else plan.security
    if isinstance(offered, CryptoLine):
        if isinstance(now, SdesKeys) and (now.suite, now.remote_key) == (offered.suite, offered.key):
            key = now.local_key
        else:
            # A peer with a new key begins a new context, and so do we: under the old key its first packets would be
            # encrypted like the first ones of the call (RFC 3711 §9.1).
            key = new_key(SUITES[offered.suite])
        attribute = CryptoLine(offered.tag, offered.suite, key).attribute()
        return SdesKeys(offered.suite, key, offered.key), [attribute]
    if offered.setup == "actpass":
        # The one who answers begins, unless a handshake is over and stays (RFC 5763 §5, §6.6).
        kept = isinstance(now, DtlsSetup) and now.remote == offered.remote
        role = now.role if kept and isinstance(now, DtlsSetup) else DtlsRole.CLIENT
    else:
        role = DtlsRole(offered.setup).other
    return DtlsSetup(role, offered.remote), _dtls_attributes(local, role.value)


def _read_protection(mine: Media, answer: SessionDescription, theirs: Media) -> Security:
    profile = Profile.of(mine.protocol)
    if Profile.of(theirs.protocol) is not profile:
        text = f"expected {mine.protocol} as offered, got {theirs.protocol[:40]!r}"
        raise SecurityMismatchError("other_transport", text)
    if mine.get("fingerprint") is not None:
        remote = read_fingerprints(answer, theirs)
        if not remote:
            raise SecurityMismatchError("no_fingerprint", "expected a sha-256 fingerprint or stronger, got none")
        word = read_setup(answer, theirs, "passive")
        if word not in ("active", "passive"):
            raise SecurityMismatchError("bad_setup", f"expected active or passive, got {word[:20]!r}")
        return DtlsSetup(DtlsRole(word).other, remote)
    own = {line.tag: line for line in read_crypto(mine)}
    if not own:
        return None
    for line in read_crypto(theirs):
        ours = own.get(line.tag)
        if ours is not None and ours.suite == line.suite and ours.key != line.key:  # never both ways under one key
            return SdesKeys(line.suite, ours.key, line.key)
    raise SecurityMismatchError("no_common_suite", "expected a key for one of the suites offered, got none")
