"""How near to lost packets is what a receiver puts in their place, beside what simpler receivers do.

Two measures where somebody spoke, each from 10 ms before a lost packet to 10 ms after it, so that the joints count:

- *distance* of the spectra: the root mean square, over 24 bands of a mel scale, of the difference of levels in dB;
- *segmental SNR*: the lost sound against the difference of the waves, from -10 to 35 dB as usual.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from wire.audio.g711 import Pcm

PACKET_S, MARGIN_S = 0.020, 0.010
SPOKEN = 300  # standard deviation of 16-bit samples: above the pauses of our recordings
_BANDS, _LOWEST_HZ = 24, 80
_FLOOR = 300.0**2  # the power that the noise of a phone line has in one band
_SNR_DB = (-10, 35)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Closeness:
    """Means over the lost packets of speech."""

    distance_db: float
    segmental_snr_db: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of one stream: the receiver's concealment, the last packet once more, and silence."""

    packets: int
    concealed: Closeness
    repeated: Closeness
    silent: Closeness


def compare(true: Pcm, concealed: Pcm, lost: Iterable[int], rate_hz: int) -> Comparison:
    """``true`` is the stream without loss, ``concealed`` with; shape ``(samples,)``, and as long as one another.

    ``lost`` are the places of packets of 20 ms, in samples. Raises ValueError when nobody spoke in any of them.
    """
    size = round(PACKET_S * rate_hz)
    places = sorted(lost)
    repeated, silent = concealed.copy(), concealed.copy()  # the same decoder, which a loss may have confused
    for at in places:
        repeated[at : at + size] = repeated[at - size : at]
        silent[at : at + size] = 0
    spoken = [at for at in places if true[at : at + size].std() > SPOKEN]
    if not spoken:
        raise ValueError(f"expected a lost packet of speech, got {len(places)} of none")

    def judge(heard: Pcm) -> Closeness:
        margin = round(MARGIN_S * rate_hz)
        distances, ratios = [], []
        for at in spoken:
            around = slice(at - margin, at + size + margin)
            told, wanted = heard[around].astype(np.float64), true[around].astype(np.float64)
            distances.append(np.sqrt(np.mean((_levels(told, rate_hz) - _levels(wanted, rate_hz)) ** 2)))
            ratios.append(np.clip(10 * np.log10(wanted @ wanted / (np.sum((told - wanted) ** 2) + 1)), *_SNR_DB))
        return Closeness(float(np.mean(distances)), float(np.mean(ratios)))

    return Comparison(len(spoken), judge(concealed), judge(repeated), judge(silent))


def _levels(pcm: Floats, rate_hz: int) -> Floats:
    """The level of each band of a windowed piece, in dB."""
    power = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)))) ** 2
    levels: Floats = 10 * np.log10(_mel(len(pcm), rate_hz) @ power + _FLOOR)
    return levels


@cache
def _mel(samples: int, rate_hz: int) -> Floats:
    """Triangles that overlap by half, shape ``(bands, frequencies)``."""
    edges = np.linspace(_mel_of(_LOWEST_HZ), _mel_of(rate_hz / 2), _BANDS + 2)
    places = _mel_of(np.fft.rfftfreq(samples, 1 / rate_hz).astype(np.float64))
    rising = (places - edges[:-2, None]) / (edges[1] - edges[0])
    bands: Floats = np.clip(np.minimum(rising, 2 - rising), 0, None)
    return bands


def _mel_of(hz: float | Floats) -> Floats:
    return np.asarray(2595 * np.log10(1 + np.asarray(hz) / 700))
