"""Keys and values of many calls in one static buffer: a slot a call, positions from 0, nothing moves but on purpose.

A slot holds at most ``capacity`` positions. When a call has filled its own, ``evict`` takes out the oldest after a
pinned prefix (the attention sink of Metronome, arXiv 2607.02640) and moves what follows down. Keys are stored with
their rotary embedding, which turns on when a key moves: a rotation by ``-n`` positions, so that positions stay those
of a call that began ``n`` positions later, and never run beyond what the model was trained on.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Of one decoder: ``layers`` × ``kv_heads`` × ``head_dim``; ``slots`` calls of ``capacity`` positions."""

    layers: int
    slots: int
    kv_heads: int
    capacity: int
    head_dim: int

    def bytes_per_position(self, dtype: torch.dtype) -> int:
        """Keys and values of one position in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * dtype.itemsize

    def bytes_per_slot(self, dtype: torch.dtype) -> int:
        return self.capacity * self.bytes_per_position(dtype)


class Rotary:
    """Rotary position embedding (arXiv 2104.09864) in the two-halves form of Qwen2, from tables in float32."""

    def __init__(self, head_dim: int, theta: float, positions: int, device: torch.device) -> None:
        frequencies = 1.0 / theta ** (torch.arange(0, head_dim, 2, device=device, dtype=torch.float32) / head_dim)
        angles = torch.outer(torch.arange(positions, device=device, dtype=torch.float32), frequencies)
        self._cos = torch.cat((angles.cos(), angles.cos()), dim=-1)
        self._sin = torch.cat((angles.sin(), angles.sin()), dim=-1)

    def at(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each (positions, head_dim)."""
        return self._cos[positions].to(dtype), self._sin[positions].to(dtype)

    @staticmethod
    def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotate ``x`` (…, head_dim) by angles that broadcast with it."""
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-second, first), dim=-1) * sin

    def turn_back(self, keys: Tensor, positions: int) -> Tensor:
        """Keys (…, head_dim) as they were ``positions`` earlier; computed in float32."""
        cos, sin = self._cos[positions], -self._sin[positions]
        return self.turn(keys.float(), cos, sin).to(keys.dtype)


class SlotCache:
    """The buffer. ``keys`` and ``values`` are (layers, slots, kv_heads, capacity, head_dim)."""

    def __init__(self, shape: CacheShape, rotary: Rotary, device: torch.device, dtype: torch.dtype) -> None:
        self.shape = shape
        size = (shape.layers, shape.slots, shape.kv_heads, shape.capacity, shape.head_dim)
        self.keys = torch.zeros(size, device=device, dtype=dtype)
        self.values = torch.zeros(size, device=device, dtype=dtype)
        self._rotary = rotary

    def evict(self, slot: int, pinned: int, dropped: int, length: int) -> None:
        """Take ``dropped`` positions after the ``pinned`` ones out of a slot that holds ``length``."""
        if not 0 < dropped <= length - pinned:
            raise ValueError(f"cannot drop {dropped} of {length} positions behind {pinned} pinned ones")
        source = slice(pinned + dropped, length)
        target = slice(pinned, length - dropped)
        keys = self._rotary.turn_back(self.keys[:, slot, :, source], dropped)
        self.keys[:, slot, :, target] = keys
        self.values[:, slot, :, target] = self.values[:, slot, :, source].clone()

    def clear(self, slot: int) -> None:
        """Keys that are not looked at still count when they are NaN: 0 times NaN is NaN."""
        self.keys[:, slot] = 0
        self.values[:, slot] = 0

    def copy(self, source: int, target: int, length: int) -> None:
        """Make ``target`` what the first ``length`` positions of ``source`` are."""
        self.keys[:, target, :, :length] = self.keys[:, source, :, :length]
        self.values[:, target, :, :length] = self.values[:, source, :, :length]

    def read(self, slot: int, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a slot on the CPU, each (layers, kv_heads, length, head_dim)."""
        return self.keys[:, slot, :, :length].cpu(), self.values[:, slot, :, :length].cpu()

    def write(self, slot: int, keys: Tensor, values: Tensor) -> None:
        """Fill a slot with what ``read`` gave. Raises ValueError when the shapes are those of another decoder."""
        length = keys.shape[2] if keys.ndim == 4 else -1
        wanted = (self.shape.layers, self.shape.kv_heads, length, self.shape.head_dim)
        if tuple(keys.shape) != wanted or tuple(values.shape) != wanted or length > self.shape.capacity:
            raise ValueError(f"expected keys and values of {wanted}, got {tuple(keys.shape)}, {tuple(values.shape)}")
        self.keys[:, slot, :, :length] = keys.to(self.keys)
        self.values[:, slot, :, :length] = values.to(self.values)
