"""The same targets, guided by coverage: ``pip install atheris``, which nothing else here needs, then

``python -m tests.fuzz.guided sip corpus/ -max_total_time=600 -max_len=4096 -timeout=5``

What follows the target goes to libFuzzer; ``corpus/`` is filled with the seeds and grows. The first defect ends the run
and leaves a ``crash-…`` file of the bytes.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> None:
    try:
        atheris: Any = import_module("atheris")
    except ImportError:
        raise SystemExit("expected atheris to be installed: pip install atheris") from None
    with atheris.instrument_imports(include=["gateway"]):
        targets = import_module("tests.fuzz.targets").TARGETS
    if len(arguments) < 2 or arguments[1] not in targets:
        raise SystemExit(f"expected one of {', '.join(targets)} and options of libFuzzer, got {arguments[1:]}")
    target = targets[arguments[1]]
    for folder in (Path(word) for word in arguments[2:3] if not word.startswith("-")):
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(target.seeds):
            (folder / f"seed-{number}").write_bytes(seed)
    atheris.Setup([arguments[0], *arguments[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
