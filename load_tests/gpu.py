"""How many calls a model carries on this device: `python -m load_tests.gpu --random-weights tiny`.

Random weights of the real size: what is decided is noise, what it costs is real. Callers come at real pace, spread
over the 0.4 s of a chunk; the engine takes whatever is due, as in the worker. For a rising number of calls it tells
how late decisions are, until one in a hundred is later than the next chunk; then the highest number that held is run
for ``--hold-s``. Prints a table, or JSON with ``--json``.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from heapq import heapify, heappop, heappush

import numpy as np

CHUNK_S = 0.4
LATE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. ``decision_*``: from a chunk being whole to its decision. ``step_*``: of one forward and what it needs.

    ``behind``: chunks decided later than ``CHUNK_S``, by which time the next one is there.
    """

    calls: int
    seconds: float
    decisions: int
    decision_p50_s: float
    decision_p99_s: float
    step_p50_s: float
    step_p99_s: float
    behind: int
    listen_tokens_per_s: float
    reply_tokens_per_s: float
    speaking_share: float
    kv_bytes: int
    kv_share: float
    faults: int

    @property
    def holds(self) -> bool:
        return not self.faults and self.behind <= LATE_SHARE * max(1, self.decisions)


def sound(seconds: int = 20) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    """Noise that comes and goes like speech, the same every time, 16 kHz."""
    chance = np.random.default_rng(1)
    samples = seconds * 16_000
    loudness = 0.5 + 0.5 * np.sin(np.arange(samples) * (2 * np.pi / 16_000 / 1.7))
    return np.asarray(chance.standard_normal(samples) * 2_000 * loudness, np.int16)


def measure(build: Callable[[int], object], calls: int, seconds: float, clock: Callable[[], float]) -> Measured:
    """Serve ``calls`` for ``seconds``. ``build`` gives the engine for so many calls."""
    from model_worker.duplex.audio_interaction.engine import AudioInteractionEngine
    from model_worker.seams import CallSpec, StepInput
    from wire.ids import NO_TURN, CallId
    from wire.messages import DecisionKind

    engine = build(calls)
    assert isinstance(engine, AudioInteractionEngine), "the only engine that is measured so far"
    wave = sound()
    chunks = [wave[at : at + 6_400] for at in range(0, len(wave) - 6_400, 6_400)]
    names = [CallId(f"call-{n}") for n in range(calls)]
    for name in names:
        engine.open(name, CallSpec("anybody"))
    due = [(CHUNK_S * (1 + n / calls), n, 0) for n in range(calls)]
    heapify(due)
    waiting: dict[tuple[CallId, int], float] = {}
    playing = dict.fromkeys(names, (NO_TURN, 0.0))
    latencies: list[float] = []
    steps: list[float] = []
    speaking = replies = faults = 0
    start = clock()
    while (now := clock() - start) < seconds:
        inputs = []
        while due and due[0][0] <= now:
            at, n, index = heappop(due)
            name = names[n]
            turn, heard_s = playing[name]
            playing[name] = (turn, heard_s + CHUNK_S)
            inputs.append(StepInput(name, index, chunks[(index + n) % len(chunks)], playing[name]))
            waiting[name, index] = at
            heappush(due, (at + CHUNK_S, n, index + 1))
        if not inputs and not engine.busy:
            time.sleep(max(0.0, min(0.005, due[0][0] - now)))
            continue
        began = clock()
        outputs = engine.step(inputs)
        ended = clock()
        steps.append(ended - began)
        for output in outputs:
            faults += output.fault is not None
            if output.turn != playing[output.call][0] and output.turn != NO_TURN:
                playing[output.call] = (output.turn, 0.0)
            if output.decision is not None:
                latencies.append(ended - start - waiting.pop((output.call, output.index)))
                speaking += output.decision is DecisionKind.SPEAK
            replies += output.turn_done
    took = clock() - start
    late = sum(latency > CHUNK_S for latency in latencies)
    late += sum(took - at > CHUNK_S for at in waiting.values())  # never decided on: as late as can be
    used, room = engine.kv_positions
    return Measured(
        calls=calls,
        seconds=round(took, 1),
        decisions=len(latencies),
        decision_p50_s=_quantile(latencies, 0.5),
        decision_p99_s=_quantile(latencies, 0.99),
        step_p50_s=_quantile(steps, 0.5),
        step_p99_s=_quantile(steps, 0.99),
        behind=late,
        listen_tokens_per_s=round(13 * len(latencies) / took, 1),
        reply_tokens_per_s=round(engine.reply_tokens / took, 1),
        speaking_share=round(speaking / max(1, len(latencies)), 3),
        kv_bytes=used * engine.position_bytes,
        kv_share=round(used / room, 4),
        faults=faults,
    )


def _quantile(values: Sequence[float], share: float) -> float:
    return round(float(np.quantile(values, share)), 4) if values else float("inf")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when at least one number of calls held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["audio-interaction"], default="audio-interaction")
    parser.add_argument("--random-weights", choices=["tiny", "3b"], default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64, 100, 150, 200, 250])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each number of calls")
    parser.add_argument("--hold-s", type=float, default=600.0, help="of the highest that held; 0 leaves it out")
    parser.add_argument("--context-tokens", type=int, default=2_048)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)

    import torch

    from model_worker.duplex.audio_interaction.device import Device
    from model_worker.duplex.audio_interaction.engine import AudioInteractionEngine
    from model_worker.duplex.audio_interaction.policy import Policy
    from model_worker.duplex.audio_interaction.random_weights import random_model
    from model_worker.duplex.audio_interaction.tokens import Emotion
    from model_worker.tts.paced_voice import Rendered

    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    model = random_model(options.random_weights, device=device, dtype=dtype)

    def render(text: str, emotion: Emotion) -> Rendered:
        return Rendered(np.zeros(4_800 * len(text.split()), np.int16), ())

    def build(calls: int) -> AudioInteractionEngine:
        policy = Policy(sessions=calls, capacity=options.context_tokens)
        return AudioInteractionEngine(Device(model, policy), model.tokenizer, policy, render)

    measure(build, 1, 2.0, time.perf_counter)  # what the first steps compile or load is not a caller's wait
    runs: list[Measured] = []
    for calls in options.calls:
        runs.append(measure(build, calls, options.seconds, time.perf_counter))
        _show(runs[-1], as_json=options.json)
        if not runs[-1].holds:
            break
    held = [run for run in runs if run.holds]
    hold = None
    if held and options.hold_s > 0:
        hold = measure(build, held[-1].calls, options.hold_s, time.perf_counter)
        _show(hold, as_json=options.json)
    if options.json:
        name = torch.cuda.get_device_name() if device.startswith("cuda") else "cpu"
        report = {"device": name, "weights": options.random_weights, "runs": [asdict(run) for run in runs]}
        print(json.dumps({**report, "hold": None if hold is None else asdict(hold)}))
    return 0 if held else 1


def _show(run: Measured, *, as_json: bool) -> None:
    if not as_json:
        print(
            f"{run.calls:4} calls {run.seconds:6.1f} s: "
            f"decision p50 {run.decision_p50_s:.3f} p99 {run.decision_p99_s:.3f} s, "
            f"step p50 {run.step_p50_s:.3f} p99 {run.step_p99_s:.3f} s, late {run.behind} of {run.decisions}, "
            f"{run.listen_tokens_per_s:.0f} + {run.reply_tokens_per_s:.0f} tokens/s, "
            f"speaking {run.speaking_share:.0%}, "
            f"KV {run.kv_bytes / 2**20:.0f} MiB ({run.kv_share:.0%}), faults {run.faults}"
            f"{'' if run.holds else '  <- does not hold'}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
