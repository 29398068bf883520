"""What every process of vLLM runs at its start (entry point ``vllm.general_plugins``): make our model known to it."""

ARCHITECTURE = "AudioInteractionForCausalLM"
"""Named in ``hf_overrides``, since the folder's own config.json says Qwen2ForCausalLM."""


def register() -> None:
    """The class is imported by name, when a model of it is loaded."""
    from vllm import ModelRegistry

    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(ARCHITECTURE, f"{__package__}.vllm_model:{ARCHITECTURE}")
