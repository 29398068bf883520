"""What the bus counts itself, as Prometheus families; the same on both sides but for the prefix."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from wire.bus.seam import BusStats

# The bus takes 1 to 5 ms on one machine; 50 ms is a slow network, 0.4 s a chunk lost.
BUS_BUCKETS_S = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0, 5.0)


def bus_families(prefix: str, stats: BusStats) -> Iterator[Metric]:
    """The counters at scrape time, their names led by ``prefix``."""
    damaged = CounterMetricFamily(
        f"{prefix}wire_damaged_frames", "Frames from the bus that could not be read.", labels=["reason"]
    )
    for reason, count in sorted((stats.damaged_frames or {}).items()):
        damaged.add_metric([reason], count)
    yield damaged
    for name, text, value in (
        ("bus_messages_sent", "Messages handed to the bus.", stats.sent_messages),
        ("bus_superframes_sent", "Writes that carried them.", stats.sent_superframes),
        ("bus_messages_received", "Messages that arrived.", stats.received_messages),
        ("bus_stale_messages", "Audio dropped because it was too old when it arrived.", stats.stale_messages),
        ("bus_unsent_messages", "Messages dropped because the bus was away for too long.", stats.unsent_messages),
        ("bus_repeated_superframes", "Writes that arrived twice and were taken once.", stats.repeated_superframes),
        ("bus_lost_superframes", "Writes of a peer that never arrived.", stats.lost_superframes),
        ("bus_failed_deliveries", "Messages whose receiver failed on them.", stats.failed_deliveries),
    ):
        yield CounterMetricFamily(f"{prefix}{name}", text, value=value)
