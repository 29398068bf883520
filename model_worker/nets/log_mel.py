"""The log-mel of many calls, chunk by chunk, as if each call were encoded anew from its beginning every time.

Whisper's log-mel looks at the whole recording in two ways: frames overlap, and bins are clamped at 8 below the loudest
bin so far (in powers of ten). Both need little memory: the last samples before the chunk, and the maximum. What is left
are the ends, where Whisper mirrors the sound:

- Before the first chunk of a call stand its own first samples, mirrored.
- The last frame of a chunk looks 40 samples beyond its end. Those are mirrored now and real from the next chunk on, so
  what this frame says about the maximum counts for this chunk only; the next one computes it again and keeps that.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

SAMPLE_RATE_HZ = 16_000
CHUNK_SAMPLES = 6_400
BINS = 128
FRAMES = 40
"""Of one chunk."""
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
CONTEXT_SAMPLES = 3 * HOP_SAMPLES
"""Kept of each call: three hops, of which the frame before the chunk's first reads the later 360 samples."""

_FIRST_SAMPLE = CONTEXT_SAMPLES - HOP_SAMPLES - WINDOW_SAMPLES // 2  # of the frame before the chunk's first
_AHEAD_SAMPLES = WINDOW_SAMPLES // 2 - HOP_SAMPLES  # how far the chunk's last frame looks beyond its end
_SILENCE = -10.0  # log10 of the least power there is
_RANGE = 8.0


@dataclass(frozen=True, slots=True)
class MelState:
    """What is kept of one call, on the CPU. ``context``: (480,) float32; ``maximum``: log10 of the loudest bin.

    ``fresh``: nothing was heard yet, and the rest is as ``LogMelPool.reset`` makes it.
    """

    context: Tensor
    maximum: float
    fresh: bool


class LogMelPool:
    """Slots for as many calls, in buffers that never grow or move; every slot is fresh at first."""

    def __init__(self, slots: int, device: torch.device | str) -> None:
        filters = mel_filter_bank(
            num_frequency_bins=WINDOW_SAMPLES // 2 + 1,
            num_mel_filters=BINS,
            min_frequency=0.0,
            max_frequency=SAMPLE_RATE_HZ / 2,
            sampling_rate=SAMPLE_RATE_HZ,
            norm="slaney",
            mel_scale="slaney",
        )
        self._filters = torch.from_numpy(np.ascontiguousarray(filters.T, np.float32)).to(device)
        self._window = torch.hann_window(WINDOW_SAMPLES, dtype=torch.float32).to(device)
        self._context = torch.zeros((slots, CONTEXT_SAMPLES), dtype=torch.float32, device=device)
        self._maximum = torch.full((slots,), _SILENCE, dtype=torch.float32, device=device)
        self._fresh = torch.ones(slots, dtype=torch.bool, device=device)

    @torch.inference_mode()
    def push(self, slots: Tensor, pcm: Tensor) -> Tensor:
        """Hear the next chunk of some calls. slots: (B,) int64, pcm: (B, 6400) float32 in [-1, 1] -> (B, 128, 40).

        A slot may stand in ``slots`` once: with two chunks of one call at a time it is undefined which counts. Nothing
        here waits for the device, so slots that do not exist are found late (on a GPU) or as an IndexError. Raises
        ValueError for a wrong shape or dtype.
        """
        wanted = (len(slots), CHUNK_SAMPLES)
        if pcm.dtype != torch.float32 or pcm.shape != wanted:
            raise ValueError(f"expected float32 {wanted}, got {pcm.dtype} {tuple(pcm.shape)}")
        fresh = self._fresh[slots]
        mirrored_start = pcm[:, 1 : CONTEXT_SAMPLES + 1].flip(-1)
        mirrored_end = pcm[:, -_AHEAD_SAMPLES - 1 : -1].flip(-1)
        before = torch.where(fresh[:, None], mirrored_start, self._context[slots])
        bins = self._bins(torch.cat((before, pcm, mirrored_end), dim=-1))

        loudest = bins.amax(dim=1)  # (B, 41), of each frame
        settled = torch.where(fresh, _SILENCE, loudest[:, 0])  # there is no frame before the first
        settled = settled.maximum(loudest[:, 1:-1].amax(dim=-1)).maximum(self._maximum[slots])
        ceiling = settled.maximum(loudest[:, -1])

        self._context.index_copy_(0, slots, pcm[:, -CONTEXT_SAMPLES:])
        self._maximum.index_copy_(0, slots, settled)
        self._fresh.index_copy_(0, slots, torch.zeros_like(fresh))
        return (bins[:, :, 1:].maximum(ceiling[:, None, None] - _RANGE) + 4.0) / 4.0

    @torch.inference_mode()
    def reset(self, slot: int) -> None:
        """A call begins in this slot."""
        self._context[slot] = 0
        self._maximum[slot] = _SILENCE
        self._fresh[slot] = True

    @torch.inference_mode()
    def copy(self, source: int, target: int) -> None:
        """Let ``target`` have heard what ``source`` has; each goes its own way from here."""
        for buffer in (self._context, self._maximum, self._fresh):
            buffer[target] = buffer[source]

    def state(self, slot: int) -> MelState:
        """For ``load``, here or in another pool. Waits for the device."""
        context = self._context[slot].to("cpu", copy=True)
        return MelState(context, float(self._maximum[slot].item()), bool(self._fresh[slot].item()))

    @torch.inference_mode()
    def load(self, slot: int, state: MelState) -> None:
        """Go on where another slot was. Raises ValueError when that was none of ours."""
        if state.context.shape != (CONTEXT_SAMPLES,):
            raise ValueError(f"expected a context of ({CONTEXT_SAMPLES},), got {tuple(state.context.shape)}")
        self._context[slot] = state.context.to(self._context)
        self._maximum[slot] = state.maximum
        self._fresh[slot] = state.fresh

    def _bins(self, sound: Tensor) -> Tensor:
        """log10 of the power in each bin of 41 frames, that before the chunk's first among them: (B, 128, 41)."""
        frames = sound[:, _FIRST_SAMPLE:].unfold(-1, WINDOW_SAMPLES, HOP_SAMPLES) * self._window
        power = torch.fft.rfft(frames).abs() ** 2  # (B, 41, 201)
        bins: Tensor = self._filters @ power.transpose(1, 2)
        return bins.clamp_min(10**_SILENCE).log10()
