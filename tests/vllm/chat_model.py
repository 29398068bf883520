"""A folder that vLLM serves as a chat model: Qwen2's architecture, a tokenizer of its own, no weights.

``--load-format dummy`` fills it with small random numbers, so that every word is about as likely as any other. It has
no token that ends an answer: only ``max_tokens`` and the caller do.
"""

import json
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

CONTEXT_TOKENS = 16_384
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}agent:"
TEXT = (
    "The desk is open from eight in the morning. Which room would you like, and for how many nights?",
    "You are the voice of a hotel. Answer in one or two short sentences, as one speaks on the phone.",
)
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 128,  # heads of 32: vLLM has no smaller ones on a CPU
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_TOKENS,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "dtype": "float32",
}


def write_chat_model(folder: Path) -> None:
    """Make the folder; half a million numbers once vLLM has filled it."""
    folder.mkdir(parents=True)
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    alphabet = ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXT, BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(described), "utf-8")
    config = {**CONFIG, "vocab_size": tokenizer.get_vocab_size()}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
