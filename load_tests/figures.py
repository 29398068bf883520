"""What is computed from what was seen: percentiles, counters, shares. Pure."""

import math
import re
from collections.abc import Iterable, Sequence

MISSING = math.inf
"""An answer that never came. It counts: leaving it out would make a system better by failing."""

_SAMPLE = re.compile(r"^(?P<family>[a-zA-Z_:][\w:]*)(?:\{.*\})? (?P<value>\S+)")


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of all values do not exceed; NaN when there are none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def parse_metrics(text: str) -> dict[str, float]:
    """The families of a Prometheus text page, each summed over its labels."""
    families: dict[str, float] = {}
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample is not None:
            family = sample["family"]
            families[family] = families.get(family, 0.0) + float(sample["value"])
    return families


def grown(before: dict[str, float], after: dict[str, float], family: str) -> float:
    """How much a counter grew; one that is not there yet has not counted."""
    return after.get(family, 0.0) - before.get(family, 0.0)


def mean_ms(before: dict[str, float], after: dict[str, float], histogram: str) -> float:
    """Mean of what a histogram of seconds observed between two pages, in ms; NaN when nothing."""
    count = grown(before, after, f"{histogram}_count")
    return 1_000 * grown(before, after, f"{histogram}_sum") / count if count else math.nan


def ms_per_call_second(cpu_s: float, calls: int, window_s: float) -> float:
    """CPU time for one second of one call, in ms; 10 are one percent of a core."""
    return 1_000 * cpu_s / (calls * window_s)


def json_number(value: float) -> float | str | None:
    """JSON knows neither infinity nor NaN: "inf" for what is missing, None for what was not measured."""
    if math.isnan(value):
        return None
    return round(value, 4) if math.isfinite(value) else "inf"


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Two columns, the first as wide as its longest text."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in rows)
