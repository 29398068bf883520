"""The decoder of Audio-Interaction as a model of vLLM: Qwen2, at some places of which vectors of the audio tower stand.

The tower runs in the worker, where the state of its log-mel is; vLLM gets its vectors as the "audio" of a prompt, ten
to a chunk, and passes them through. vLLM asks for a processor that turns raw data into such vectors: none is raw here.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from vllm.inputs.engine import MultiModalInput
from vllm.model_executor.models.interfaces import SupportsMultiModal
from vllm.model_executor.models.qwen2 import Qwen2ForCausalLM
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.processing import BaseDummyInputsBuilder, BaseMultiModalProcessor, BaseProcessingInfo

from model_worker.duplex.audio_interaction.tokens import AUDIO_TOKENS
from model_worker.duplex.audio_interaction_vllm.prompts import AUDIO, VECTORS, Vectors, prompt


class Info(BaseProcessingInfo):
    """Any number of chunks, each as long."""

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {AUDIO: None}

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int] | None:
        return {AUDIO: AUDIO_TOKENS}


class NoDummies(BaseDummyInputsBuilder[Info]):
    """vLLM wants one; the processor makes its own."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        raise NotImplementedError

    def get_dummy_mm_data(self, *args: object, **kwargs: object) -> Any:
        raise NotImplementedError


class Processor(BaseMultiModalProcessor[Info]):
    """Prompts come as ``prompts.prompt`` makes them, past this; vLLM itself needs one to measure memory with."""

    requires_tokenizer = False

    def get_dummy_mm_inputs(self, mm_counts: Mapping[str, int], **kwargs: object) -> MultiModalInput:
        hidden = self.info.get_hf_config().hidden_size
        chunks = mm_counts.get(AUDIO, 0)
        vectors = Vectors(torch.zeros(AUDIO_TOKENS, hidden))
        return prompt([0] * AUDIO_TOKENS * chunks, [(n * AUDIO_TOKENS, vectors) for n in range(chunks)])

    def _get_mm_fields_config(self, *args: object, **kwargs: object) -> Any:
        raise NotImplementedError

    def _get_prompt_updates(self, *args: object, **kwargs: object) -> Any:
        raise NotImplementedError


@MULTIMODAL_REGISTRY.register_processor(Processor, info=Info, dummy_inputs=NoDummies)
class AudioInteractionForCausalLM(Qwen2ForCausalLM, SupportsMultiModal):
    """Weights and layers are Qwen2's, by the same names."""

    def get_language_model(self) -> Any:
        return self.model

    def embed_multimodal(self, **kwargs: Any) -> list[Tensor]:
        """The vectors of each chunk, as they came."""
        return list(kwargs[VECTORS].to(self.lm_head.weight.dtype))

    embed_input_ids = SupportsMultiModal.embed_input_ids
