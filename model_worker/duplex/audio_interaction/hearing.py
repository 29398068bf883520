"""Sound to vectors: the log-mel of every slot, and the audio tower."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniAudioEncoder

from model_worker.duplex.audio_interaction.tokens import CHUNK_SAMPLES
from model_worker.nets.audio_tower import AudioTower
from model_worker.nets.log_mel import LogMelPool
from model_worker.seams import Pcm


class Hearing:
    """``tower`` is used where its weights are."""

    def __init__(self, tower: Qwen2_5OmniAudioEncoder, slots: int) -> None:
        self._device = tower.conv1.weight.device
        self._tower = AudioTower(tower)
        self.mel = LogMelPool(slots, self._device)

    @torch.inference_mode()
    def encode(self, chunks: Sequence[tuple[int, Pcm]]) -> list[Tensor]:
        """The vectors (10, hidden) of some chunks, each of a slot; those of one slot are in order."""
        vectors: list[Tensor | None] = [None] * len(chunks)
        left = list(range(len(chunks)))
        while left:
            wave = list({chunks[n][0]: n for n in reversed(left)}.values())  # the first that is left of each slot
            for n, given in zip(wave, self._encode_one_each([chunks[n] for n in wave]), strict=True):
                vectors[n] = given
            left = [n for n in left if vectors[n] is None]
        return [given for given in vectors if given is not None]

    def _encode_one_each(self, chunks: Sequence[tuple[int, Pcm]]) -> list[Tensor]:
        slots = torch.from_numpy(np.array([slot for slot, _ in chunks], np.int64)).to(self._device)
        pcm = torch.from_numpy(np.stack([pcm for _, pcm in chunks])).to(self._device)
        if pcm.shape[1] != CHUNK_SAMPLES:
            raise ValueError(f"expected chunks of {CHUNK_SAMPLES} samples, got {pcm.shape[1]}")
        vectors = self._tower.encode(self.mel.push(slots, pcm.float() / 32_768))
        return list(vectors.unbind(0))
