"""Every metric of the gateway, in one place. Base units, few label values, never a call id."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from wire.bus.metrics import BUS_BUCKETS_S, bus_families
from wire.bus.seam import BusStats

# Around the chunk of 0.4 s and the answer times people notice: 0.2 s feels immediate, 1 s slow, 3 s broken.
RESPONSE_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0)
# The parts of an answer: a bus takes a millisecond, a tick 20, a chunk 400; those of a fast reply add up to 1 s.
PART_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0)
# A tick is 20 ms: one late by less is inaudible, by more is a packet missing from the caller's ear.
LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
# Two frames lower the voice; what stops it takes 0.6 s of speech or a chunk and a model's word; peers take 0.35 to 0.5.
BARGE_IN_BUCKETS_S = (0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.75, 1.0)

# A speakerphone returns 6 to 15 dB below, a hybrid without a canceller 20 to 30; below 40 nobody is mistaken for it.
ECHO_BUCKETS_DB = (0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0)


class _BusCollector(Collector):
    """Exposes the bus's own counters at scrape time."""

    def __init__(self, stats: Callable[[], BusStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        return bus_families("twowire_gateway_", self._stats())


class _KeptCollector(Collector):
    """Exposes at scrape time what became of the records of calls."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "twowire_gateway_call_records",
            "Calls that are over, by what became of their record; and recordings, finished or stopped early.",
            labels=["result"],
        )
        for result, count in self._counts().items():
            family.add_metric([result], count)
        yield family


class GatewayMetrics:
    """The families of one gateway process; label children are bound by those who count."""

    def __init__(self, registry: CollectorRegistry, bus_stats: Callable[[], BusStats]) -> None:
        self.registry = registry
        registry.register(_BusCollector(bus_stats))
        self.calls_active = Gauge("twowire_gateway_calls_active", "Calls that have media now.", registry=registry)
        self.calls = Counter(
            "twowire_gateway_calls", "Calls that ended, by door and by how.", ["door", "outcome"], registry=registry
        )
        self.calls_refused = Counter(
            "twowire_gateway_calls_refused",
            "Calls not answered, by door and why.",
            ["door", "reason"],
            registry=registry,
        )
        self.fallbacks = Counter(
            "twowire_gateway_fallbacks",
            "Steps taken for callers for whom there was no slot: engine, greeting, queue, transfer, voicemail; and"
            " those that a door cannot take, which were passed over: greeting_skipped, voicemail_skipped.",
            ["door", "step"],
            registry=registry,
        )
        self.decisions = Counter(
            "twowire_gateway_decisions", "Decisions of the model, one per chunk.", ["decision"], registry=registry
        )
        self.decisions_missing = Counter(
            "twowire_gateway_decisions_missing", "Chunks that never got a decision.", registry=registry
        )
        self.shadow_decisions = Counter(
            "twowire_gateway_shadow_decisions",
            "Decisions of an engine that listens along, against those of the engine that is heard: same,"
            " shadow_speaks, shadow_listens; and shadows that got no_slot, or were lost.",
            ["result"],
            registry=registry,
        )
        self.replays_truncated = Counter(
            "twowire_gateway_replays_truncated",
            "Calls of which only the beginning is kept to be run again: too long, or the bus was away for too long.",
            registry=registry,
        )
        self.decision_latency = Histogram(
            "twowire_gateway_decision_latency_seconds",
            "From a chunk of the caller being complete to the decision on it being here.",
            buckets=RESPONSE_BUCKETS_S,
            registry=registry,
        )
        self.first_audio = Histogram(
            "twowire_gateway_first_audio_seconds",
            "From the chunk that made the model speak being complete to its voice leaving for the caller.",
            ["door"],
            buckets=RESPONSE_BUCKETS_S,
            registry=registry,
        )
        self.response_latency = Histogram(
            "twowire_gateway_response_seconds",
            "From the end of the caller's last word to the caller hearing the reply begin.",
            ["door"],
            buckets=RESPONSE_BUCKETS_S,
            registry=registry,
        )
        self.reply_part = Histogram(
            "twowire_gateway_reply_part_seconds",
            "Each part of that time, in the order in which they happen: jitter_buffer, endpoint, bus_up, queue,"
            " compute, bus_down, voice, playout, leg.",
            ["part"],
            buckets=PART_BUCKETS_S,
            registry=registry,
        )
        self.barge_in_stop = Histogram(
            "twowire_gateway_bargein_stop_seconds",
            "From the caller's first sound over the agent's voice to the order to stop it.",
            ["door"],
            buckets=BARGE_IN_BUCKETS_S,
            registry=registry,
        )
        self.duck = Histogram(
            "twowire_gateway_duck_seconds",
            "From the caller's first sound over the agent's voice to the order to lower it.",
            ["door"],
            buckets=BARGE_IN_BUCKETS_S,
            registry=registry,
        )
        self.overlaps = Counter(
            "twowire_gateway_overlaps",
            "Sounds of callers over the agent's voice, by what became of it: kept, resumed, yielded, passed (the turn"
            " was over before it was decided).",
            ["end"],
            registry=registry,
        )
        self.alarms = Counter(
            "twowire_gateway_alarms",
            "Engines that did a caller no good, by how: never_speaks (the call fails), dead_air (nobody said anything"
            " for 3 s after the caller), never_yields, too_long, loops (the turn is ended).",
            ["alarm"],
            registry=registry,
        )
        self.resume_gap = Histogram(
            "twowire_gateway_resume_gap_seconds",
            "How long the agent was silent in a turn that was stopped and went on.",
            buckets=BARGE_IN_BUCKETS_S,
            registry=registry,
        )
        self.echo_return_loss = Histogram(
            "twowire_gateway_echo_return_loss_db",
            "Of calls whose line sends back what the agent says: how far the echo lies below it.",
            buckets=ECHO_BUCKETS_DB,
            registry=registry,
        )
        self.turns = Counter(
            "twowire_gateway_turns", "Turns of the agent, by how they ended.", ["end"], registry=registry
        )
        self.calls_moved = Counter(
            "twowire_gateway_calls_moved",
            "Calls that another worker took over, by why: missed_decisions, silent (nothing at all came of the worker),"
            " draining, lease_lost, or what the worker said it failed of.",
            ["reason"],
            registry=registry,
        )
        self.calls_resumed = Counter(
            "twowire_gateway_calls_resumed",
            "Calls that came back after their leg, or the gateway that had them, was gone.",
            ["door"],
            registry=registry,
        )
        self.takeover = Histogram(
            "twowire_gateway_takeover_seconds",
            "From a worker being given up to another one having the call.",
            buckets=PART_BUCKETS_S,
            registry=registry,
        )
        self.underruns = Counter(
            "twowire_gateway_playout_underruns", "Gaps in the agent's voice within a turn.", registry=registry
        )
        self.underrun_seconds = Counter(
            "twowire_gateway_playout_underrun_seconds", "Length of all those gaps together.", registry=registry
        )
        self.dropped = Counter(
            "twowire_gateway_messages_dropped",
            "Messages from workers that were not used.",
            ["reason"],
            registry=registry,
        )
        self.bad_input = Counter(
            "twowire_gateway_bad_input",
            "Input from outside that was refused or ignored.",
            ["door", "reason"],
            registry=registry,
        )
        self.sip_registered = Gauge(
            "twowire_gateway_sip_registered",
            "Whether the registration of a trunk stands (1) or not (0).",
            ["trunk"],
            registry=registry,
        )
        self.sip_peer_up = Gauge(
            "twowire_gateway_sip_peer_up",
            "Whether the proxy of a trunk answered the last OPTIONS (1) or not (0).",
            ["trunk"],
            registry=registry,
        )
        self.transfers = Counter(
            "twowire_gateway_transfers",
            "Callers handed on, by way: refer, replaces, bridge, or failed.",
            ["way"],
            registry=registry,
        )
        self.call_faults = Counter(
            "twowire_gateway_call_faults", "Calls ended because of a fault of ours.", registry=registry
        )
        self.bus_lag = Histogram(
            "twowire_gateway_bus_lag_seconds",
            "From a worker's message being on the bus to it being here.",
            buckets=BUS_BUCKETS_S,
            registry=registry,
        )
        self.bus_up = Gauge(
            "twowire_gateway_bus_up",
            "Whether Redis answers within a quarter of a second (1) or not (0).",
            registry=registry,
        )
        self.bus_up.set(1)
        self.tasks = Gauge("twowire_gateway_tasks", "Tasks on the event loop.", registry=registry)
        self.loop_lag = Histogram(
            "twowire_gateway_event_loop_lag_seconds",
            "How late the 20 ms tick came.",
            buckets=LAG_BUCKETS_S,
            registry=registry,
        )

    def show_kept(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Have the records of calls counted too, by result."""
        self.registry.register(_KeptCollector(counts))
