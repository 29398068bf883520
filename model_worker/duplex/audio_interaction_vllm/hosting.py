"""vLLM's processes with the decoder of Audio-Interaction, and what they are told at their start."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from model_worker.duplex.audio_interaction.build import CPU_SESSIONS, MOST_SESSIONS
from model_worker.duplex.audio_interaction.hearing import Hearing
from model_worker.duplex.audio_interaction.model_folder import CheckpointError, Ear
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction_vllm.loop_thread import LoopThread, prepare_environment
from model_worker.duplex.audio_interaction_vllm.plugin import ARCHITECTURE
from model_worker.nets.slot_cache import CacheShape

prepare_environment()

from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: E402 - it reads the environment when it is imported
from vllm.v1.engine.async_llm import AsyncLLM  # noqa: E402

from model_worker.duplex.audio_interaction_vllm.hosted_nets import DECISIONS, HostedNets  # noqa: E402
from model_worker.duplex.audio_interaction_vllm.sessions import Sessions  # noqa: E402

GPU_SHARE = 0.85  # of its memory for vLLM; the tower and its work stand beside it
BLOCK_POSITIONS = 128  # vLLM gives positions out in blocks, of 16 on a GPU and of 128 on a CPU
SPARE_BLOCKS = 8


class HostedDecoder:
    """vLLM as it runs; starting it takes half a minute. ``sessions``: None are as many as its memory holds.

    ``policy`` knows then how many. Raises CheckpointError when vLLM does not start.
    """

    def __init__(self, folder: Path, ear: Ear, dtype: torch.dtype, policy: Policy, sessions: int | None) -> None:
        on_cpu = ear.tower.conv1.weight.device.type == "cpu"
        if sessions is None and on_cpu:
            sessions = CPU_SESSIONS
        positions = -(-(policy.capacity + 1) // BLOCK_POSITIONS) * BLOCK_POSITIONS  # with the token sampled last
        position_bytes = _position_bytes(ear.decoder_config, dtype)
        arguments = AsyncEngineArgs(
            model=str(folder),
            hf_overrides={"architectures": [ARCHITECTURE]},
            dtype=str(dtype).removeprefix("torch."),
            max_model_len=positions,
            max_num_seqs=sessions or MOST_SESSIONS,
            gpu_memory_utilization=GPU_SHARE,
            kv_cache_memory_bytes=sessions and (sessions * positions + SPARE_BLOCKS * BLOCK_POSITIONS) * position_bytes,
            enforce_eager=on_cpu,  # there is no Triton for CPUs
            limit_mm_per_prompt={"audio": policy.capacity},  # as many as the context holds
            logprobs_mode="processed_logits",  # after all but the two decisions are masked
            max_logprobs=max(len(DECISIONS), policy.top_k),
            mm_processor_cache_gb=0,  # every chunk is heard once
            skip_tokenizer_init=True,
            generation_config="vllm",  # nothing of the folder's
            enable_log_requests=False,
            disable_log_stats=True,
        )
        with ExitStack() as held:
            host = LoopThread("vllm")
            held.callback(host.stop)
            try:
                llm = host.call(lambda: AsyncLLM.from_engine_args(arguments))
            except Exception as error:
                raise CheckpointError(f"{folder}: vLLM does not start: {type(error).__name__}: {error}") from None
            table = Sessions(llm, sessions or MOST_SESSIONS, arguments.max_logprobs)
            held.callback(lambda: host.call(table.shutdown))
            cache = llm.vllm_config.cache_config
            fits = (cache.num_gpu_blocks or 0) * cache.block_size // positions
            if fits < (sessions or 1):
                raise CheckpointError(f"{folder}: vLLM's cache holds {fits} calls, expected {sessions or 1}")
            self.policy = replace(policy, sessions=sessions or min(MOST_SESSIONS, fits))
            self._host, self._sessions, self._tower, self._position_bytes = host, table, ear.tower, position_bytes
            host.wait(table.feed(0, 0, [0], allowed=DECISIONS))  # what vLLM does once, no caller waits for
            host.wait(table.forget(0))
            self._held = held.pop_all()

    def nets_for(self, policy: Policy) -> HostedNets:
        """Nets of the slots of this vLLM, which are to be used by one engine at a time."""
        hearing = Hearing(self._tower, policy.sessions)
        return HostedNets(hearing, self._sessions, self._host, policy, self._position_bytes)

    def open_requests(self) -> int:
        """How many calls vLLM has keys of, as its client knows."""
        return self._host.call(self._sessions.open_requests)

    def close(self) -> None:
        """End vLLM's processes."""
        self._held.close()


def _position_bytes(config: Any, dtype: torch.dtype) -> int:
    """Keys and values of one position."""
    head_dim = config.hidden_size // config.num_attention_heads
    return CacheShape(config.num_hidden_layers, 1, config.num_key_value_heads, 1, head_dim).bytes_per_position(dtype)
