"""``twowire engines``: what there is to choose from. ``twowire doctor --engine``: try one, and say what is wrong."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

if TYPE_CHECKING:
    from model_worker.config import WorkerConfig
    from model_worker.seams import Engine

TRY_S = 6.0
CALL = "doctor"

REMEDIES = {
    "unreachable": "is the server up, and is TWOWIRE_SERVER_URL its address as seen from here?",
    "refused": "the key is missing or wrong, or the path or model is not one that the server serves",
    "full": "the server has no session free; end others, or allow it more",
    "expired": "the server ended the session at once; look at its limits",
    "lost": "the server hung up without a word; its log says why",
    "garbage": "what answered does not speak this protocol; look at TWOWIRE_SERVER_FLAVOUR and the path of the URL",
    "server_error": "the server failed; its log says why",
    "too_slow": "the server took the connection but was not ready within 5 s; is a model loaded and free?",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What a few seconds of a call with an engine showed."""

    engine: str
    agent: str
    chunks: int
    decisions: int
    spoke_s: float
    first_sound_s: float | None
    """From the call's begin."""
    slowest_decision_s: float
    fault: str | None
    remedy: str | None

    @property
    def healthy(self) -> bool:
        return self.fault is None and self.decisions == self.chunks


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def engines(as_json: bool) -> None:
    """List the engines: what each is, what it needs, who interrupts it, its licence."""
    from model_worker.engines.cards import CARDS

    if as_json:
        named = [f.name for f in fields(CARDS[0]) if f.name != "build"]
        click.echo(json.dumps([{name: getattr(card, name) for name in named} for card in CARDS], indent=2))
        return
    for card in CARDS:
        click.echo(f"{click.style(card.name, bold=True)}  {card.kind}: {card.what}")
        click.echo(f"    chunk {card.chunk_ms} ms · languages {card.languages} · interrupted by {card.interrupted_by}")
        click.echo(f"    needs {card.needs}{f' · {card.licence}' if card.licence else ''}")


@click.command()
@click.option("--engine", required=True, help="Which one; `twowire engines` lists them.")
@click.option("--agent", default="", help="Agent to ask for.  [default: the first that the engine has]")
@click.option("--agents", "agents_dir", type=click.Path(path_type=Path), help="Folder of agent files.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(engine: str, agent: str, agents_dir: Path | None, as_json: bool) -> None:
    """Try an engine with the settings of the environment: six seconds of a caller who says nothing.

    Exit code 0 when every chunk was decided on, 1 when something is wrong.
    """
    from model_worker.config import load_worker_config
    from model_worker.engines.cards import build_engine
    from wire.settings import ConfigError

    try:
        config = load_worker_config(engine=engine, agents_dir=agents_dir)
        built = build_engine(config)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    try:
        asked = agent or (built.agents[0] if built.agents else "anybody")
        trial = examine(built.engine, config, asked, time.monotonic, time.sleep)
    finally:
        built.shutdown()
    if as_json:
        click.echo(json.dumps(asdict(trial)))
    else:
        _tell(trial)
    sys.exit(0 if trial.healthy else 1)


def examine(
    engine: "Engine",
    config: "WorkerConfig",
    agent: str,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    seconds: float = TRY_S,
) -> Trial:
    """Give an engine the line's noise at real pace."""
    from model_worker.seams import CallSpec, StepInput, UnknownAgentError
    from wire.ids import CallId

    capabilities = engine.capabilities
    chunk_s = capabilities.chunk_ms / 1_000
    longest_ms = max(capabilities.chunk_ms, capabilities.first_chunk_ms)
    noise = np.random.default_rng(0).integers(-8, 8, capabilities.input_rate_hz * longest_ms // 1_000).astype(np.int16)
    call = CallId(CALL)
    chunks = decisions = spoken_samples = 0
    first_sound_s: float | None = None
    slowest_s = 0.0
    fault: str | None = None
    given_at: dict[int, float] = {}
    began = clock()
    try:
        engine.open(call, CallSpec(agent))
    except UnknownAgentError:
        return Trial(config.engine, agent, 0, 0, 0.0, None, 0.0, f"no agent {agent!r}", "choose one with --agent")
    while fault is None and (decisions < chunks or chunks * chunk_s < seconds):
        inputs = []
        if clock() - began >= (chunks + 1) * chunk_s and chunks * chunk_s < seconds:
            given_at[chunks] = clock()
            chunk_ms = capabilities.chunk_ms if chunks else capabilities.first_chunk_ms
            inputs.append(StepInput(call, chunks, noise[: capabilities.input_rate_hz * chunk_ms // 1_000]))
            chunks += 1
        if not inputs and not engine.busy:
            if clock() - began > 2 * seconds + chunk_s:
                break  # it owes decisions and does nothing
            sleep(0.01)
            continue
        for output in engine.step(inputs):
            if output.fault is not None:
                fault = _name_of(output.fault)
            if output.decision is not None:
                decisions += 1
                slowest_s = max(slowest_s, clock() - given_at[output.index])
            for speech in output.speech:
                first_sound_s = clock() - began if first_sound_s is None else first_sound_s
                spoken_samples += len(speech.pcm)
    engine.close(call)
    spoke_s = spoken_samples / capabilities.output_rate_hz
    return Trial(
        config.engine,
        agent,
        chunks,
        decisions,
        round(spoke_s, 2),
        None if first_sound_s is None else round(first_sound_s, 2),
        round(slowest_s, 3),
        fault,
        None if fault is None else REMEDIES.get(fault.partition(":")[0], "its log says more"),
    )


def _name_of(error: Exception) -> str:
    """What went wrong without what the server said of it."""
    fault = getattr(error, "fault", None)
    return str(error) if fault is not None else type(error).__name__


def _tell(trial: Trial) -> None:
    click.echo(f"{trial.engine}, agent {trial.agent}: {trial.decisions} of {trial.chunks} chunks were decided on")
    if trial.chunks:
        sound = "said nothing" if trial.first_sound_s is None else f"first sound after {trial.first_sound_s} s"
        click.echo(f"slowest decision {trial.slowest_decision_s} s; {sound}, {trial.spoke_s} s of speech in all")
    if trial.fault is not None:
        click.echo(f"fault: {trial.fault}")
        click.echo(f"try: {trial.remedy}")
    elif not trial.healthy:
        click.echo("fault: decisions are owed; the engine hangs, or is slower than the caller")
