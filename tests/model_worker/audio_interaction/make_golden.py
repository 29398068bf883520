"""Record what the published server of Audio-Interaction does with a random model, for our engine to be held against.

::

    # DIR is a checkout of xzf-thu/Audio-Interaction at 3095139.
    pip install --target WHISPER --no-deps openai-whisper numba llvmlite tiktoken more-itertools
    PYTHONPATH=WHISPER python -m tests.model_worker.audio_interaction.make_golden \
        --source DIR --out tests/data/audio_interaction_golden.npz

Everything that is computed is computed by the published code, imported as it stands: ``web/server.py`` with its
session, its encoding of the whole history for every chunk, its decoder and its sampler. Three things are ours. The
weights: ``random_weights.write_published``, in float32. What the sampler may choose from: a random model prefers other
tokens than the two that decide, so that only these are left to it then, and a reply that has not ended after
``REPLY_TOKENS`` is left TEXT_END only. And the sequence: after a reply the call goes on where it was, where the
published handler of requests would empty the cache; what it does after each reply is no part of the model.

Lightning and Flask are imported by the published code, for training and for the web; here they are stand-ins.
"""

import argparse
import importlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from torch import Tensor

from model_worker.duplex.audio_interaction.random_weights import write_published
from model_worker.duplex.audio_interaction.tokens import CHUNK_SAMPLES, KEEP_SILENCE, TEXT_BEGIN, TEXT_END
from model_worker.engine.intake import Intake
from model_worker.seams import Pcm
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.ids import CallId

SEED = 0
REPLY_TOKENS = 40
CAPACITY = 4_096
"""Positions of the published cache; at the 32,768 of the model its mask alone takes a gigabyte."""
EXACT_POSITIONS = 2_048
"""The published rotary embedding counts positions in float16, which skips every other one from here on."""

DECISIONS = (KEEP_SILENCE, TEXT_BEGIN)
ULAW_CHUNK_BYTES = CHUNK_SAMPLES // 2
_CONVERSATION = Path(__file__).parents[2] / "data" / "conversation_8k_ulaw.wav"
_STAND_INS = (
    "flask",
    "lightning",
    "lightning.fabric",
    "lightning.fabric.loggers",
    "lightning.fabric.strategies",
    "lightning.fabric.utilities",
    "lightning.fabric.utilities.load",
    "lightning.pytorch",
    "lightning.pytorch.cli",
    "lightning.pytorch.loggers",
)


@dataclass
class Recorder:
    """Stands before the published sampler: writes down what it is given, and leaves it what it may choose from."""

    sample: Any
    """The published one: ([1, T, V] logits, settings) -> (1,) token."""
    decision_logits: list[Tensor] = field(default_factory=list)
    reply_logits: list[Tensor] = field(default_factory=list)
    replies: list[list[int]] = field(default_factory=list)
    forced: list[bool] = field(default_factory=list)
    writing: bool = False

    def __call__(self, logits: Tensor) -> Tensor:
        last = logits[0, -1].float()
        if self.writing:
            self.reply_logits.append(last.clone())
            ends = len(self.replies[-1]) == REPLY_TOKENS
            token = self._greedy(logits, (TEXT_END,) if ends else None)
            self.forced[-1] = ends and int(last.argmax()) != TEXT_END
            self.replies[-1].append(int(token))
            self.writing = int(token) != TEXT_END
        else:
            self.decision_logits.append(last[list(DECISIONS)].clone())
            token = self._greedy(logits, DECISIONS)
            self.writing = int(token) == TEXT_BEGIN
            if self.writing:
                self.replies.append([])
                self.forced.append(False)
        return token

    def _greedy(self, logits: Tensor, legal: Sequence[int] | None) -> Tensor:
        if legal is not None:
            left = torch.full_like(logits, float("-inf"))
            left[..., list(legal)] = logits[..., list(legal)]
            logits = left
        token: Tensor = self.sample(logits, temperature=0.0, top_k=1)  # what the published command line asks for
        return token


def chunks_of_a_call() -> Pcm:
    """(n, 6400) int16 at 16 kHz: speech, a silence on the line, another speaker, as the worker hears them."""
    conversation = _CONVERSATION.read_bytes()
    conversation = conversation[conversation.index(b"data") + 8 :]
    rounds = (
        conversation[: 24 * ULAW_CHUNK_BYTES],
        b"\xff" * (4 * ULAW_CHUNK_BYTES),
        jfk_ulaw()[: 22 * ULAW_CHUNK_BYTES],
        conversation[30 * ULAW_CHUNK_BYTES : 40 * ULAW_CHUNK_BYTES],
    )
    sound = b"".join(rounds)
    call = CallId("golden")
    chunks = [
        (call, Codec.PCMU, n, sound[at : at + ULAW_CHUNK_BYTES])
        for n, at in enumerate(range(0, len(sound), ULAW_CHUNK_BYTES))
    ]
    heard = Intake(16_000).convert(chunks)
    return np.stack([heard[call, n] for n in range(len(chunks))])


def published_server(source: Path, checkpoint: Path) -> Any:
    """The published ``web/server.py``, booted with a checkpoint that need not stand in its own folder."""
    for name in _STAND_INS:
        sys.modules[name] = MagicMock(name=name)
    sys.modules["lightning"].Fabric = _fabric  # type: ignore[attr-defined]
    sys.path.insert(0, str(source))
    helpers: Any = importlib.import_module("utils")
    paths = helpers.resolve_checkpoint_paths(str(checkpoint))
    helpers.resolve_checkpoint_paths = lambda _: paths
    server = importlib.import_module("web.server")
    where = Path(server.__file__ or "").resolve()
    if not where.is_relative_to(source.resolve()):
        raise RuntimeError(f"expected the server of {source}, found {where}")
    if server.DEVICE.type != "cpu":
        raise RuntimeError(f"expected a golden file of the CPU, not of {server.DEVICE}: hide the device")
    return server


def _fabric(**_: Any) -> SimpleNamespace:
    """Of Lightning's, what a model that is loaded on one CPU in float32 needs."""
    return SimpleNamespace(
        world_size=1, init_module=lambda **_: nullcontext(), init_tensor=nullcontext, setup=lambda model: model
    )


def fingerprint(*states: Mapping[str, Tensor]) -> Any:
    """(tensors,) float64, by which a golden file of other weights is told from an engine that is wrong."""
    tensors = [state[name] for state in states for name in sorted(state)]
    return np.array([tensor.double().square().sum().item() for tensor in tensors])


def record(server: Any, pcm: Pcm) -> dict[str, Any]:
    """Drive the published session through the chunks; see ``main`` for what comes out."""
    recorder = Recorder(server.sample)
    server.sample = recorder
    server.model.max_seq_length = CAPACITY
    session = server.InferenceSession()
    prefix = session.token.tolist()
    vectors, decisions = [], []
    for chunk in pcm:
        vectors.append(server.encode_frame(server.pcm_bytes_to_float32(chunk.tobytes())))
        decisions.append(session.step_audio_frame(vectors[-1]))
        if decisions[-1] == TEXT_BEGIN:
            session.stream_text(lambda _: None, max_tokens=REPLY_TOKENS + 1)
    positions = int(session.input_pos_maxp1)
    if positions > EXACT_POSITIONS:
        raise RuntimeError(f"{positions} positions, of which no more than {EXACT_POSITIONS} are exact: take less sound")
    best = [logits.topk(3) for logits in recorder.reply_logits]
    return {
        "seed": np.int64(SEED),
        "weights": fingerprint(server.model.state_dict(), server.audio_encoder.state_dict()),
        "reply_limit": np.int64(REPLY_TOKENS),
        "prefix": np.array(prefix, np.int32),
        "pcm": pcm,
        "vectors": torch.stack(vectors).numpy(),
        "decisions": np.array(decisions, np.int32),
        "decision_logits": torch.stack(recorder.decision_logits).numpy(),
        "reply_tokens": np.array([token for reply in recorder.replies for token in reply], np.int32),
        "reply_offsets": np.cumsum([0, *map(len, recorder.replies)]).astype(np.int32),
        "reply_forced": np.array(recorder.forced),
        "reply_top_logits": torch.stack([top.values for top in best]).numpy(),
        "reply_top_ids": torch.stack([top.indices for top in best]).numpy().astype(np.int32),
        "positions": np.int64(positions),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the golden file. Its arrays, for n chunks, r replies and s tokens in all of them:

    - ``seed`` of the weights, and ``weights``: their ``fingerprint``, decoder and tower by their published names
    - ``reply_limit``: after so many tokens a reply is left nothing but TEXT_END
    - ``prefix`` (p,): the tokens before the first chunk
    - ``pcm`` (n, 6400) int16, and ``vectors`` (n, 10, hidden) float32 of the audio tower
    - ``decisions`` (n,) tokens, and ``decision_logits`` (n, 2) float32 of KEEP_SILENCE and TEXT_BEGIN
    - ``reply_tokens`` (s,): what followed each TEXT_BEGIN, TEXT_END included
    - ``reply_offsets`` (r + 1,): where each reply begins in them
    - ``reply_forced`` (r,): whether it would have gone on instead of the TEXT_END that it was left
    - ``reply_top_logits`` float32 and ``reply_top_ids`` (s, 3): the best of each step, before anything was forced
    - ``positions``: of the whole sequence, with the token that is yet to be fed
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", type=Path, required=True, help="a clone of the published repository")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as checkpoint:
        write_published(Path(checkpoint), "tiny", seed=SEED)
        golden = record(published_server(options.source.absolute(), Path(checkpoint)), chunks_of_a_call())
    np.savez_compressed(options.out, **golden)
    lengths = np.diff(golden["reply_offsets"]).tolist()
    print(f"{len(golden['pcm'])} chunks, {golden['positions']} positions, replies of {lengths} tokens")


if __name__ == "__main__":
    main()
