"""What a caller may sound like, labelled to the sample: 8 kHz PCM within the telephone's band, then µ-law.

Every sound begins with its first sample that counts, so that the moment it is played is its onset.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from load_tests.duplex.recordings import ONSETS, RATE_HZ, TURNS, Recording, cut
from model_worker.tts.espeak import EspeakTts
from wire.audio.g711 import decode_ulaw, encode_ulaw
from wire.audio.resample import Resampler

VOICES = ("en-us", "en-gb", "en-us+f3", "en-gb+m7")
INTERRUPTIONS = (
    "What is your address?",
    "I would like to make an appointment.",
    "How much does a check up cost?",
    "When are you open?",
    "Stop. What are your prices?",
)
CORRECTIONS = (
    "What is your, no wait, when are you open?",
    "I need an appointment, sorry, I mean your address.",
    "How much is, no, where do I find you?",
)
ASIDES = ("Close the door please.", "I am on the phone.", "Hold on a second.", "Could you turn that down?")
BACKCHANNELS = ("mhm", "okay", "right", "I see", "yeah", "uh-huh", "thank you")
_QUIET = 200  # of 32,768: what is below does not count as begun

Pcm = npt.NDArray[np.float64]


class Kind(StrEnum):
    """What a sound is, and so what the agent should do about it."""

    INTERRUPTION = "interruption"
    REAL_INTERRUPTION = "interruption, real speech"
    NOISY_INTERRUPTION = "interruption in noise"
    CORRECTION = "interruption that corrects itself"
    BACKCHANNEL = "backchannel"
    COUGH = "cough"
    CLICK = "click"
    TONE = "tone"
    ASIDE = "to somebody else"
    BACKGROUND = "voice in the background, real speech"
    NOISE = "noise"
    TURN = "turn, real speech"

    @property
    def takes_floor(self) -> bool:
        return self in _TAKE_FLOOR

    @property
    def over_voice(self) -> bool:
        """Made while the agent speaks; a turn comes into silence."""
        return self is not Kind.TURN


_TAKE_FLOOR = frozenset({Kind.INTERRUPTION, Kind.REAL_INTERRUPTION, Kind.NOISY_INTERRUPTION, Kind.CORRECTION})


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
            case Kind.INTERRUPTION | Kind.BACKCHANNEL | Kind.CORRECTION | Kind.ASIDE | Kind.NOISY_INTERRUPTION:
                texts = _TEXTS[kind]
                text, voice = texts[number % len(texts)], VOICES[number // len(texts) % len(VOICES)]
                said, label = self.said(text, voice), f"{text!r} ({voice})"
                if kind is Kind.NOISY_INTERRUPTION:
                    snr_db = (5, 10, 20)[number % 3]
                    said, label = _in_noise(said, snr_db, noise), f"{label} at {snr_db} dB"
                return Sound(kind, label, said)
            case Kind.REAL_INTERRUPTION:
                recording, begin_s = ONSETS[number % len(ONSETS)]
                return _recorded(kind, recording, begin_s, begin_s + 1.7)
            case Kind.TURN:
                return _recorded(kind, *TURNS[number % len(TURNS)])
            case Kind.BACKGROUND:
                recording, begin_s = ONSETS[(number + 5) % len(ONSETS)]
                level_db = -48 - 4 * (number % 3)  # the caller's own voice is at -25
                piece = cut(recording, begin_s, begin_s + 1.7)
                piece = piece * (32_768 * 10 ** (level_db / 20) / np.sqrt(np.mean(piece**2)))
                return Sound(kind, f"{recording.name} at {level_db} dBFS", to_line(piece))
            case Kind.NOISE:
                level_db = -35 - 5 * (number % 4)
                hiss = noise.normal(0, 32_768 * 10 ** (level_db / 20), round(1.5 * RATE_HZ))
                return Sound(kind, f"noise at {level_db} dBFS", to_line(hiss))
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


_TEXTS = {
    Kind.INTERRUPTION: INTERRUPTIONS,
    Kind.NOISY_INTERRUPTION: INTERRUPTIONS,
    Kind.CORRECTION: CORRECTIONS,
    Kind.BACKCHANNEL: BACKCHANNELS,
    Kind.ASIDE: ASIDES,
}


def _recorded(kind: Kind, recording: Recording, begin_s: float, end_s: float) -> Sound:
    label = f"{recording.name} from {begin_s} s to {end_s:.2f} s"
    return Sound(kind, label, to_line(cut(recording, begin_s, end_s)))


def _in_noise(ulaw: bytes, snr_db: float, noise: np.random.Generator) -> bytes:
    """Speech as a noisy place sends it: noise throughout, ``snr_db`` below the speech's mean power."""
    pcm = decode_ulaw(ulaw).astype(np.float64)
    hiss = noise.normal(0, 1, len(pcm)) * np.sqrt(np.mean(pcm**2)) * 10 ** (-snr_db / 20)
    return encode_ulaw(np.clip(np.rint(pcm + hiss), -32_000, 32_000).astype(np.int16))
