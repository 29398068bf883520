"""The report of one run: what it says, and whether it may be believed."""

import os
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from load_tests.figures import grown, json_number, mean_ms, ms_per_call_second, percentile, table
from load_tests.generator import Observed, Plan
from load_tests.schedule import CHUNK_MS

MAX_LATENESS_MS = 2.0  # p99; a generator later than this measures itself
MAX_GENERATOR_CORE = 0.7  # a busier one queues: the rule of siphon-ai's load tests, too
NOISY_BELOW_IDLE = 0.4
NOISY_ABOVE_OTHERS_CORE = 0.1  # of one core, in the measured time


@dataclass(frozen=True, slots=True)
class Machine:
    """The state of the machine just before the run."""

    idle_share: float
    load_1min: float = field(default_factory=lambda: os.getloadavg()[0])
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one run; all times in the unit of their name."""

    plan: Plan
    observed: Observed
    machine: Machine

    @property
    def lateness_p99_ms(self) -> float:
        return 1_000 * percentile(self.observed.tally.lateness_s, 0.99)

    @property
    def generator_core(self) -> float:
        return self.observed.cpu_s["generator"] / self.observed.window_s

    @property
    def others_core(self) -> float:
        """What processes that are not ours used in the measured time, in cores; some is the kernel's own work."""
        return max(0.0, self.observed.busy_s - sum(self.observed.cpu_s.values())) / self.observed.window_s

    @property
    def noisy(self) -> bool:
        """Whether the machine had other work: costs and latencies are then not comparable."""
        return self.machine.idle_share < NOISY_BELOW_IDLE or self.others_core > NOISY_ABOVE_OTHERS_CORE

    @property
    def faults(self) -> list[str]:
        """Why the run does not count; empty when it does."""
        faults = []
        if not self.lateness_p99_ms <= MAX_LATENESS_MS:
            faults.append(f"generator late by {self.lateness_p99_ms:.1f} ms (p99), more than {MAX_LATENESS_MS:.0f} ms")
        if self.generator_core > MAX_GENERATOR_CORE:
            faults.append(f"generator used {self.generator_core:.0%} of a core, more than {MAX_GENERATOR_CORE:.0%}")
        return faults

    @property
    def broken(self) -> bool:
        """True when calls were not answered or did not last."""
        return bool(self.observed.refusals or self.observed.calls_lost)

    def counters(self) -> dict[str, float]:
        """What the gateway counted over the run."""
        before, after = self.observed.metrics_before, self.observed.metrics_after

        def count(name: str) -> float:
            return grown(before, after, f"twowire_gateway_{name}_total")

        return {
            "decisions": count("decisions"),
            "decisions_missing": self.observed.expected_decisions - count("decisions"),
            "underruns": count("playout_underruns"),
            "underrun_ms": 1_000 * count("playout_underrun_seconds"),
            "damaged_frames": count("wire_damaged_frames"),
            "dropped_messages": count("messages_dropped"),
            "stale_messages": count("bus_stale_messages"),
            "unsent_messages": count("bus_unsent_messages"),
            "bad_input": count("bad_input"),
            "call_faults": count("call_faults"),
        }

    def as_json(self) -> dict[str, Any]:
        """Everything, as numbers; "inf" is an answer that never came, None what was not measured."""
        observed, tally = self.observed, self.observed.tally
        before, after = observed.metrics_before, observed.metrics_after
        answered = [latency for latency in tally.latencies_s if isfinite(latency)]
        body: dict[str, Any] = {
            "valid": not self.faults,
            "faults": self.faults,
            "calls": self.plan.calls,
            "calls_up": observed.calls_up,
            "calls_lost": observed.calls_lost,
            "refusals": dict(observed.refusals),
            "window_s": observed.window_s,
            "talk_share": self.plan.answer_ms / (self.plan.questions_every_chunks * CHUNK_MS),
            "cpu_ms_per_call_second": {
                name: ms_per_call_second(cpu_s, max(1, observed.calls_up), observed.window_s)
                for name, cpu_s in observed.cpu_s.items()
            },
            "core_share": {name: cpu_s / observed.window_s for name, cpu_s in observed.cpu_s.items()},
            "peak_mib": observed.peak_mib,
            "added_latency_ms": {
                **{f"p{share}": 1_000 * percentile(tally.latencies_s, share / 100) for share in (50, 90, 99)},
                "max": 1_000 * max(tally.latencies_s, default=float("nan")),
            },
            "questions": len(tally.latencies_s),
            "answers_missing": len(tally.latencies_s) - len(answered),
            "answers_wrong": tally.wrong_answers,
            "gaps_heard": tally.gaps,
            "clears": tally.clears,
            "decisions_expected": observed.expected_decisions,
            **self.counters(),
            "gateway_mean_ms": {
                "decision_latency": mean_ms(before, after, "twowire_gateway_decision_latency_seconds"),
                "bus_lag": mean_ms(before, after, "twowire_gateway_bus_lag_seconds"),
                "loop_lag": mean_ms(before, after, "twowire_gateway_event_loop_lag_seconds"),
            },
            "generator_lateness_ms": {
                "p50": 1_000 * percentile(tally.lateness_s, 0.5),
                "p99": self.lateness_p99_ms,
            },
            "machine": {
                "cores": self.machine.cores,
                "load_1min": self.machine.load_1min,
                "idle_before": self.machine.idle_share,
                "others_core": self.others_core,
                "noisy": self.noisy,
            },
            **self.door_json(),
        }
        rounded: dict[str, Any] = _rounded(body)
        return rounded

    def door_json(self) -> dict[str, Any]:
        """What only the callers of this door have to tell."""
        return {}

    def door_rows(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        """The same for people, out of the whole JSON."""
        return []

    def as_table(self) -> str:
        """For people."""
        body = self.as_json()
        latency = body["added_latency_ms"]
        machine = self.machine
        rows = [
            ("calls", f"{body['calls_up']} of {body['calls']} up, {body['calls_lost']} lost, {body['window_s']:.1f} s"),
            *((f"  refused: {reason}", str(count)) for reason, count in body["refusals"].items()),
            ("agent speaks", f"{body['talk_share']:.0%} of the time"),
            *(
                (
                    f"CPU {name}",
                    f"{cost:.3f} ms per call-second, {body['core_share'][name]:.1%} of a core"
                    + (f", peak {body['peak_mib'][name]:.0f} MiB" if name in body["peak_mib"] else ""),
                )
                for name, cost in body["cpu_ms_per_call_second"].items()
            ),
            ("added latency", ", ".join(f"{name} {as_ms(latency[name])}" for name in latency)),
            (
                "answers",
                f"{body['questions']} asked, {body['answers_missing']} missing, {body['answers_wrong']} wrong, "
                f"{body['gaps_heard']} with a gap, {body['clears']} cleared",
            ),
            *self.door_rows(body),
            *self._gateway_rows(body),
            (
                "generator",
                "late " + ", ".join(f"{name} {as_ms(value)}" for name, value in body["generator_lateness_ms"].items()),
            ),
            (
                "machine",
                f"{machine.cores} cores, {machine.idle_share:.0%} idle before, load {machine.load_1min:.1f}, "
                f"others used {self.others_core:.0%} of a core" + (" (NOISY)" if self.noisy else ""),
            ),
            ("run", "valid" if body["valid"] else "INVALID: " + "; ".join(body["faults"])),
        ]
        return table(rows)

    def _gateway_rows(self, body: dict[str, Any]) -> list[tuple[str, str]]:
        if not self.plan.gateway_url:
            return []
        return [
            ("decisions", f"{body['decisions']:.0f} of {body['decisions_expected']}"),
            ("underruns", f"{body['underruns']:.0f} ({body['underrun_ms']:.0f} ms)"),
            (
                "bad",
                f"damaged {body['damaged_frames']:.0f}, dropped {body['dropped_messages']:.0f}, "
                f"stale {body['stale_messages']:.0f}, unsent {body['unsent_messages']:.0f}, "
                f"bad input {body['bad_input']:.0f}, faults {body['call_faults']:.0f}",
            ),
            ("gateway means", ", ".join(f"{name} {as_ms(value)}" for name, value in body["gateway_mean_ms"].items())),
        ]


def as_ms(value: float | str | None) -> str:
    return f"{value:.1f} ms" if isinstance(value, float) else "missing" if value == "inf" else "none"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return json_number(value) if isinstance(value, float) else value
