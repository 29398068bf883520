import wave
from pathlib import Path

import numpy as np

from twowire.caller.recording import CallRecording
from twowire.caller.stream import Tick
from wire.audio.g711 import decode_ulaw, encode_ulaw


def test_both_directions_lie_on_one_clock_to_the_sample(tmp_path: Path):
    path = tmp_path / "call.wav"
    left = np.zeros(160 * 50, np.int16)
    right = np.zeros(160 * 50, np.int16)
    left[1_003] = 20_000
    right[4_567] = -20_000
    sent, heard = encode_ulaw(left), encode_ulaw(right)
    with CallRecording(path) as recording:
        for n in range(50):
            span = slice(n * 160, (n + 1) * 160)
            recording.write(Tick(n, sent[span], heard[span], 0.0))
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8_000)
        assert file.getnframes() == 8_000
        stereo = np.frombuffer(file.readframes(8_000), "<i2").reshape(-1, 2)
    assert path.stat().st_size == 44 + 8_000 * 4
    assert np.array_equal(stereo[:, 0], decode_ulaw(sent))
    assert np.array_equal(stereo[:, 1], decode_ulaw(heard))
    assert np.argmax(np.abs(stereo[:, 0].astype(int))) == 1_003
    assert np.argmax(np.abs(stereo[:, 1].astype(int))) == 4_567


def test_a_call_that_breaks_leaves_a_readable_file(tmp_path: Path):
    path = tmp_path / "call.wav"
    try:
        with CallRecording(path) as recording:
            recording.write(Tick(0, b"\xff" * 160, b"\xff" * 160, 0.0))
            raise ConnectionError
    except ConnectionError:
        pass
    with wave.open(str(path), "rb") as file:
        assert file.getnframes() == 160
