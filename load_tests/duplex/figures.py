"""From outcomes to the figures of docs/DUPLEX.md, as JSON and as tables."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from load_tests.duplex.caller import Tape
from load_tests.duplex.measures import Outcome, percentile
from load_tests.duplex.sounds import Kind
from load_tests.duplex.turns import TurnOutcome

LATE_S = 0.005  # callers later than this at the median make figures of their own


@dataclass(slots=True)
class EchoTally:
    """Calls of a telephone that sends back what it plays."""

    calls: int = 0
    agent_s: float = 0.0
    """How long the agent was heard."""
    ducked: int = 0
    false_barge_ins: int = 0
    """Times it was stopped, for good or for a moment."""


@dataclass(frozen=True, slots=True)
class Example:
    """One call, to be drawn, with the ``overlaps`` of its record."""

    tape: Tape
    overlaps: Sequence[dict[str, Any]]


@dataclass(slots=True)
class Rows:
    """All that was observed."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    """By who judged."""
    turns: list[TurnOutcome] = field(default_factory=list)
    echo: EchoTally = field(default_factory=EchoTally)
    added_s: list[float] = field(default_factory=list)
    word_errors: list[int] = field(default_factory=list)
    """Words that a gateway said were heard, less those that were."""
    late_s: list[float] = field(default_factory=list)
    misheard: list[str] = field(default_factory=list)
    """Calls with such an error of more than one: both counts of each turn."""
    failed: list[str] = field(default_factory=list)
    examples: dict[str, Example] = field(default_factory=dict)
    """A call of each policy in which much happened."""

    def show(self, policy: str, tape: Tape, overlaps: Sequence[dict[str, Any]]) -> None:
        """Keep a call as the example of its policy, unless one with more kinds of endings is kept already."""
        shown = self.examples.get(policy)
        variety = len({overlap["end"] for overlap in overlaps})
        if shown is None or variety > len({overlap["end"] for overlap in shown.overlaps}):
            self.examples[policy] = Example(tape, overlaps)

    def as_json(self, seed: int, took_s: float) -> dict[str, Any]:
        late = percentile(self.late_s, 0.5)
        return {
            "seed": seed,
            "took_s": round(took_s, 1),
            "policies": {policy: overlap_figures(outcomes) for policy, outcomes in self.outcomes.items()},
            "turns": turn_figures(self.turns),
            "echo": asdict(self.echo),
            "added_latency_s": {"n": len(self.added_s)} | quantiles(self.added_s, 0.5, 0.99),
            "heard_words_off": {
                "turns": len(self.word_errors),
                "more_than_one": sum(abs(error) > 1 for error in self.word_errors),
                "worst": max(map(abs, self.word_errors), default=0),
                "calls": self.misheard,
            },
            "failed": self.failed,
            "caller_late_s": quantiles(self.late_s, 0.5, 0.99),
            "valid": late is not None and late <= LATE_S and not self.failed,
            "sounds": [
                {"policy": policy} | asdict(one) for policy, outcomes in self.outcomes.items() for one in outcomes
            ],
            "turns_heard": [asdict(turn) for turn in self.turns],
        }


def overlap_figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of one policy. Shares are None where nothing was to be judged."""
    taking = [one for one in outcomes if one.kind.takes_floor]
    others = [one for one in outcomes if not one.kind.takes_floor]
    ducks = [one.duck_s for one in taking if one.duck_s is not None]
    stops = [one.stop_s for one in taking if one.stop_s is not None and one.yielded]
    gaps = [one.gap_s for one in others if one.gap_s is not None]
    return {
        "sounds": len(outcomes),
        "duck_s": {"n": len(ducks)} | quantiles(ducks, 0.5, 0.95),
        "stop_s": {"n": len(stops), "mean": mean(stops)} | quantiles(stops, 0.95),
        "R_Y": share([one.yielded for one in taking]),
        "S_BC": share([one.stood for one in others if one.kind is Kind.BACKCHANNEL]),
        "S_VT": share([one.stood for one in others if one.kind is Kind.COUGH]),
        "S_ND": share([one.stood for one in others if one.kind is Kind.ASIDE]),
        "resume_gap_s": {"n": len(gaps)} | quantiles(gaps, 0.95),
        "right_word": share([one.right_word for one in others if one.right_word is not None]),
        "stale_turns": sum(one.stale for one in outcomes),
        "kinds": {
            kind.value: {
                "sounds": len(of),
                "ducked": share([one.duck_s is not None for one in of]),
                "stood": share([one.stood for one in of]),
                "kept": share([one.kept for one in of]),
                "yielded": share([one.yielded for one in of]),
                "stop_mean_s": mean([one.stop_s for one in of if one.stop_s is not None and one.yielded]),
            }
            for kind in Kind
            if (of := [one for one in outcomes if one.kind is kind])
        },
    }


def turn_figures(turns: Sequence[TurnOutcome]) -> dict[str, Any]:
    """Of the caller's turns, all in real speech."""
    responses = [turn.response_s for turn in turns if turn.response_s is not None and not turn.talked_into]
    taken = [max(0.0, turn.response_s) for turn in turns if turn.took_turn and turn.response_s is not None]
    return {
        "turns": len(turns),
        "pauses": sum(turn.pauses for turn in turns),
        "R_R": share([turn.answered for turn in turns]),
        "L_R": {"n": len(responses), "mean": mean(responses)} | quantiles(responses, 0.5, 0.95),
        "I_A": share([turn.talked_into for turn in turns]),
        "FDB_TOR": share([turn.took_turn for turn in turns]),
        "FDB_latency_s": mean(taken),
        "EVA_turn_taking": mean([turn.turn_taking for turn in turns]),
    }


def as_markdown(body: dict[str, Any]) -> str:
    """The tables of docs/DUPLEX.md."""
    return "\n\n".join(
        table
        for table in (
            _policies(body["policies"]),
            *(_kinds(policy, row["kinds"]) for policy, row in body["policies"].items()),
            _rest(body),
        )
        if table
    )


def share(truths: Sequence[bool]) -> float | None:
    return sum(truths) / len(truths) if truths else None


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def quantiles(values: Sequence[float], *shares: float) -> dict[str, float | None]:
    return {f"p{100 * part:.0f}": percentile(values, part) for part in shares}


def number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.2f}"


def _policies(policies: dict[str, Any]) -> str:
    head = (
        "who judges", "sounds", "duck p50 / p95 (s)", "stop mean / p95 (s)", "R_Y", "S_BC", "S_VT", "S_ND",
        "resume gap p95 (s)", "right word", "stale",
    )  # fmt: skip
    rows = [
        (
            policy,
            str(row["sounds"]),
            f"{number(row['duck_s']['p50'])} / {number(row['duck_s']['p95'])}",
            f"{number(row['stop_s']['mean'])} / {number(row['stop_s']['p95'])}",
            *(number(row[name]) for name in ("R_Y", "S_BC", "S_VT", "S_ND")),
            f"{number(row['resume_gap_s']['p95'])} (n={row['resume_gap_s']['n']})",
            number(row["right_word"]),
            str(row["stale_turns"]),
        )
        for policy, row in policies.items()
    ]
    return _table(head, rows) if rows else ""


def _kinds(policy: str, kinds: dict[str, Any]) -> str:
    names = ("ducked", "stood", "kept", "yielded", "stop_mean_s")
    rows = [(kind, str(row["sounds"]), *(number(row[name]) for name in names)) for kind, row in kinds.items()]
    return _table((policy, "sounds", "ducked", "stood", "kept", "yielded", "stop mean (s)"), rows)


def _rest(body: dict[str, Any]) -> str:
    turns, echo, off, added = body["turns"], body["echo"], body["heard_words_off"], body["added_latency_s"]
    rows: list[tuple[str, str]] = []
    if turns["turns"]:
        answers = turns["L_R"]
        rows += [
            ("turns of real speech, pauses of 0.3 s and more in them", f"{turns['turns']}, {turns['pauses']}"),
            ("R_R: answered", number(turns["R_R"])),
            ("I_A: talked into", number(turns["I_A"])),
            (
                "L_R mean / p50 / p95 (s)",
                f"{number(answers['mean'])} / {number(answers['p50'])} / {number(answers['p95'])} (n={answers['n']})",
            ),
            (
                "FDB v1 TOR / latency (s; clamped at 0)",
                f"{number(turns['FDB_TOR'])} / {number(turns['FDB_latency_s'])}",
            ),
            ("EVA turn taking", number(turns["EVA_turn_taking"])),
        ]
    if echo["calls"]:
        rows.append(
            (
                "own echo: false barge-ins / lowered / minutes of agent",
                f"{echo['false_barge_ins']} / {echo['ducked']} / {echo['agent_s'] / 60:.1f}",
            )
        )
    if added["n"]:
        rows.append(
            ("added latency p50 / p99 (s)", f"{number(added['p50'])} / {number(added['p99'])} (n={added['n']})")
        )
    if off["turns"]:
        rows.append(("heard words off by more than one / turns", f"{off['more_than_one']} / {off['turns']}"))
    rows.append(("took (s)", number(body["took_s"])))
    return _table(("figure", ""), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
