"""Every metric of the worker, in one place. Base units, few label values, never a call id."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from model_worker.engine.admission import Admission
from model_worker.engine.stats import EngineStep, LoopStats
from wire.bus.metrics import BUS_BUCKETS_S, bus_families
from wire.bus.seam import BusStats
from wire.messages import Decision, DecisionKind

_PREFIX = "twowire_worker_"

# A chunk is 0.4 s: a decision older than that is behind the caller. Peers answer after 0.3 to 1 s.
AGE_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 2.0, 4.0, 10.0)
# A scripted step takes 0.1 ms, a model 20 to 300; all calls of a worker share a step, so 0.4 s is its budget.
STEP_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.8, 2.0)
# Powers of two: what batched kernels are tuned for.
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# A word takes 0.3 s, a sentence 3, a story 20.
SPEECH_BUCKETS_S = (0.1, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0)
# The loop only carries messages: 5 ms late is the interpreter shared with the engine's thread, 50 ms a fault.
LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)


class WorkerMetrics:
    """The families of one worker process. At most five observations per chunk are made."""

    def __init__(
        self, registry: CollectorRegistry, loop_stats: LoopStats, admission: Admission, bus: Callable[[], BusStats]
    ) -> None:
        self.registry = registry
        registry.register(_CountsCollector(loop_stats, admission, bus))
        decisions = Counter(
            f"{_PREFIX}decisions", "Decisions of the model, one per chunk.", ["decision"], registry=registry
        )
        self._decisions = {kind: decisions.labels(kind.value) for kind in DecisionKind}
        self._chunk_age = Histogram(
            f"{_PREFIX}chunk_age_seconds",
            "How old a chunk of the caller was, from its last sample at the gateway, when it was decided on.",
            buckets=AGE_BUCKETS_S,
            registry=registry,
        )
        self._decision_latency = Histogram(
            f"{_PREFIX}decision_latency_seconds",
            "From a chunk being received by the worker to the decision on it.",
            buckets=AGE_BUCKETS_S,
            registry=registry,
        )
        self._queue_wait = Histogram(
            f"{_PREFIX}queue_wait_seconds",
            "From a chunk being received to the engine's step on it: the scheduler's share of the latency.",
            buckets=AGE_BUCKETS_S,
            registry=registry,
        )
        self._engine_step = Histogram(
            f"{_PREFIX}engine_step_seconds",
            "How long the engine took for one step, all calls together; with or without new chunks.",
            buckets=STEP_BUCKETS_S,
            registry=registry,
        )
        self._batch_size = Histogram(
            f"{_PREFIX}batch_size", "Chunks decided on in one step.", buckets=BATCH_BUCKETS, registry=registry
        )
        self.turn_speech = Histogram(
            f"{_PREFIX}turn_speech_seconds",
            "How much speech a turn of the agent had that ended by itself: a model that answers in silence is ill.",
            buckets=SPEECH_BUCKETS_S,
            registry=registry,
        )
        self.bus_lag = Histogram(
            f"{_PREFIX}bus_lag_seconds",
            "From a gateway's message being on the bus to it being here.",
            buckets=BUS_BUCKETS_S,
            registry=registry,
        )
        self.loop_lag = Histogram(
            f"{_PREFIX}event_loop_lag_seconds",
            "How late a timer of the event loop came.",
            buckets=LAG_BUCKETS_S,
            registry=registry,
        )
        self.tasks = Gauge(f"{_PREFIX}tasks", "Tasks on the event loop.", registry=registry)
        self.mailbox_overflow = Counter(
            f"{_PREFIX}mailbox_overflow_chunks",
            "Chunks dropped before the engine's thread, because it had stopped taking them.",
            registry=registry,
        )
        self.heartbeat_failures = Counter(
            f"{_PREFIX}heartbeat_failures", "Heartbeats that could not be written to the bus.", registry=registry
        )

    def observe_decision(self, decision: Decision) -> None:
        """One chunk was decided on."""
        self._decisions[decision.kind].inc()
        self._chunk_age.observe(decision.chunk_age_s)
        self._queue_wait.observe(decision.queue_s)
        self._decision_latency.observe(decision.queue_s + decision.step_s)

    def observe_step(self, step: EngineStep) -> None:
        """The engine made one step."""
        if step.chunks:
            self._batch_size.observe(step.chunks)
        self._engine_step.observe(step.seconds)


class _CountsCollector(Collector):
    """Exposes, at scrape time, what the engine loop and the bus count themselves."""

    def __init__(self, loop: LoopStats, admission: Admission, bus: Callable[[], BusStats]) -> None:
        self._loop = loop
        self._admission = admission
        self._bus = bus

    def collect(self) -> Iterator[Metric]:
        loop, bus = self._loop, self._bus()
        slots = GaugeMetricFamily(
            f"{_PREFIX}slots",
            "Calls: carried now, offered besides, and withheld: decisions were late with more, or memory is full.",
            labels=["state"],
        )
        free = max(0, self._admission.offered - loop.open_calls)
        slots.add_metric(["busy"], loop.open_calls)
        slots.add_metric(["free"], free)
        slots.add_metric(["withheld"], max(0, self._admission.slots - loop.open_calls - free))
        yield slots
        positions = GaugeMetricFamily(
            f"{_PREFIX}context_positions",
            "Positions of the model's context (keys, values): filled by open calls, and all that memory is kept for.",
            labels=["state"],
        )
        positions.add_metric(["used"], loop.context_used)
        positions.add_metric(["room"], loop.context_room)
        yield positions
        yield GaugeMetricFamily(
            f"{_PREFIX}backlog_chunks", "Chunks that wait for the engine.", value=loop.backlog_chunks
        )
        yield _by_reason("messages_dropped", "Messages of gateways that were not used.", loop.tally.drops)
        yield _by_reason("chunks_repaired", "Chunks that silence stands in for, whole or in part.", loop.tally.repairs)
        yield _by_reason("calls_failed", "Calls refused or given up.", loop.failures)
        yield _count("messages_lost", "Messages that the sequence numbers say are missing.", loop.tally.lost_messages)
        yield _count("steps_retried", "Steps the engine failed, repeated call by call.", loop.retried_steps)
        yield _count("speech_dropped", "Pieces of speech for a turn that was over.", loop.dropped_speech)
        yield _count(
            "silent_turns",
            "Turns of the agent that ended with less than 0.1 s of speech, or were stopped before there was any.",
            loop.silent_turns,
        )
        yield _count("says_ignored", "Words of operators that the engine has no way to say.", loop.ignored_says)
        yield _count("calls_taken_over", "Calls that another worker served before.", loop.taken_over)
        yield _count(
            "turns_diverged",
            "Turns ended in a take-over, because the engine said something else now.",
            loop.diverged_turns,
        )
        yield _count("snapshots_bad", "Snapshots that could not be restored.", loop.bad_snapshots)
        yield from bus_families(_PREFIX, bus)


def _by_reason(name: str, text: str, counts: Mapping[Any, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"{_PREFIX}{name}", text, labels=["reason"])
    for reason, count in counts.items():
        family.add_metric([str(reason)], count)
    return family


def _count(name: str, text: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(f"{_PREFIX}{name}", text, value=value)
