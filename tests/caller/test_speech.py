from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from model_worker.seams import Pcm, Utterance
from tests.speech import jfk_ulaw
from twowire.caller.speech import recorded, speak, to_ulaw
from wire.audio.g711 import decode_ulaw

JFK = Path(__file__).parent.parent / "data" / "jfk_8k_ulaw.wav"


def sine(rate_hz: int) -> Pcm:
    tone: npt.NDArray[np.float64] = np.rint(8_000 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz))
    return tone.astype(np.int16)


class SineTts:
    """Says everything as a second of tone."""

    def synthesize(self, text: str) -> Utterance:
        return Utterance(sine(22_050), 22_050, ())

    def close(self) -> None:
        pass


def test_a_telephone_recording_is_sent_as_it_is():
    assert recorded(JFK).replace(b"\x7f", b"\xff") == jfk_ulaw().replace(b"\x7f", b"\xff")  # the two codes of zero


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 48_000])
def test_pcm_of_every_rate_becomes_a_second_of_mu_law(rate_hz: int):
    ulaw = to_ulaw(sine(rate_hz), rate_hz)
    assert 8_000 <= len(ulaw) <= 8_040
    level = np.sqrt(np.mean(decode_ulaw(ulaw)[1_000:7_000].astype(float) ** 2))
    assert 0.95 < level / (8_000 / np.sqrt(2)) < 1.05


def test_a_text_is_spoken_at_the_rate_of_the_line():
    assert 8_000 <= len(speak("hello", SineTts())) <= 8_040
