"""``audio_tower``: the library's own forward, for many chunks at once."""

from typing import cast

import pytest
import torch
from torch import Tensor
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniAudioEncoderConfig
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniAudioEncoder

from model_worker.nets.audio_tower import AudioTower


def tiny(dtype: torch.dtype = torch.float32, n_window: int = 100) -> Qwen2_5OmniAudioEncoder:
    """Weights so large that attention prefers some positions to others, and shows."""
    config = Qwen2_5OmniAudioEncoderConfig(
        d_model=64,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=128,
        output_dim=64,
        num_mel_bins=128,
        n_window=n_window,
        max_source_positions=1_500,
    )
    encoder = Qwen2_5OmniAudioEncoder(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in encoder.parameters():
            if weights.ndim > 1:
                fan_in = weights[0].numel()
                weights.copy_(2 * torch.randn(weights.shape, generator=generator) / fan_in**0.5)
            else:
                weights.add_(0.1 * torch.randn(weights.shape, generator=generator))
    torch.nn.Module.to(encoder, dtype).train(False)
    return encoder


def mel(chunks: int) -> Tensor:
    return 0.5 * torch.randn(chunks, 128, 40, generator=torch.Generator().manual_seed(1))


def by_the_library(encoder: Qwen2_5OmniAudioEncoder, mel: Tensor) -> Tensor:
    """One recording per chunk, concatenated, as the library wants them."""
    with torch.inference_mode():
        found = encoder(torch.cat(list(mel), dim=-1), feature_lens=torch.tensor([40] * len(mel)))
    return cast(Tensor, found.last_hidden_state).view(len(mel), 10, -1)


@pytest.mark.parametrize("chunks", [1, 2, 17])
def test_it_is_what_the_library_computes(chunks: int):
    encoder = tiny()
    found = AudioTower(encoder).encode(mel(chunks))
    assert found.shape == (chunks, 10, 64)
    torch.testing.assert_close(found, by_the_library(encoder, mel(chunks)), rtol=0, atol=1e-5)


def test_chunks_do_not_see_each_other():
    tower = AudioTower(tiny())
    together = tower.encode(mel(9))
    torch.testing.assert_close(tower.encode(mel(9)[4:5])[0], together[4], rtol=0, atol=1e-5)


def test_the_frames_of_a_chunk_do():
    tower = AudioTower(tiny())
    changed = mel(1)
    changed[:, :, -1] += 1.0
    assert not torch.allclose(tower.encode(changed)[0, 0], tower.encode(mel(1))[0, 0], atol=1e-3)


def test_the_dtype_of_the_weights_decides():
    encoder = tiny(torch.bfloat16)
    found = AudioTower(encoder).encode(mel(5))
    assert found.dtype == torch.bfloat16
    exact = AudioTower(tiny()).encode(mel(5))
    assert (found - exact).abs().max() < 0.1 * exact.abs().max()
    library = by_the_library(encoder, mel(5))
    torch.testing.assert_close(found, library, rtol=0.02, atol=0.02 * exact.abs().max().item())


def test_no_chunks_are_no_vectors():
    assert AudioTower(tiny()).encode(mel(0)).shape == (0, 10, 64)


def test_what_is_no_chunk_is_refused():
    for wrong in (torch.zeros(1, 128, 39), torch.zeros(1, 80, 40), torch.zeros(128, 40)):
        with pytest.raises(ValueError, match=r"expected \(B, 128, 40\)"):
            AudioTower(tiny()).encode(wrong)


def test_a_tower_with_windows_shorter_than_a_chunk_is_refused():
    with pytest.raises(ValueError, match="into windows of 30"):
        AudioTower(tiny(n_window=15))
