"""A call at rest as bytes: safetensors, with what is no tensor in its header."""

import json
from typing import NamedTuple

import msgspec
import torch
from safetensors.torch import load, save
from torch import Tensor

from model_worker.duplex.audio_interaction.model_call import CallState
from model_worker.nets.log_mel import MelState

VERSION = 1


class SavedCall(NamedTuple):
    call: CallState
    keys: Tensor
    values: Tensor
    mel: MelState


def pack_call(call: CallState, keys: Tensor, values: Tensor, mel: MelState) -> bytes:
    """``keys`` and ``values``: (layers, kv_heads, length, head_dim)."""
    state = msgspec.json.encode((VERSION, call, mel.maximum, mel.fresh)).decode()
    tensors = {"keys": keys.contiguous(), "values": values.contiguous(), "context": mel.context.contiguous()}
    return save(tensors, {"call": state})


def unpack_call(packed: bytes) -> SavedCall:
    """Raises whatever a broken one makes of it."""
    header_bytes = int.from_bytes(packed[:8], "little")
    header = json.loads(packed[8 : 8 + header_bytes])
    version, call, maximum, fresh = msgspec.json.decode(
        header["__metadata__"]["call"], type=tuple[int, CallState, float, bool]
    )
    if version != VERSION:
        raise ValueError(f"snapshot of version {version}, expected {VERSION}")
    tensors = load(packed)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise ValueError("a snapshot with NaN")
    return SavedCall(call, tensors["keys"], tensors["values"], MelState(tensors["context"], maximum, fresh))
