"""A call with every engine that is a server's, against servers of ours: `python -m load_tests.engines`.

Real gateway, worker and Valkey; a caller over Twilio's protocol; the server speaks its engine's protocol and replies by
a script. What is measured is ours: from the server's first word to the caller's leg, and from the caller's voice over
the agent's to the agent's silence. How long a model thinks comes on top.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from load_tests.stack import Stack
from tests.engines.conformance.subjects import SUBJECTS
from tests.engines.subject import Reply, Script, Subject
from tests.peers.base import KEY

CALL_LIMIT_S = 90.0
REPLIES = (
    Reply(0.8, 1.6, "good day how can I help you"),
    Reply(9.0, 8.0, "this is a long story that goes on and on until somebody says stop"),
    Reply(18.0, 1.2, "I have stopped"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One engine's call. Latencies in seconds."""

    engine: str
    chunks: int
    decided: int
    turns: int
    response_s: list[float]
    """From the server's reply leaving it to its first sample leaving the gateway, of each turn."""
    ducked_s: float | None
    stopped_s: float | None
    """From the first sample of the caller's interruption to the last of the agent's that was sent after it."""
    words: int
    protocol_faults: list[str]
    trouble: str | None

    @property
    def holds(self) -> bool:
        return not (self.protocol_faults or self.trouble) and self.decided == self.chunks and self.stopped_s is not None


def run(subject: Subject) -> Row:
    """One call with one engine."""
    with tempfile.TemporaryDirectory(prefix="twowire-engines-") as directory, subject.peer(Script(REPLIES)) as peer:
        brief = subject.brief.model_dump(mode="json", exclude_defaults=True)
        (Path(directory) / "agent.yaml").write_text(yaml.safe_dump(brief))
        (Path(directory) / "key").write_text(KEY)
        settings = {
            "TWOWIRE_SERVER_KEY_FILE": str(Path(directory) / "key"),
            "TWOWIRE_AGENTS_DIR": directory,
            "TWOWIRE_AGENT": subject.brief.name,
            "TWOWIRE_SERVER_URL": peer.url,
            **subject.environment,
        }
        with Stack(2, 1_000, engine=subject.brief.engine, settings=settings) as stack:
            told = _call(stack)
        return _row(subject, told, peer.sessions, peer.faults)


def _call(stack: Stack) -> dict[str, Any]:
    command = [sys.executable, "-m", "twowire", "call", "--json", "--url", stack.gateway_url]
    command += ["--auth-token", stack.auth_token, "--api-token", stack.api_token]
    command += ["--say", "I would like to hear a story", "--say", "please stop now, I have a question for you"]
    command += ["--barge-in-at", "1.5", "--timeout", str(CALL_LIMIT_S)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * CALL_LIMIT_S, check=False)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"trouble": (done.stderr or done.stdout).strip()[-300:]}
    return found


def _row(subject: Subject, told: dict[str, Any], sessions: Sequence[Any], faults: Sequence[str]) -> Row:
    record = told.get("record") or {}
    began_unix_s = record.get("started_unix_s", 0.0)
    audible = [turn["audible_at_s"] for turn in record.get("turns", ()) if turn["audible_at_s"] is not None]
    replied = [at for session in sessions for at in session.replied_unix_s]
    barge_ins = told.get("barge_ins") or [{}]
    decisions = record.get("decisions", [])
    return Row(
        engine=subject.name,
        chunks=max((row["index"] for row in decisions), default=-1) + 1,
        decided=len(decisions),
        turns=len(record.get("turns", ())),
        response_s=[round(began_unix_s + at_s - left, 3) for at_s, left in zip(audible, replied, strict=False)],
        ducked_s=barge_ins[0].get("to_lowered_s"),
        stopped_s=barge_ins[0].get("to_silence_s"),
        words=sum(len((entry["heard"] or entry["text"]).split()) for entry in record.get("transcript", ())),
        protocol_faults=list(faults),
        trouble=told.get("trouble") or told.get("after_trouble") or told.get("record_trouble"),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when every call held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [subject.name for subject in SUBJECTS]
    parser.add_argument("--engine", choices=names, action="append", help="only this one; repeatable")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = []
    for subject in SUBJECTS:
        if not options.engine or subject.name in options.engine:
            rows.append(run(subject))
            if not options.json:
                _show(rows[-1], header=len(rows) == 1)
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
    return 0 if all(row.holds for row in rows) else 1


def _show(row: Row, *, header: bool) -> None:
    if header:
        print(f"{'engine':24} {'decisions':>10} {'turns':>5} {'response s':>20} {'ducked s':>8} {'stopped s':>9} words")
    response = " ".join(f"{value:.3f}" for value in row.response_s)
    ducked = "-" if row.ducked_s is None else f"{row.ducked_s:.3f}"
    stopped = "-" if row.stopped_s is None else f"{row.stopped_s:.3f}"
    decided = f"{row.decided}/{row.chunks}"
    print(f"{row.engine:24} {decided:>10} {row.turns:>5} {response:>20} {ducked:>8} {stopped:>9} {row.words:>5}")
    for fault in [*row.protocol_faults, *([row.trouble] if row.trouble else [])]:
        print(f"    {fault}")


if __name__ == "__main__":
    sys.exit(main())
