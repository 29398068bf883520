"""A Qwen2 decoder that takes rows of different lengths, of different calls, in one forward.

Linear layers see all tokens of all rows in one flat batch, so that a row of one token costs one token. Attention
works on groups of rows of like length, padded within the group, against the keys of their slots. The heads that
share a key are folded into the query length, so that no key is copied for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere
from torch import Tensor

from model_worker.nets.slot_cache import CacheShape, Rotary, SlotCache

# Rows of a group are padded to its longest: what is said (1 token), what is heard (13), and what is heard again.
GROUP_TOKENS = (1, 16, 64, 256)
# Keys of a group are read up to a multiple of this, so that few shapes come up.
KEY_STEP = 64


@dataclass(frozen=True, slots=True)
class Row:
    """New tokens of one call. They stand at positions ``start`` … of ``slot``, whose first ``start`` are filled.

    ``embedded``: (index of the first token, tensor (n, hidden)) whose embeddings are those, rather than the tokens'
    own. ``read``: indices of the tokens after which the hidden state is wanted.
    """

    slot: int
    start: int
    tokens: Sequence[int]
    embedded: Sequence[tuple[int, Tensor]] = ()
    read: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that attend together: ``flat`` (rows, queries) are places in the flat batch, ``mask`` which keys count."""

    slots: Tensor
    flat: Tensor
    mask: Tensor
    keys: int
    places: Tensor
    """Flat places of the real queries, and where they are in the padded ones."""
    padded: Tensor


class RaggedDecoder:
    """``model``: a ``Qwen2ForCausalLM`` (transformers), whose weights are used as they are, on its device."""

    def __init__(self, model: Any, slots: int, capacity: int) -> None:
        config = model.config
        self.device: torch.device = model.lm_head.weight.device
        self.dtype: torch.dtype = model.lm_head.weight.dtype
        self.hidden_size: int = config.hidden_size
        self._heads: int = config.num_attention_heads
        self._kv_heads: int = config.num_key_value_heads
        self._head_dim: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        rotary = Rotary(self._head_dim, config.rope_parameters["rope_theta"], capacity, self.device)
        shape = CacheShape(config.num_hidden_layers, slots, self._kv_heads, capacity, self._head_dim)
        self.cache = SlotCache(shape, rotary, self.device, self.dtype)
        self._rotary = rotary
        self._model = model.model
        self._lm_head = model.lm_head

    @torch.inference_mode()
    def forward(self, rows: Sequence[Row]) -> Tensor:
        """Feed the rows, each slot at most once; returns hidden states (reads of all rows in order, hidden).

        Keys and values are written at the rows' positions. Nothing else is changed, so that a row may be fed again,
        and what it wrote counts only when the next row of its slot starts behind it.
        """
        lengths = [len(row.tokens) for row in rows]
        starts = list(accumulate(lengths[:-1], initial=0))
        ids, slots, positions = self._to_device(
            np.concatenate([np.asarray(row.tokens, np.int64) for row in rows]),
            np.repeat([row.slot for row in rows], lengths),
            np.concatenate([np.arange(row.start, row.start + n) for row, n in zip(rows, lengths, strict=True)]),
        )
        hidden = self._model.embed_tokens(ids)
        given = [(start + at, vectors) for row, start in zip(rows, starts, strict=True) for at, vectors in row.embedded]
        if given:
            (places,) = self._to_device(np.concatenate([np.arange(at, at + len(vectors)) for at, vectors in given]))
            hidden[places] = torch.cat([vectors for _, vectors in given]).to(hidden.dtype)
        groups = self._groups(rows, starts)
        cos, sin = self._rotary.at(positions, self.dtype)
        cos, sin = cos[:, None], sin[:, None]
        for number, layer in enumerate(self._model.layers):
            hidden = hidden + self._attend(number, layer, hidden, slots, positions, cos, sin, groups)
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        reads = [start + at for row, start in zip(rows, starts, strict=True) for at in row.read]
        (wanted,) = self._to_device(np.asarray(reads, np.int64))
        normed: Tensor = self._model.norm(hidden[wanted])
        return normed

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Over the whole vocabulary, float32."""
        logits: Tensor = self._lm_head(hidden)
        return logits.float()

    @torch.inference_mode()
    def logits_of(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Of some tokens only, (len(hidden), len(tokens)) float32: the others are not computed."""
        return F.linear(hidden, self._lm_head.weight[tokens]).float()

    def _attend(
        self,
        number: int,
        layer: Any,
        hidden: Tensor,
        slots: Tensor,
        positions: Tensor,
        cos: Tensor,
        sin: Tensor,
        groups: Sequence[_Group],
    ) -> Tensor:
        attention = layer.self_attn
        normed = layer.input_layernorm(hidden)
        tokens = len(normed)
        queries = attention.q_proj(normed).view(tokens, self._heads, self._head_dim)
        keys = attention.k_proj(normed).view(tokens, self._kv_heads, self._head_dim)
        values = attention.v_proj(normed).view(tokens, self._kv_heads, self._head_dim)
        queries = Rotary.turn(queries, cos, sin)
        self.cache.keys[number][slots, :, positions] = Rotary.turn(keys, cos, sin)
        self.cache.values[number][slots, :, positions] = values
        mixed = torch.empty_like(queries)
        for group in groups:
            mixed[group.places] = self._mix(number, queries[group.flat], group)[group.padded]
        projected: Tensor = attention.o_proj(mixed.view(tokens, -1))
        return projected

    def _mix(self, number: int, queries: Tensor, group: _Group) -> Tensor:
        """Attention of padded queries (rows, n, heads, head_dim) -> (rows · n, heads, head_dim)."""
        rows, n = queries.shape[:2]
        shared = self._heads // self._kv_heads
        folded = queries.view(rows, n, self._kv_heads, shared, self._head_dim).permute(0, 2, 3, 1, 4)
        keys = self.cache.keys[number][group.slots, :, : group.keys]
        values = self.cache.values[number][group.slots, :, : group.keys]
        mixed = F.scaled_dot_product_attention(
            folded.reshape(rows, self._kv_heads, shared * n, self._head_dim), keys, values, attn_mask=group.mask
        )
        unfolded = mixed.view(rows, self._kv_heads, shared, n, self._head_dim).permute(0, 3, 1, 2, 4)
        return unfolded.reshape(rows * n, self._heads, self._head_dim)

    def _groups(self, rows: Sequence[Row], starts: Sequence[int]) -> list[_Group]:
        by_length: dict[int, list[int]] = {}
        for index, row in enumerate(rows):
            limit = next((limit for limit in GROUP_TOKENS if len(row.tokens) <= limit), len(row.tokens))
            by_length.setdefault(limit, []).append(index)
        return [self._group([(rows[index], starts[index]) for index in members]) for members in by_length.values()]

    def _group(self, members: Sequence[tuple[Row, int]]) -> _Group:
        n = max(len(row.tokens) for row, _ in members)
        longest = max(row.start + len(row.tokens) for row, _ in members)
        keys = min(-(-longest // KEY_STEP) * KEY_STEP, self.cache.shape.capacity)
        real = np.zeros((len(members), n), bool)
        flat = np.zeros((len(members), n), np.int64)
        place = np.zeros((len(members), n), np.int64)  # a query that only pads attends to position 0
        for at, (row, start) in enumerate(members):
            length = len(row.tokens)
            real[at, :length] = True
            flat[at, :length] = np.arange(start, start + length)
            place[at, :length] = np.arange(row.start, row.start + length)
        slots, flat_t, place_t, places, padded = self._to_device(
            np.array([row.slot for row, _ in members], np.int64), flat, place, flat[real], np.flatnonzero(real)
        )
        visible = torch.arange(keys, device=self.device) <= place_t[..., None]  # (rows, n, keys)
        shared = self._heads // self._kv_heads
        mask = visible[:, None].expand(-1, shared, -1, -1).reshape(len(members), 1, shared * n, keys)
        return _Group(slots, flat_t, mask, keys, places, padded)

    def _to_device(self, *arrays: np.ndarray[Any, Any]) -> list[Tensor]:
        """All in one transfer, which nobody waits for."""
        packed = torch.from_numpy(np.concatenate([array.reshape(-1).astype(np.int64) for array in arrays]))
        if self.device.type == "cuda":
            packed = packed.pin_memory().to(self.device, non_blocking=True)
        pieces = torch.split(packed, [array.size for array in arrays])
        return [piece.view(array.shape) for piece, array in zip(pieces, arrays, strict=True)]
