"""How many calls a model carries on this device: `python -m load_tests.gpu --random-weights tiny`.

Random weights of the real size: what is decided is noise, what it costs is real. Callers come at real pace, spread
over the 0.4 s of a chunk; the engine takes whatever is due, as in the worker. For a rising number of calls it tells
how late decisions are, until one in a hundred misses its deadline: the moment at which the next chunk is there. Then
the highest number that held is served for ``--hold-s``, and the next lower one where that is too much. Prints a table,
or JSON with ``--json``.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

import numpy as np

from load_tests.figures import json_number, percentile
from model_worker.duplex.audio_interaction.tokens import CHUNK_SAMPLES, LISTEN_TOKENS
from model_worker.seams import CallSpec, Pcm, StepInput, StepOutput
from wire.ids import NO_TURN, CallId, TurnId
from wire.messages import DecisionKind, OverlapRules

CHUNK_S = 0.4
LATE_SHARE = 0.01
NUMBERS = (1, 2, 4, 8, 16, 32, 64, 100, 150, 200, 250)
WARM_UP_S = 2.0  # what the first steps compile or load is not a caller's wait
_NAP_S = 0.005


class Served(Protocol):
    """What is measured: the engine, as far as it is needed here."""

    reply_tokens: int

    @property
    def busy(self) -> bool: ...
    @property
    def context_positions(self) -> tuple[int, int]: ...
    @property
    def position_bytes(self) -> int: ...
    def open(self, call: CallId, spec: CallSpec) -> OverlapRules | None: ...
    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]: ...


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that only grow, and how to let some pass."""

    now: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Measured:
    """One number of calls, served for ``seconds``.

    ``decision_*``: from a chunk being whole to its decision. ``step_*``: of one forward and what goes with it.
    ``step_s_per_chunk``: time in steps by decisions, what one call costs the engine for 0.4 s, replies included.
    ``missed``: deadlines; chunks that were decided on, or still were not, ``CHUNK_S`` after they were whole.
    ``speaking_share``: of the decisions; the others are to listen.
    """

    calls: int
    seconds: float
    decisions: int
    undecided: int
    """Chunks whose deadline passed without a decision; they are among ``missed``."""
    missed: int
    decision_p50_s: float
    decision_p99_s: float
    writing_p99_s: float
    """The same of chunks that came while a reply to their caller was written: its tokens come first, a step each."""
    steps: int
    step_p50_s: float
    step_p99_s: float
    step_s_per_chunk: float
    busy_share: float
    listen_tokens_per_s: float
    reply_tokens_per_s: float
    speaking_share: float
    kv_bytes: int
    kv_share: float
    faults: int

    @property
    def holds(self) -> bool:
        """One in a hundred chunks may miss its deadline, no call may fail."""
        return not self.faults and self.missed <= LATE_SHARE * (self.decisions + self.undecided)

    def as_json(self) -> dict[str, Any]:
        numbers = {
            key: json_number(value) if isinstance(value, float) else value for key, value in asdict(self).items()
        }
        return {**numbers, "holds": self.holds}


@dataclass(frozen=True, slots=True)
class Climbed:
    """``runs``: of rising numbers of calls; ``holds``: of those that held, from the highest down, for longer."""

    runs: list[Measured]
    holds: list[Measured] = field(default_factory=list)

    @property
    def highest(self) -> int | None:
        """The most calls that held; for the longer time, where that was tried."""
        return max((run.calls for run in (self.holds or self.runs) if run.holds), default=None)


class Callers:
    """Who speaks when, and what came of it, in seconds since the start. No clock in here."""

    def __init__(self, calls: int, chunks: Sequence[Pcm]) -> None:
        self.names = [CallId(f"call-{n}") for n in range(calls)]
        self.latencies_s: list[float] = []
        self.writing_s: list[float] = []
        """Those of ``latencies_s`` of calls in which a reply was being written."""
        self.speaking = 0
        self.faults = 0
        self._chunks = chunks
        self._due = [(CHUNK_S * (1 + n / calls), n, 0) for n in range(calls)]
        heapify(self._due)
        self._waiting: dict[tuple[CallId, int], float] = {}
        self._playing: dict[CallId, tuple[TurnId, float]] = dict.fromkeys(self.names, (NO_TURN, 0.0))

    @property
    def next_s(self) -> float:
        """When the next chunk will be whole."""
        return self._due[0][0]

    def take(self, now_s: float) -> list[StepInput]:
        """All chunks that are whole by now. Each caller hears the agent as he would on a line without delay."""
        inputs = []
        while self._due[0][0] <= now_s:
            at, n, index = heappop(self._due)
            name = self.names[n]
            turn, heard_s = self._playing[name]
            self._playing[name] = (turn, heard_s + CHUNK_S)
            inputs.append(StepInput(name, index, self._chunks[(index + n) % len(self._chunks)], self._playing[name]))
            self._waiting[name, index] = at
            heappush(self._due, (at + CHUNK_S, n, index + 1))
        return inputs

    def hear(self, outputs: Sequence[StepOutput], now_s: float) -> None:
        """What a step gave, at its end."""
        for output in outputs:
            self.faults += output.fault is not None
            if output.turn not in (NO_TURN, self._playing[output.call][0]):
                self._playing[output.call] = (output.turn, 0.0)
            if output.decision is not None:
                self.latencies_s.append(now_s - self._waiting.pop((output.call, output.index)))
                self.speaking += output.decision is DecisionKind.SPEAK
                if output.p_speak is None:  # the model was not asked
                    self.writing_s.append(self.latencies_s[-1])

    def undecided(self, end_s: float) -> int:
        """Chunks whose deadline passed by the end, given to the engine or not, and that it did not decide on."""
        self.take(end_s)
        return sum(end_s - at > CHUNK_S for at in self._waiting.values())


def sound(seconds: int = 20) -> list[Pcm]:
    """Noise that comes and goes like speech, the same every time, 16 kHz, in chunks."""
    chance = np.random.default_rng(1)
    samples = seconds * 16_000
    loudness = 0.5 + 0.5 * np.sin(np.arange(samples) * (2 * np.pi / 16_000 / 1.7))
    wave = np.asarray(chance.standard_normal(samples) * 2_000 * loudness, np.int16)
    return [wave[at : at + CHUNK_SAMPLES] for at in range(0, samples, CHUNK_SAMPLES)]


def measure(engine: Served, calls: int, seconds: float, clock: Clock) -> Measured:
    """Serve ``calls`` for ``seconds`` with an engine that serves nobody yet."""
    callers = Callers(calls, sound())
    for name in callers.names:
        engine.open(name, CallSpec("anybody"))
    steps_s: list[float] = []
    start = clock.now()
    while (now_s := clock.now() - start) < seconds:
        inputs = callers.take(now_s)
        if not inputs and not engine.busy:
            clock.sleep(min(_NAP_S, max(0.0, callers.next_s - now_s)))
            continue
        began_s = clock.now() - start
        outputs = engine.step(inputs)
        ended_s = clock.now() - start
        steps_s.append(ended_s - began_s)
        callers.hear(outputs, ended_s)
    return _measured(engine, callers, steps_s, clock.now() - start)


def _measured(engine: Served, callers: Callers, steps_s: Sequence[float], took_s: float) -> Measured:
    latencies_s = callers.latencies_s
    decisions, undecided = len(latencies_s), callers.undecided(took_s)
    used, room = engine.context_positions
    return Measured(
        calls=len(callers.names),
        seconds=took_s,
        decisions=decisions,
        undecided=undecided,
        missed=undecided + sum(latency_s > CHUNK_S for latency_s in latencies_s),
        decision_p50_s=percentile(latencies_s, 0.50),
        decision_p99_s=percentile(latencies_s, 0.99),
        writing_p99_s=percentile(callers.writing_s, 0.99),
        steps=len(steps_s),
        step_p50_s=percentile(steps_s, 0.50),
        step_p99_s=percentile(steps_s, 0.99),
        step_s_per_chunk=sum(steps_s) / max(1, decisions),
        busy_share=sum(steps_s) / took_s,
        listen_tokens_per_s=LISTEN_TOKENS * decisions / took_s,
        reply_tokens_per_s=engine.reply_tokens / took_s,
        speaking_share=callers.speaking / max(1, decisions),
        kv_bytes=used * engine.position_bytes,
        kv_share=used / room,
        faults=callers.faults,
    )


def climb(
    serve: Callable[[int, float], Measured], numbers: Sequence[int], seconds: float, hold_s: float = 0.0
) -> Climbed:
    """``serve`` so many calls for so long: rising ``numbers`` until one does not hold, then what held for longer."""
    climbed = Climbed([])
    for calls in sorted(numbers):
        climbed.runs.append(serve(calls, seconds))
        if not climbed.runs[-1].holds:
            break
    for run in reversed([run for run in climbed.runs if run.holds and hold_s > 0]):
        climbed.holds.append(serve(run.calls, hold_s))
        if climbed.holds[-1].holds:
            break
    return climbed


def main(arguments: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """The command; 0 when some number of calls held, else 1."""
    options = _options(arguments)
    clock = clock or Clock()
    name, build = _engines(options.random_weights, options.device, options.context_tokens)

    def serve(calls: int, seconds: float) -> Measured:
        run = measure(build(calls), calls, seconds, clock)
        if not options.json:
            _show(run)
        return run

    measure(build(1), 1, WARM_UP_S, clock)
    climbed = climb(serve, options.calls, options.seconds, options.hold_s)
    if options.json:
        report = {"device": name, "weights": options.random_weights, "highest": climbed.highest}
        runs = {part: [run.as_json() for run in getattr(climbed, part)] for part in ("runs", "holds")}
        print(json.dumps({**report, **runs}))
    return 1 if climbed.highest is None else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["audio-interaction"], default="audio-interaction")
    parser.add_argument("--random-weights", choices=["tiny", "3b"], default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--calls", type=int, nargs="+", default=NUMBERS)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each number of calls")
    parser.add_argument("--hold-s", type=float, default=600.0, help="of the highest that held; 0 leaves it out")
    parser.add_argument("--context-tokens", type=int, default=2_048)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def _engines(weights: str, device: str, context_tokens: int) -> tuple[str, Callable[[int], Served]]:
    """Name of the device, and what makes an engine for so many calls."""
    import torch

    from model_worker.duplex.audio_interaction.device import Device
    from model_worker.duplex.audio_interaction.engine import AudioInteractionEngine
    from model_worker.duplex.audio_interaction.policy import Policy
    from model_worker.duplex.audio_interaction.random_weights import random_model
    from model_worker.duplex.audio_interaction.tokens import Emotion
    from model_worker.tts.paced_voice import Rendered

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    on_gpu = device.startswith("cuda")
    model = random_model(weights, device=device, dtype=torch.bfloat16 if on_gpu else torch.float32)

    def render(text: str, emotion: Emotion) -> Rendered:
        return Rendered(np.zeros(4_800 * len(text.split()), np.int16), ())

    def build(calls: int) -> AudioInteractionEngine:
        policy = Policy(sessions=calls, capacity=context_tokens)
        return AudioInteractionEngine(Device(model, policy), model.tokenizer, policy, render)

    return torch.cuda.get_device_name(device) if on_gpu else "cpu", build


def _show(run: Measured) -> None:
    print(
        f"{run.calls:4} calls {run.seconds:6.1f} s: "
        f"decision p50 {run.decision_p50_s:.3f} p99 {run.decision_p99_s:.3f} s, "
        f"while writing p99 {run.writing_p99_s:.3f} s, "
        f"step p50 {run.step_p50_s:.3f} p99 {run.step_p99_s:.3f} s, "
        f"{1_000 * run.step_s_per_chunk:.2f} ms a chunk, busy {run.busy_share:.0%}, "
        f"missed {run.missed} of {run.decisions + run.undecided}, "
        f"{run.listen_tokens_per_s:.0f} + {run.reply_tokens_per_s:.0f} tokens/s, "
        f"speaking {run.speaking_share:.0%}, "
        f"KV {run.kv_bytes / 2**20:.1f} MiB ({run.kv_share:.0%}), faults {run.faults}"
        f"{'' if run.holds else '  <- does not hold'}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
