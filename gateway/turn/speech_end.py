"""Find where the caller's last words ended, looking back over seconds of audio: once per reply, not per packet."""

import numpy as np
import numpy.typing as npt
import webrtcvad

from gateway.turn.overlap import FRAME_MS
from wire.audio.codecs import Codec
from wire.audio.g711 import decode

AGGRESSIVENESS = 3
# A burst of line noise or a click lasts a frame or two; the shortest word is longer.
_SPEECH_FRAMES, _WINDOW_FRAMES = 3, 5
# The detector holds on for up to five frames after the last sound (100 ms, seen at every pause of a speaker). Those
# frames are as quiet as the line; the soft ends of words lie 15 to 25 dB below the loudest vowel.
_TAIL_DB = 30.0
_WARM_UP_FRAMES = 10  # a detector that has heard nothing yet takes the noise of the line for speech
_AUDIBLE_RMS = 64.0  # of 32,768: -54 dBFS, below what is left of a voice on any telephone line


def speech_end(codec: Codec, audio: bytes) -> int | None:
    """How many samples into ``audio`` the last speech in it ends, to a frame of 20 ms; None when there is none.

    Frames are counted from the end. Speech that goes on until the end of ``audio`` ends there; what is in its first
    200 ms does not count.
    """
    pcm = decode(codec, audio)
    frame_samples = codec.sample_rate_hz * FRAME_MS // 1_000
    count = len(pcm) // frame_samples
    if count == 0:
        return None
    skipped = len(pcm) - count * frame_samples
    frames = pcm[skipped:].reshape(count, frame_samples)
    loud = _loud_frames(frames)
    vad = webrtcvad.Vad(AGGRESSIVENESS)
    for frame in frames[:_WARM_UP_FRAMES]:
        vad.is_speech(frame.tobytes(), codec.sample_rate_hz)
    speech = [False] * count
    for at in (np.flatnonzero(loud[_WARM_UP_FRAMES:]) + _WARM_UP_FRAMES).tolist():
        speech[at] = vad.is_speech(frames[at].tobytes(), codec.sample_rate_hz)
    for at in range(count - 1, -1, -1):
        if speech[at] and sum(speech[max(0, at + 1 - _WINDOW_FRAMES) : at + 1]) >= _SPEECH_FRAMES:
            return skipped + (at + 1) * frame_samples
    return None


def _loud_frames(frames: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Which frames may be speech at all: audible, and not far below the loudest."""
    wide = frames.astype(np.float32)
    rms = np.sqrt(np.einsum("ij,ij->i", wide, wide) / frames.shape[1])
    loud: npt.NDArray[np.bool_] = rms >= max(_AUDIBLE_RMS, float(rms.max()) * 10 ** (-_TAIL_DB / 20))
    return loud
