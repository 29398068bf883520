"""What the payload types of an audio stream mean (RFC 3551, RFC 8866 §6.6, RFC 4733, RFC 7587)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.sdp.description import Attribute, Media
from gateway.sdp.opus import NO_WISHES, OUR_WISHES, OpusWishes, read_wishes

CLOCK_HZ = 8_000
"""The RTP clock of every codec here but Opus; G.722 has it by an old mistake that stays (RFC 3551 §4.5.2)."""
OPUS_CLOCK_HZ = 48_000

CN_TYPE = 13  # RFC 3389 §4
DTMF_TYPES = {CLOCK_HZ: 101, OPUS_CLOCK_HZ: 110}  # by clock, what most peers use: fewer of them stumble
DTMF_EVENTS = "0-15"
_KEYS = frozenset(range(12))  # 0-9, * and #

MIN_PTIME_MS = 10
MAX_PTIME_MS = 60


class MediaCodec(StrEnum):
    """The codecs we speak, by their names in ``a=rtpmap``."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"
    OPUS = "opus"

    @property
    def payload_type(self) -> int:
        """The static one (RFC 3551 §6); of Opus, which has none, the one browsers use."""
        return _STATIC[self]

    @property
    def clock_hz(self) -> int:
        return OPUS_CLOCK_HZ if self is MediaCodec.OPUS else CLOCK_HZ

    @property
    def encoding(self) -> str:
        """What ``a=rtpmap`` calls it. Opus always says two channels, and means any number (RFC 7587 §7)."""
        return f"{self.value}/{self.clock_hz}/2" if self is MediaCodec.OPUS else f"{self.value}/{self.clock_hz}"


_STATIC = {MediaCodec.PCMU: 0, MediaCodec.PCMA: 8, MediaCodec.G722: 9, MediaCodec.OPUS: 111}
_WITHOUT_RTPMAP = {0: "pcmu", 8: "pcma", 9: "g722", CN_TYPE: "cn"}
_CODECS = {codec.value.lower(): codec for codec in MediaCodec}
_CLOCKS = {
    "pcmu": (CLOCK_HZ,),
    "pcma": (CLOCK_HZ,),
    "g722": (CLOCK_HZ, 16_000),  # the second is a common slip of the pen
    "opus": (OPUS_CLOCK_HZ,),
    "cn": (CLOCK_HZ,),
    "telephone-event": (CLOCK_HZ, OPUS_CLOCK_HZ),
}


@dataclass(frozen=True, slots=True)
class Events:
    """telephone-event on one clock: a stream needs those of its codec's (RFC 4733 §2.1)."""

    payload_type: int
    takes_keys: bool
    """False when they leave out keys of a telephone (RFC 4733 §2.4.1)."""


@dataclass(frozen=True, slots=True)
class Formats:
    """The formats of one stream that we know. ``codecs`` has their payload types, in the order of the ``m=`` line."""

    codecs: dict[MediaCodec, int]
    events: dict[int, Events] = field(default_factory=dict)
    """By their RTP clock."""
    cn: int | None = None
    wishes: OpusWishes = NO_WISHES
    """Of Opus, if it is among them."""


def read_formats(media: Media) -> Formats:
    """Read ``m=``, ``a=rtpmap`` and ``a=fmtp``. Formats that we do not know are left out, faulty ones too."""
    names, parameters = _maps(media, "rtpmap"), _maps(media, "fmtp")
    codecs: dict[MediaCodec, int] = {}
    events: dict[int, Events] = {}
    cn = None
    for text in media.formats:
        number = _payload_type(text)
        if number is None:
            continue
        name, rate_hz, channels = _encoding(names.get(number, _WITHOUT_RTPMAP.get(number, "")))
        if rate_hz not in _CLOCKS.get(name, ()) or channels > (2 if name == "opus" else 1):
            continue
        if name in _CODECS:
            codecs.setdefault(_CODECS[name], number)
        elif name == "telephone-event":
            events.setdefault(rate_hz, Events(number, _takes_keys(parameters.get(number, DTMF_EVENTS))))
        elif cn is None:
            cn = number
    return Formats(codecs, events, cn, read_wishes(parameters.get(codecs.get(MediaCodec.OPUS, -1), "")))


def write_formats(
    codecs: dict[MediaCodec, int], events: dict[int, int], cn: int | None
) -> tuple[list[str], list[Attribute]]:
    """The formats of an ``m=`` line, and the attributes that explain them. ``events`` are payload types by clock."""
    formats = [(number, codec.encoding) for codec, number in codecs.items()]
    if cn is not None:
        formats.append((cn, f"CN/{CLOCK_HZ}"))
    formats += [(number, f"telephone-event/{clock_hz}") for clock_hz, number in events.items()]
    attributes = [Attribute("rtpmap", f"{number} {name}") for number, name in formats]
    if MediaCodec.OPUS in codecs:
        attributes.append(Attribute("fmtp", f"{codecs[MediaCodec.OPUS]} {OUR_WISHES}"))
    attributes += [Attribute("fmtp", f"{number} {DTMF_EVENTS}") for number in events.values()]
    return [str(number) for number, _ in formats], attributes


def read_ptime(media: Media, default_ms: int) -> int:
    """The milliseconds of audio the writer wants per packet (RFC 8866 §6.4): tens from 10 to 60, up to ``maxptime``."""
    asked = _whole(media.get("ptime")) or default_ms
    most = _whole(media.get("maxptime")) or MAX_PTIME_MS
    return max(MIN_PTIME_MS, min(asked, most, MAX_PTIME_MS) // 10 * 10)


def _whole(value: str | None) -> int:
    whole = (value or "").partition(".")[0].strip()
    return int(whole) if whole.isascii() and whole.isdigit() and len(whole) <= 6 else 0


def _maps(media: Media, name: str) -> dict[int, str]:
    """``a=name:<payload type> <rest>``, the first of each payload type."""
    maps: dict[int, str] = {}
    for value in media.get_all(name):
        text, _, rest = value.partition(" ")
        number = _payload_type(text)
        if number is not None:
            maps.setdefault(number, rest.strip())
    return maps


def _payload_type(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 127 else None


def _encoding(text: str) -> tuple[str, int, int]:
    """Name in lower case, clock, channels. No clock is 8 kHz: some phones leave it out."""
    name, rate, channels, *_ = (*text.split("/"), "", "")
    return name.strip().lower(), _whole(rate) if rate else CLOCK_HZ, _whole(channels) if channels else 1


def _takes_keys(events: str) -> bool:
    found: set[int] = set()
    for low, high in _ranges(events):
        found.update(range(low, min(high, 255) + 1))
    return found >= _KEYS


def _ranges(events: str) -> Iterator[tuple[int, int]]:
    for part in events.removeprefix("events=").split(",")[:64]:
        low, dash, high = (piece.strip() for piece in part.partition("-"))
        if low.isascii() and low.isdigit() and len(low) <= 3:
            if not dash:
                yield int(low), int(low)
            elif high.isascii() and high.isdigit() and len(high) <= 3:
                yield int(low), int(high)
