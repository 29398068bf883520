"""``python -m tests.fuzz sip --inputs 1000000 --seed 7``: ends with 1 when something was found."""

import argparse
import sys

from tests.fuzz.driver import fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    outcome = fuzz(TARGETS[arguments.target], arguments.inputs, arguments.seed)
    for place, finding in outcome.findings.items():
        print(f"{finding.times} x {place}\n  {finding.error}\n  {finding.data[:2_000]!r}")
    print(
        f"{arguments.target}: {outcome.inputs} inputs in {outcome.duration_s:.0f} s, {len(outcome.findings)} findings; "
        f"slowest parse {outcome.slowest_s * 1e3:.2f} ms of {len(outcome.slowest)} octets: {outcome.slowest[:160]!r}"
    )
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())
