"""Every engine there is, as far as it runs without weights."""

from importlib import import_module
from pathlib import Path

from tests.engines.subject import Subject

_HERE = Path(__file__).parent.parent


def all_subjects() -> list[Subject]:
    """``SUBJECTS`` of every ``tests/engines/<engine>/subject.py``."""
    found: list[Subject] = []
    for path in sorted(_HERE.glob("*/subject.py")):
        found += import_module(f"tests.engines.{path.parent.name}.subject").SUBJECTS
    return found


SUBJECTS = all_subjects()
