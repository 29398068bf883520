"""The audio tower of Qwen2.5-Omni for many chunks at once, none of which sees another.

The library's forward takes recordings one after the other and attends to each in a loop, one kernel per chunk and
layer. Our chunks are all as long, so that a plain batch does: the same modules, called in the same order.
"""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import (
    Qwen2_5OmniAudioAttention,
    Qwen2_5OmniAudioEncoder,
    Qwen2_5OmniAudioEncoderLayer,
)

from model_worker.nets.log_mel import FRAMES


class AudioTower:
    """Shares the weights of ``encoder``; their dtype is the one it computes in.

    Raises ValueError when the encoder cuts even one chunk into several windows.
    """

    def __init__(self, encoder: Qwen2_5OmniAudioEncoder) -> None:
        if 2 * encoder.n_window < FRAMES:
            raise ValueError(f"the tower cuts chunks of {FRAMES} frames into windows of {2 * encoder.n_window}")
        self._encoder = encoder
        self._layers = [cast(Qwen2_5OmniAudioEncoderLayer, layer) for layer in encoder.layers]

    @torch.inference_mode()
    def encode(self, mel: Tensor) -> Tensor:
        """mel: (B, 128, 40), one chunk each -> (B, 10, output_dim), 40 ms each, in the dtype of the weights.

        Raises ValueError for another number of bins or frames.
        """
        encoder = self._encoder
        if mel.ndim != 3 or mel.shape[1:] != (encoder.num_mel_bins, FRAMES):
            raise ValueError(f"expected (B, {encoder.num_mel_bins}, {FRAMES}), got {tuple(mel.shape)}")
        x = functional.gelu(encoder.conv1(mel.to(encoder.conv1.weight.dtype)))
        x = functional.gelu(encoder.conv2(x)).transpose(1, 2)  # (B, 20, d_model)
        x = x + encoder.positional_embedding.positional_embedding[: x.shape[1]].to(x.dtype)
        for layer in self._layers:
            x = x + _attend(layer.self_attn, layer.self_attn_layer_norm(x))
            x = x + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(x))))
        x = (x[:, 0::2] + x[:, 1::2]) / 2
        return cast(Tensor, encoder.proj(encoder.ln_post(x)))


def _attend(attention: Qwen2_5OmniAudioAttention, x: Tensor) -> Tensor:
    """Each position of a chunk to all of the same chunk. x: (B, 20, d_model)."""

    def heads(projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:2], attention.num_heads, attention.head_dim).transpose(1, 2)

    found = functional.scaled_dot_product_attention(
        heads(attention.q_proj(x)), heads(attention.k_proj(x)), heads(attention.v_proj(x)), scale=attention.scaling
    )
    return cast(Tensor, attention.out_proj(found.transpose(1, 2).flatten(-2)))
