"""``python -m load_tests.duplex``: callers who talk over the agent, cough, say "mhm"; judged by what they hear."""

import asyncio
import json
import logging
import math
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import click

from load_tests.command import CONTEXT, end_cleanly_when_told
from load_tests.duplex.caller import Event, SceneSession, Tape
from load_tests.duplex.measures import Outcome, heard_words, outcome, percentile
from load_tests.duplex.sounds import Kind, Repertoire
from load_tests.stack import Stack, StackError
from twowire.caller.addresses import Addresses
from twowire.caller.result import CallResult
from twowire.caller.script import Plan
from twowire.caller.session import Dialled
from wire.bus.embedded import EmbeddedValkeyError

SEED = 20_261_123
YIELDING, KEEPING, UNJUDGED = "+15550100001", "+15550100002", "+15550100003"
TURN_MS, WORD_MS = 9_000, 300
WORDS = " ".join(["word"] * (TURN_MS // WORD_MS))
SCRIPT = f"""\
sessions: 64
default:
  judge: {{"{YIELDING}": "yield", "{KEEPING}": "keep"}}
  rules:
    - {{when: talk, rest: 2, say: {{ms: {TURN_MS}, watermark: true, text: "{WORDS}"}}}}
"""
SCRIPTED = {
    "oracle, yield": (YIELDING, (Kind.INTERRUPTION, Kind.REAL_INTERRUPTION)),
    "oracle, keep": (KEEPING, (Kind.BACKCHANNEL, Kind.COUGH, Kind.CLICK, Kind.TONE)),
    "lengths only": (UNJUDGED, tuple(Kind)),
}
"""Who judges: an engine that knows, or nobody, so that the gateway's rules do."""
EVENTS_A_CALL = 5
AT_ONCE = 10
LATE_S = 0.005  # callers later than this at the median make figures of their own


class Rows:
    """Outcomes by policy, and what the gateway said of the same calls."""

    def __init__(self) -> None:
        self.outcomes: dict[str, list[Outcome]] = {}
        self.word_errors: list[int] = []
        self.late_s: list[float] = []
        self.failed: list[str] = []

    def take(self, policy: str, tape: Tape, result: CallResult, *, watermarked: bool) -> None:
        """One call that is over."""
        self.outcomes.setdefault(policy, []).extend(outcome(tape, made, watermarked=watermarked) for made in tape.made)
        self.late_s += tape.late_s
        if watermarked:
            told = [
                len(words["heard"].split())
                for words in result.record.get("transcript", ())
                if words["voice"] == "agent" and words["heard"]
            ]
            ear = heard_words(tape)
            self.word_errors += [theirs - ours for theirs, ours in zip(told, ear, strict=False)]


async def place(
    address: Addresses, number: str, events: list[Event], api_token: str, rest_s: float
) -> tuple[Tape, CallResult]:
    """One call with its events."""
    session = SceneSession(address, Dialled(number, "+15550199"), Plan(()), api_token)
    session.events, session.tape, session.rest_s = events, Tape(), rest_s
    result = await session.run(session.tape)
    return session.tape, result


async def run_scripted(stack: Stack, repertoire: Repertoire, each: int, rows: Rows) -> None:
    """Agents that never stop talking by themselves; ``each`` sounds of every kind."""
    address = Addresses(stack.gateway_url, None, stack.auth_token)
    chance, gate = random.Random(SEED), asyncio.Semaphore(AT_ONCE)

    async def one(policy: str, number: str, events: list[Event]) -> None:
        async with gate:
            try:
                tape, result = await place(address, number, events, stack.api_token, 3.6)
            except Exception as error:  # counted: one call that fails is a finding, not the end of the run
                rows.failed.append(f"{policy}: {error}")
                return
            rows.take(policy, tape, result, watermarked=True)

    calls = []
    for policy, (number, kinds) in SCRIPTED.items():
        sounds = [sound for kind in kinds for sound in repertoire.sounds(kind, each, SEED)]
        chance.shuffle(sounds)
        for at in range(0, len(sounds), EVENTS_A_CALL):
            events = [Event(sound, chance.uniform(0.8, 1.8)) for sound in sounds[at : at + EVENTS_A_CALL]]
            calls.append(one(policy, number, events))
    await asyncio.gather(*calls)


async def run_receptionist(stack: Stack, repertoire: Repertoire, each: int, rows: Rows) -> None:
    """The shipped agent, over its greeting: one sound a call."""
    address = Addresses(stack.gateway_url, None, stack.auth_token)
    chance, gate = random.Random(SEED), asyncio.Semaphore(AT_ONCE)

    async def one(event: Event) -> None:
        async with gate:
            try:
                tape, result = await place(address, UNJUDGED, [event], stack.api_token, 3.6)
            except Exception as error:  # counted, as above
                rows.failed.append(f"receptionist: {error}")
                return
            rows.take("receptionist", tape, result, watermarked=False)

    sounds = [sound for kind in Kind for sound in repertoire.sounds(kind, each, SEED)]
    await asyncio.gather(*(one(Event(sound, chance.uniform(0.8, 3.0))) for sound in sounds))


def figures(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """The figures of one policy. Shares are None where nothing was to be judged."""
    all_ = list(outcomes)
    taking = [one for one in all_ if one.kind.takes_floor]
    back = [one for one in all_ if one.kind is Kind.BACKCHANNEL]
    other = [one for one in all_ if not one.kind.takes_floor and one.kind is not Kind.BACKCHANNEL]
    ducks = [one.duck_s for one in all_ if one.duck_s is not None]
    ducks_by_speech = [one.duck_s for one in taking if one.duck_s is not None]
    stops = [one.stop_s for one in taking if one.stop_s is not None and one.yielded]
    gaps = [one.gap_s for one in all_ if one.gap_s is not None and not one.kind.takes_floor]
    rights = [one.right_word for one in all_ if one.right_word is not None and not one.kind.takes_floor]
    return {
        "sounds": len(all_),
        "duck_s": {
            "n": len(ducks_by_speech),
            "p50": percentile(ducks_by_speech, 0.5),
            "p95": percentile(ducks_by_speech, 0.95),
        },
        "ducked_by_any": len(ducks),
        "stop_s": {"n": len(stops), "mean": sum(stops) / len(stops) if stops else None, "p95": percentile(stops, 0.95)},
        "R_Y": share([one.yielded for one in taking]),
        "S_BC": share([one.stood for one in back]),
        "S_other": share([one.stood for one in other]),
        "resume_gap_s": {"n": len(gaps), "p95": percentile(gaps, 0.95)},
        "right_word": share(rights),
    }


def share(truths: list[bool]) -> float | None:
    return sum(truths) / len(truths) if truths else None


def report(rows: Rows, took_s: float) -> dict[str, Any]:
    late = percentile(rows.late_s, 0.5)
    return {
        "seed": SEED,
        "took_s": round(took_s, 1),
        "policies": {policy: figures(outcomes) for policy, outcomes in rows.outcomes.items()},
        "heard_words_off": {
            "turns": len(rows.word_errors),
            "more_than_one": sum(abs(error) > 1 for error in rows.word_errors),
            "worst": max(map(abs, rows.word_errors), default=0),
        },
        "failed": rows.failed,
        "caller_late_s": {"p50": late, "p99": percentile(rows.late_s, 0.99)},
        "valid": late is not None and late <= LATE_S and not rows.failed,
        "sounds": [{"policy": policy} | asdict(one) for policy, outcomes in rows.outcomes.items() for one in outcomes],
    }


def as_markdown(body: Mapping[str, Any]) -> str:
    """The table of docs/DUPLEX.md."""
    lines = [
        "| policy | sounds | duck p50 / p95 (s) | stop mean / p95 (s) | R_Y | S_BC | other sounds stood"
        " | resume gap p95 (s) | right word |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for policy, row in body["policies"].items():
        cells = [
            policy,
            str(row["sounds"]),
            f"{number(row['duck_s']['p50'])} / {number(row['duck_s']['p95'])}",
            f"{number(row['stop_s']['mean'])} / {number(row['stop_s']['p95'])}",
            *(number(row[name]) for name in ("R_Y", "S_BC", "S_other")),
            f"{number(row['resume_gap_s']['p95'])} (n={row['resume_gap_s']['n']})",
            number(row["right_word"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    off = body["heard_words_off"]
    if off["turns"]:
        lines.append("")
        lines.append(
            f"Heard words, gateway against ear: {off['turns']} turns, {off['more_than_one']} off by more than one, "
            f"worst {off['worst']}."
        )
    return "\n".join(lines)


def number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.2f}"


@click.command(context_settings=CONTEXT)
@click.option("--worker", type=click.Choice(["scripted", "receptionist", "both"]), default="both", show_default=True)
@click.option("--each", type=click.IntRange(1, 200), default=20, show_default=True, help="Sounds of every kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, every sound included.")
def main(worker: str, each: int, as_json: bool) -> None:
    """Measure how the agent behaves when the caller sounds over it, through the Twilio door of a real gateway.

    docs/DUPLEX.md defines the figures. Exit code 4: the callers were too late for the figures to count.
    """
    end_cleanly_when_told()
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    rows, began = Rows(), time.monotonic()
    repertoire = Repertoire()
    try:
        if worker in ("scripted", "both"):
            with Stack(64, 1_200, script=SCRIPT) as stack:
                asyncio.run(run_scripted(stack, repertoire, each, rows))
        if worker in ("receptionist", "both"):
            with Stack(AT_ONCE + 2, 1_200, engine="receptionist") as stack:
                asyncio.run(run_receptionist(stack, repertoire, each, rows))
    except (StackError, EmbeddedValkeyError, OSError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from None
    finally:
        repertoire.close()
    body = report(rows, time.monotonic() - began)
    click.echo(json.dumps(body, indent=1) if as_json else as_markdown(body))
    for failure in rows.failed:
        click.echo(failure, err=True)
    if not body["valid"]:
        raise SystemExit(4)


if __name__ == "__main__":
    main()
