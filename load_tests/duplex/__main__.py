"""``python -m load_tests.duplex``: callers who talk over the agent, cough, pause, echo; judged by what they hear."""

import asyncio
import json
import logging
import tempfile
import time
from pathlib import Path

import click

from load_tests.command import CONTEXT, EXIT_INVALID, end_cleanly_when_told
from load_tests.duplex.figures import Rows, as_markdown
from load_tests.duplex.sounds import Repertoire
from load_tests.duplex.suite import (
    DOORS,
    ECHO_CALLS,
    MONOLOGUE,
    MONOLOGUE_YAML,
    SCRIPT,
    SEED,
    run_echo,
    run_receptionist,
    run_scripted,
)
from load_tests.stack import Stack, StackError
from wire.bus.embedded import EmbeddedValkeyError

SLOTS = 64
PARTS = ("scripted", "receptionist", "echo")


def run(parts: tuple[str, ...], each: int, rows: Rows, door: str) -> None:
    """The parts of a run, one system after the other. Raises StackError, EmbeddedValkeyError, OSError."""
    repertoire, sip = Repertoire(), door == "sip"
    try:
        if "scripted" in parts:
            with Stack(SLOTS, 1_200, script=SCRIPT, sip=sip) as stack:
                asyncio.run(run_scripted(stack, repertoire, each, rows, door))
        if "receptionist" in parts:
            with Stack(SLOTS, 1_200, engine="receptionist", sip=sip) as stack:
                asyncio.run(run_receptionist(stack, repertoire, each, rows, door))
        if "echo" in parts:
            with tempfile.TemporaryDirectory(prefix="twowire-agents-") as directory:
                (Path(directory) / f"{MONOLOGUE}.yaml").write_text(MONOLOGUE_YAML)
                settings = {"TWOWIRE_AGENTS_DIR": directory, "TWOWIRE_AGENT": MONOLOGUE}
                with Stack(ECHO_CALLS + 2, 1_200, engine="receptionist", settings=settings) as stack:
                    asyncio.run(run_echo(stack, rows))
    finally:
        repertoire.close()


@click.command(context_settings=CONTEXT)
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Only this; may be repeated.")
@click.option("--each", type=click.IntRange(1, 200), default=12, show_default=True, help="Sounds of every kind.")
@click.option("--door", type=click.Choice(DOORS), default=DOORS[0], show_default=True, help="Of the gateway.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, every sound included.")
@click.option("--plots", type=click.Path(file_okay=False, path_type=Path), help="Write pictures into this folder.")
def main(parts: tuple[str, ...], each: int, door: str, as_json: bool, plots: Path | None) -> None:
    """Measure how an agent behaves when the caller sounds over it, pauses, or echoes.

    Everything through a door of a real gateway (echoes through Twilio's only); judged by what the caller hears.
    docs/DUPLEX.md defines the figures. Exit code 4: callers were too late, or calls failed, so that the figures do not
    count.
    """
    end_cleanly_when_told()
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    rows, began = Rows(), time.monotonic()
    try:
        run(parts or PARTS, each, rows, door)
    except (StackError, EmbeddedValkeyError, OSError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from None
    body = rows.as_json(SEED, time.monotonic() - began)
    click.echo(json.dumps(body, indent=1) if as_json else as_markdown(body))
    if plots is not None:
        from load_tests.duplex.plots import draw

        draw(rows, plots)
    for failure in rows.failed:
        click.echo(failure, err=True)
    if not body["valid"]:
        raise SystemExit(EXIT_INVALID)


if __name__ == "__main__":
    main()
