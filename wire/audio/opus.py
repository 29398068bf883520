"""Opus for one voice (RFC 6716), over libopus: decoded straight to the rate that is wanted, with in-band FEC.

libopus is taken from the ``av`` package, which brings it along, or from the system. No Python package that wraps it
is alive, and what PyAV itself offers of it decodes at 48 kHz in stereo, and cannot use FEC.
"""

import ctypes
import ctypes.util
from functools import cache
from importlib.util import find_spec
from pathlib import Path

RATE_HZ = 16_000
"""What the phone side hears of it, unless another rate is asked for: 8, 12, 16, 24 or 48 kHz."""
CLOCK_HZ = 48_000
"""The RTP clock of Opus, whatever it was made from (RFC 7587 §4.1)."""
FRAME_SAMPLES = RATE_HZ // 50
MAX_PACKET_TICKS = CLOCK_HZ * 120 // 1_000
"""No packet is longer (RFC 6716 §3.2.5)."""
DTX_BYTES = 2
"""An encoder that has nothing to say makes packets of at most this (RFC 6716 §2.1.9)."""
BITRATE_BPS = 24_000
REPEATING_BPS = 32_000
"""What a voice takes when each packet of speech holds the one before it too; with less, libopus leaves the repeats out
or narrows the band (measured with 1.6.1)."""

_MIN_BITRATE_BPS = 6_000
_MAX_PACKET_BYTES = 1_275
_CELT = 16  # from this configuration on
_PACKET_MS = (60, 40, 20, 10)
_SPEECH_FRAME_TICKS = 960
_APPLICATION_VOIP = 2_048
_SET_BITRATE, _SET_COMPLEXITY, _SET_INBAND_FEC, _SET_PACKET_LOSS, _SET_DTX = 4_002, 4_010, 4_012, 4_014, 4_016
_SET_SIGNAL, _SIGNAL_VOICE = 4_024, 3_001

# Ticks of a frame by the configuration in the first octet: SILK, hybrid, CELT (RFC 6716 §3.1, table 2).
_FRAME_TICKS = tuple(
    ticks
    for durations, modes in (((480, 960, 1_920, 2_880), 3), ((480, 960), 2), ((120, 240, 480, 960), 4))
    for _ in range(modes)
    for ticks in durations
)


class OpusMissingError(Exception):
    """There is no libopus on this machine."""

    def __init__(self) -> None:
        super().__init__("Opus needs libopus: pip install 'twowire[webrtc]', or the system's libopus0")


def ticks_of(payload: bytes) -> int:
    """How long a packet is, in ticks of 48 kHz; 0 for one that is none (RFC 6716 §3.1, §3.4)."""
    if not payload:
        return 0
    frame, code = _FRAME_TICKS[payload[0] >> 3], payload[0] & 3
    if code == 0:
        return frame
    if code < 3:
        return 2 * frame
    ticks = frame * (payload[1] & 0x3F) if len(payload) > 1 else 0
    return ticks if ticks <= MAX_PACKET_TICKS else 0


def has_repeat(payload: bytes) -> bool:
    """Whether a packet holds the one before it once more, for the case that it is lost (RFC 6716 §4.2.3 to §4.2.5).

    Only speech modes do, where a flag follows those of voice activity, one for each 20 ms. It is looked for where it
    stands in packets of one frame, which is what speech is sent in (RFC 6716 §3.2.2).
    """
    if len(payload) <= DTX_BYTES or payload[0] & 3 or payload[0] >> 3 >= _CELT:
        return False
    voiced = max(1, _FRAME_TICKS[payload[0] >> 3] // _SPEECH_FRAME_TICKS)
    channels = 2 if payload[0] & 4 else 1
    flags = [payload[1] >> 7 - voiced - channel * (voiced + 1) & 1 for channel in range(channels)]
    return any(flags)


def packet_ms(asked_ms: int) -> int:
    """The longest packet of one frame that is no longer than asked for, which is 10 ms or more."""
    return next((size_ms for size_ms in _PACKET_MS if size_ms <= asked_ms), _PACKET_MS[-1])


class OpusDecoder:
    """One stream, packets in order. Everything comes as 16-bit samples at ``rate_hz``, little-endian bytes."""

    def __init__(self, rate_hz: int = RATE_HZ) -> None:
        """Raises OpusMissingError."""
        self._lib = _library()
        error = ctypes.c_int()
        self._state = ctypes.c_void_p(self._lib.opus_decoder_create(rate_hz, 1, ctypes.byref(error)))
        assert error.value == 0, "one channel of this rate is among what libopus takes"
        self._ticks_per_sample = CLOCK_HZ // rate_hz
        self._samples = MAX_PACKET_TICKS // self._ticks_per_sample
        self._out = ctypes.create_string_buffer(2 * self._samples)

    def __del__(self) -> None:
        if (state := getattr(self, "_state", None)) is not None:
            self._lib.opus_decoder_destroy(state)

    def decode(self, payload: bytes) -> bytes:
        """As much as ``ticks_of`` says; nothing when this is no packet."""
        return self._run(payload, self._samples, 0) if payload else b""  # libopus takes an empty one for a loss

    def recover(self, following: bytes) -> bytes:
        """The packet before ``following``, lost and as long, from the copy in that; nothing when it has none."""
        return self._run(following, ticks_of(following) // self._ticks_per_sample, 1) if has_repeat(following) else b""

    def _run(self, payload: bytes, samples: int, fec: int) -> bytes:
        made = self._lib.opus_decode(self._state, payload, len(payload), self._out, samples, fec)
        return self._out.raw[: 2 * made] if made > 0 else b""


class OpusEncoder:
    """One voice at ``rate_hz``, packet by packet."""

    def __init__(
        self,
        bitrate_bps: int = REPEATING_BPS,
        complexity: int = 0,
        loss_percent: int = 10,
        *,
        dtx: bool = False,
        rate_hz: int = RATE_HZ,
    ) -> None:
        """``loss_percent`` is what FEC prepares for; 0 switches it off, below 10 libopus does. Raises OpusMissingError.

        ``complexity`` goes up to 10, at a price: 0 takes 57 µs for 20 ms, 5 takes 154. With ``dtx``, pauses become
        packets of ``DTX_BYTES`` or less.
        """
        self._lib = _library()
        error = ctypes.c_int()
        self._state = ctypes.c_void_p(self._lib.opus_encoder_create(rate_hz, 1, _APPLICATION_VOIP, ctypes.byref(error)))
        assert error.value == 0, "one channel of this rate is among what libopus takes"
        self._out = ctypes.create_string_buffer(_MAX_PACKET_BYTES)
        for request, value in (
            (_SET_BITRATE, max(bitrate_bps, _MIN_BITRATE_BPS)),
            (_SET_COMPLEXITY, complexity),
            (_SET_SIGNAL, _SIGNAL_VOICE),
            (_SET_INBAND_FEC, int(loss_percent > 0)),
            (_SET_PACKET_LOSS, loss_percent),
            (_SET_DTX, int(dtx)),
        ):
            self._lib.opus_encoder_ctl(self._state, request, ctypes.c_int(value))

    def __del__(self) -> None:
        if (state := getattr(self, "_state", None)) is not None:
            self._lib.opus_encoder_destroy(state)

    def encode(self, pcm: bytes) -> bytes:
        """16-bit samples of 10, 20, 40 or 60 ms as one packet."""
        size = self._lib.opus_encode(self._state, pcm, len(pcm) // 2, self._out, _MAX_PACKET_BYTES)
        assert size > 0, "the sender cuts whole frames"
        return self._out.raw[:size]


def require_libopus() -> None:
    """Raise OpusMissingError when a process starts, and not in its first call."""
    _library()


@cache
def _library() -> ctypes.CDLL:
    lib = ctypes.CDLL(_find())
    pointer, number, octets = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    for name, result, arguments in (
        ("opus_decoder_create", pointer, (number, number, ctypes.POINTER(number))),
        ("opus_decoder_destroy", None, (pointer,)),
        ("opus_decode", number, (pointer, octets, number, pointer, number, number)),
        ("opus_encoder_create", pointer, (number, number, number, ctypes.POINTER(number))),
        ("opus_encoder_destroy", None, (pointer,)),
        ("opus_encode", number, (pointer, octets, number, pointer, number)),
        # Named so far as they are fixed: some machines pass what varies elsewhere (ctypes, "variadic functions").
        ("opus_encoder_ctl", number, (pointer, number)),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def _find() -> str:
    package = find_spec("av")
    if package is not None and package.origin is not None:
        home = Path(package.origin).parent
        for pattern in (home.parent / "av.libs" / "libopus*", home / ".dylibs" / "libopus*", home / "libopus*"):
            for found in sorted(pattern.parent.glob(pattern.name)):
                return str(found)
    system = ctypes.util.find_library("opus")
    if system is None:
        raise OpusMissingError
    return system
