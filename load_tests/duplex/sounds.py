"""What a caller may sound like, labelled to the sample: 8 kHz PCM within the telephone's band, then µ-law.

Every sound begins with its first sample that counts, so that the moment it is played is its onset.
"""

import random
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model_worker.tts.espeak import EspeakTts
from wire.audio.g711 import decode_ulaw, encode_ulaw
from wire.audio.resample import Resampler

RATE_HZ = 8_000
VOICES = ("en-us", "en-gb", "en-us+f3", "en-gb+m7")
JFK = Path(__file__).parents[2] / "tests" / "data" / "jfk_8k_ulaw.wav"
INTERRUPTIONS = (
    "What is your address?",
    "I would like to make an appointment.",
    "How much does a check up cost?",
    "When are you open?",
    "Stop. What are your prices?",
)
BACKCHANNELS = ("mhm", "okay", "right", "I see", "yeah", "uh-huh", "thank you")
_QUIET = 200  # of 32,768: what is below does not count as begun

Pcm = npt.NDArray[np.float64]


class Kind(StrEnum):
    """What a sound is, and so what the agent should do about it."""

    INTERRUPTION = "interruption"
    REAL_INTERRUPTION = "interruption, real speech"
    BACKCHANNEL = "backchannel"
    COUGH = "cough"
    CLICK = "click"
    TONE = "tone"

    @property
    def takes_floor(self) -> bool:
        return self in (Kind.INTERRUPTION, Kind.REAL_INTERRUPTION)


@dataclass(frozen=True, slots=True)
class Sound:
    """``ulaw`` begins with the onset; ``label`` says what is heard, and by whom it is spoken."""

    kind: Kind
    label: str
    ulaw: bytes

    @property
    def seconds(self) -> float:
        return len(self.ulaw) / RATE_HZ


class Repertoire:
    """All sounds, made once. ``close`` it."""

    def __init__(self) -> None:
        self._voices = {name: EspeakTts(name, 170, 50) for name in VOICES}
        self._jfk = _read(JFK)

    def close(self) -> None:
        for voice in self._voices.values():
            voice.close()

    def sounds(self, kind: Kind, count: int, seed: int) -> list[Sound]:
        """``count`` different ones of a kind, the same for the same seed."""
        chance = random.Random(f"{seed} {kind}")
        return [self._make(kind, number, chance) for number in range(count)]

    def said(self, text: str, voice: str) -> bytes:
        """A text by one of ``VOICES``, trimmed, µ-law."""
        utterance = self._voices[voice].synthesize(text)
        resampler = Resampler(utterance.sample_rate_hz, RATE_HZ)
        pcm = np.concatenate((resampler.push(utterance.pcm), resampler.flush())).astype(np.float64)
        return to_line(pcm)

    def _make(self, kind: Kind, number: int, chance: random.Random) -> Sound:
        noise = np.random.default_rng(chance.getrandbits(32))
        match kind:
            case Kind.INTERRUPTION | Kind.BACKCHANNEL:
                texts = INTERRUPTIONS if kind is Kind.INTERRUPTION else BACKCHANNELS
                text, voice = texts[number % len(texts)], VOICES[number // len(texts) % len(VOICES)]
                return Sound(kind, f"{text!r} ({voice})", self.said(text, voice))
            case Kind.REAL_INTERRUPTION:
                begin_s = (1.0, 5.35, 5.9, 6.4, 8.1)[number % 5]
                piece = self._jfk[round(begin_s * RATE_HZ) : round((begin_s + 2.0) * RATE_HZ)]
                return Sound(kind, f"a man's recording from {begin_s} s", to_line(piece))
            case Kind.COUGH:
                at = np.arange(round(chance.uniform(0.18, 0.7) * RATE_HZ)) / RATE_HZ
                burst = noise.normal(0, 1, len(at)) * np.exp(-at / chance.uniform(0.04, 0.3)) * 9_000
                return Sound(kind, f"cough of {at[-1]:.2f} s", to_line(burst))
            case Kind.CLICK:
                samples = round(chance.uniform(0.004, 0.02) * RATE_HZ)
                return Sound(kind, "click", to_line(noise.normal(0, 12_000, samples)))
            case Kind.TONE:
                hz, seconds = chance.choice((350.0, 440.0, 1_000.0)), chance.uniform(0.2, 0.5)
                at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
                return Sound(kind, f"tone of {hz:.0f} Hz", to_line(6_000 * np.sin(2 * np.pi * hz * at)))


def to_line(pcm: Pcm) -> bytes:
    """As a telephone carries it: 300 to 3,400 Hz, µ-law, from the first sample that counts."""
    spectrum = np.fft.rfft(pcm)
    hz = np.fft.rfftfreq(len(pcm), 1 / RATE_HZ)
    spectrum[(hz < 300) | (hz > 3_400)] = 0
    band = np.fft.irfft(spectrum, len(pcm))
    loud = np.flatnonzero(np.abs(band) > max(_QUIET, np.abs(band).max() / 20))  # 26 dB below its loudest sample
    if len(loud) == 0:
        raise ValueError("a sound that nobody can hear")
    return encode_ulaw(np.clip(np.rint(band[loud[0] : loud[-1] + 1]), -32_000, 32_000).astype(np.int16))


def pauses(ulaw: bytes) -> Iterator[tuple[float, float]]:
    """Silences of 0.3 s or more within a sound: (begin, end) in seconds."""
    frames = np.abs(decode_ulaw(ulaw).astype(np.float64))[: len(ulaw) // 160 * 160].reshape(-1, 160).mean(axis=1)
    quiet = frames < frames.max() / 20
    begin: int | None = None
    for number, silent in enumerate([*quiet.tolist(), False]):
        if silent and begin is None:
            begin = number
        elif not silent and begin is not None:
            if number - begin >= 15 and begin > 0 and number < len(quiet):
                yield begin * 0.02, number * 0.02
            begin = None


def joined(parts: Sequence[bytes], pause_s: float) -> bytes:
    """Parts of one turn with a pause between them."""
    return (b"\xff" * round(pause_s * RATE_HZ)).join(parts)


def _read(path: Path) -> Pcm:
    try:
        with wave.open(str(path), "rb") as file:  # PCM only
            return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
    except wave.Error:
        data = path.read_bytes()
        at = data.index(b"data") + 8
        return decode_ulaw(data[at:]).astype(np.float64)
