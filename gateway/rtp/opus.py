"""Opus for one voice (RFC 6716), over libopus: decoded straight to 16 kHz, with concealment and in-band FEC.

libopus is taken from the ``av`` package, which brings it along, or from the system. No Python package that wraps it
is alive, and what PyAV itself offers of it decodes at 48 kHz in stereo, and can neither conceal nor use FEC.
"""

import ctypes
import ctypes.util
from functools import cache
from importlib.util import find_spec
from pathlib import Path

RATE_HZ = 16_000
CLOCK_HZ = 48_000
"""The RTP clock of Opus, whatever it was made from (RFC 7587 §4.1)."""
TICKS_PER_SAMPLE = CLOCK_HZ // RATE_HZ
FRAME_SAMPLES = RATE_HZ // 50
MAX_PACKET_TICKS = CLOCK_HZ * 120 // 1_000
"""No packet is longer (RFC 6716 §3.2.5)."""
DTX_BYTES = 2
"""An encoder that has nothing to say makes packets of at most this (RFC 6716 §2.1.9)."""

_MAX_PACKET_BYTES = 1_275
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


class OpusDecoder:
    """One stream, packets in order. Everything comes as 16-bit samples at 16 kHz, little-endian bytes."""

    def __init__(self) -> None:
        """Raises OpusMissingError."""
        self._lib = _library()
        error = ctypes.c_int()
        self._state = ctypes.c_void_p(self._lib.opus_decoder_create(RATE_HZ, 1, ctypes.byref(error)))
        assert error.value == 0, "one channel of 16 kHz is among what libopus takes"
        self._samples = MAX_PACKET_TICKS // TICKS_PER_SAMPLE
        self._out = ctypes.create_string_buffer(2 * self._samples)
        self.bad = 0
        """Packets that were none, and became concealment."""

    def __del__(self) -> None:
        if (state := getattr(self, "_state", None)) is not None:
            self._lib.opus_decoder_destroy(state)

    def decode(self, payload: bytes) -> bytes:
        """A packet; one that is broken is concealed by as much as it claims to be."""
        samples = self._lib.opus_decode(self._state, payload, len(payload), self._out, self._samples, 0)
        if samples >= 0:
            return self._out.raw[: 2 * samples]
        self.bad += 1
        return self.conceal(ticks_of(payload) // TICKS_PER_SAMPLE)

    def conceal(self, samples: int) -> bytes:
        """What may have been in a packet that is lost; fades out within some 100 ms."""
        return self._lost(None, 0, samples)

    def recover(self, following: bytes, samples: int) -> bytes:
        """The last ``samples`` before ``following``, from the copy in it when it has one, else as ``conceal``."""
        return self._lost(following, 1, samples)

    def _lost(self, payload: bytes | None, fec: int, samples: int) -> bytes:
        audio = b""
        # libopus makes whole multiples of 2.5 ms, and of FEC what one packet holds; the rest is silence, a tick or two.
        step = RATE_HZ // 400
        while (missing := samples - len(audio) // 2) >= step:
            size = min(missing // step * step, self._samples)
            length = 0 if payload is None else len(payload)
            made = self._lib.opus_decode(self._state, payload, length, self._out, size, fec)
            if made <= 0:
                break
            audio += self._out.raw[: 2 * made]
        return audio + bytes(2 * samples - len(audio))


class OpusEncoder:
    """One voice at 16 kHz into packets of 20 ms."""

    def __init__(self, bitrate: int = 24_000, complexity: int = 0, loss_percent: int = 5) -> None:
        """``loss_percent`` is what FEC prepares for; 0 switches it off. Raises OpusMissingError."""
        self._lib = _library()
        error = ctypes.c_int()
        self._state = ctypes.c_void_p(self._lib.opus_encoder_create(RATE_HZ, 1, _APPLICATION_VOIP, ctypes.byref(error)))
        assert error.value == 0, "one channel of 16 kHz is among what libopus takes"
        self._out = ctypes.create_string_buffer(_MAX_PACKET_BYTES)
        for request, value in (
            (_SET_BITRATE, bitrate),
            (_SET_COMPLEXITY, complexity),
            (_SET_SIGNAL, _SIGNAL_VOICE),
            (_SET_INBAND_FEC, int(loss_percent > 0)),
            (_SET_PACKET_LOSS, loss_percent),
            (_SET_DTX, 0),  # silence is known before it is encoded, see the sender
        ):
            self._lib.opus_encoder_ctl(self._state, request, ctypes.c_int(value))

    def __del__(self) -> None:
        if (state := getattr(self, "_state", None)) is not None:
            self._lib.opus_encoder_destroy(state)

    def encode(self, pcm: bytes) -> bytes:
        """20 ms of 16-bit samples, 640 octets, as one packet."""
        assert len(pcm) == 2 * FRAME_SAMPLES, "the sender cuts whole frames"
        size = self._lib.opus_encode(self._state, pcm, FRAME_SAMPLES, self._out, _MAX_PACKET_BYTES)
        assert size > 0, "a whole frame can always be encoded"
        return self._out.raw[:size]


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
