"""How often a source may knock: token buckets, bounded in number."""

from collections import OrderedDict

MAX_SOURCES = 4_096


class RateLimit:
    """``rate_per_s`` a source on average, ``burst`` at once. The sources seen last are remembered."""

    def __init__(self, burst_s: float = 2.0) -> None:
        self._burst_s = burst_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # source -> (tokens, as of)

    def allows(self, source: str, rate_per_s: float, now: float) -> bool:
        """Take one token of ``source``; False when it has none left."""
        burst = max(1.0, rate_per_s * self._burst_s)
        tokens, since = self._buckets.pop(source, (burst, now))
        tokens = min(burst, tokens + (now - since) * rate_per_s)
        allowed = tokens >= 1.0
        self._buckets[source] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._buckets) > MAX_SOURCES:
            self._buckets.popitem(last=False)
        return allowed
