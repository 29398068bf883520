"""What a process tells of itself: its Prometheus page, its memory, its sockets."""

import os
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from load_tests.chaos.fleet import Member
from load_tests.figures import parse_metrics

_BUCKET = re.compile(r'^(?P<family>\w+)_bucket\{.*?le="(?P<le>[^"]+)".*?\} (?P<count>\S+)$')
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Page:
    """One look at a process."""

    families: dict[str, float]
    buckets: dict[str, dict[float, float]]
    """Cumulative counts of each histogram by upper bound, over all labels."""
    resident_mib: float
    open_files: int


def look_at(member: Member) -> Page:
    """Blocks. Raises OSError when the process is gone."""
    with urllib.request.urlopen(member.url + "/metrics", timeout=_TIMEOUT_S) as response:
        text = response.read().decode()
    buckets: dict[str, dict[float, float]] = {}
    for line in text.splitlines():
        if (found := _BUCKET.match(line)) is not None:
            bounds = buckets.setdefault(found["family"], {})
            bound = float(found["le"])
            bounds[bound] = bounds.get(bound, 0.0) + float(found["count"])
    pid = member.process.pid
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    resident_mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Page(parse_metrics(text), buckets, resident_mib, len(os.listdir(f"/proc/{pid}/fd")))


def quantile(before: Page, after: Page, histogram: str, share: float) -> float | None:
    """The upper bound of the bucket that holds this share of what was observed between two looks; None of nothing."""
    old = before.buckets.get(histogram, {})
    grown = {bound: count - old.get(bound, 0.0) for bound, count in after.buckets.get(histogram, {}).items()}
    total = max(grown.values(), default=0.0)
    return next((bound for bound in sorted(grown) if total and grown[bound] >= share * total), None)
