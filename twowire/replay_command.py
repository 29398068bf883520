"""``twowire export`` and ``twowire replay``: take a recorded call from the bus, and run it through an engine again."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from model_worker.replay import Comparison, Decided, Difference, compare, recorded, run
from wire.recorded import BadRecordingError, Header, read

EXIT_DIFFERENT = 3
MAX_SHOWN = 10


@click.command()
@click.argument("call")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--redis-url", envvar="TWOWIRE_REDIS_URL", default="redis://127.0.0.1:6379/0", show_default=True)
@click.option("--delete", is_flag=True, help="Forget it on the bus once the file is written.")
def export(call: str, file: Path, redis_url: str, delete: bool) -> None:
    """Write the recording of CALL to FILE. Gateways record with TWOWIRE_RECORD_CALLS_S."""
    from wire.bus.recorded_calls import RecordedCalls
    from wire.bus.seam import BusUnavailableError
    from wire.ids import CallId

    async def fetch() -> bytes | None:
        recordings = RecordedCalls(redis_url, "export")
        try:
            return await recordings.get(CallId(call))
        finally:
            await recordings.close()

    async def forget() -> None:
        recordings = RecordedCalls(redis_url, "export")
        await recordings.delete(CallId(call))
        await recordings.close()

    try:
        data = asyncio.run(fetch())
        if data is not None:
            file.touch(0o600)  # a caller's voice
            file.write_bytes(data)
            if delete:
                asyncio.run(forget())
    except (BusUnavailableError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if data is None:
        raise click.ClickException(f"no recording of {call}: it was not recorded, or its retention is over")
    click.echo(f"{file}: {len(data)} bytes")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--engine", help="Another engine than the one that decided in the call.")
@click.option("--script", type=click.Path(path_type=Path), help="Script of the scripted engine.")
@click.option("--agents-dir", type=click.Path(path_type=Path), help="Directory of agent files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(file: Path, engine: str | None, as_json: bool, **settings: Any) -> None:
    """Run the recorded call in FILE through an engine again, and compare. Exit code 3 when it decides otherwise."""
    from model_worker.config import load_worker_config
    from model_worker.engines.cards import build_engine
    from wire.settings import ConfigError

    try:
        header, messages = read(file.read_bytes())
        told = list(messages)
        config = load_worker_config(engine=engine or header.engine, **settings)
        built = build_engine(config)
        try:
            comparison = compare(header, recorded(told), run(built.engine, told))
        finally:
            built.shutdown()
    except (BadRecordingError, ConfigError, RuntimeError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(asdict(comparison), indent=1))
    else:
        click.echo("\n".join(report(header, comparison, config.engine)))
    if not comparison.same:
        sys.exit(EXIT_DIFFERENT)


def report(header: Header, comparison: Comparison, engine: str) -> list[str]:
    """For a reader: the first difference, and what it comes to."""
    lines = [f"{header.call}: {comparison.decisions} decisions of {header.engine}, run again through {engine}"]
    if comparison.same:
        return [*lines, "all the same"]
    lines.append(f"{len(comparison.different)} differ; the first:")
    lines += [f"  {_difference(one)}" for one in comparison.different[:1]]
    for number, later_s in enumerate(comparison.turns[:MAX_SHOWN], 1):
        if later_s:
            lines.append(
                f"turn {number}: would have spoken {abs(later_s):.1f} s {'later' if later_s > 0 else 'earlier'}"
            )
    if comparison.only_recorded:
        lines.append(f"{comparison.only_recorded} turns would not have been spoken")
    if comparison.only_replayed:
        lines.append(f"{comparison.only_replayed} more turns would have been spoken")
    return lines


def _difference(one: Difference) -> str:
    return f"at {one.at_s:.1f} s: {_decided(one.recorded)} in the call, {_decided(one.replayed)} now"


def _decided(one: Decided | None) -> str:
    if one is None:
        return "nothing"
    turn = f" (turn {one.turn})" if one.turn else ""
    return f"{one.kind.value}{turn}{'' if one.floor is None else f', {one.floor.value}'}"
