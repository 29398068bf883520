"""Tokens and vectors of the audio tower as a prompt of vLLM, already in the form that its engine takes."""

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor
from vllm.inputs.engine import EngineInput, mm_input, tokens_input
from vllm.multimodal.inputs import (
    MultiModalBatchedField,
    MultiModalFieldElem,
    MultiModalKwargsItem,
    MultiModalKwargsItems,
    PlaceholderRange,
)

AUDIO = "audio"
VECTORS = "vectors"
"""The argument by which the model gets them, (chunks, 10, hidden)."""


class Vectors:
    """One chunk as the audio tower heard it: (10, hidden), on the CPU, and the name it has in vLLM's caches."""

    __slots__ = ("item", "name", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach().to("cpu", copy=True).contiguous()
        # The sound itself is the name: with a chance number the keys of a call that is heard again were not found.
        self.name = blake2b(self.tensor.view(torch.uint8).numpy().tobytes(), digest_size=16).hexdigest()
        self.item = MultiModalKwargsItem({VECTORS: MultiModalFieldElem(self.tensor, MultiModalBatchedField())})


def prompt(tokens: Sequence[int], chunks: Sequence[tuple[int, Vectors]]) -> EngineInput:
    """``chunks``: the index in ``tokens`` of the first of the ten places that each takes."""
    if not chunks:
        return tokens_input(list(tokens))
    return mm_input(
        list(tokens),
        MultiModalKwargsItems({AUDIO: [vectors.item for _, vectors in chunks]}),
        {AUDIO: [vectors.name for _, vectors in chunks]},
        {AUDIO: [PlaceholderRange(offset=at, length=len(vectors.tensor)) for at, vectors in chunks]},
    )
