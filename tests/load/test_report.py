"""The report of one run."""

import json
import math

import pytest

pytest.importorskip("uvloop", reason="the load tests run where uvloop does")

from load_tests.generator import Observed, Plan
from load_tests.profile_gateway import folded, part_of, profile_table
from load_tests.report import Machine, Report


def report(lateness_ms: float = 0.5, generator_s: float = 2.0) -> Report:
    observed = Observed(
        window_s=10.0,
        calls_up=400,
        expected_decisions=1_000,
        cpu_s={"gateway": 5.0, "generator": generator_s},
        peak_mib={"gateway": 100.0},
        metrics_after={"twowire_gateway_decisions_total": 990.0},
    )
    observed.tally.lateness_s.extend([lateness_ms / 1_000] * 100)
    observed.tally.latencies_s = [0.005] * 97 + [math.inf] * 3
    plan = Plan("http://127.0.0.1:1", 400, 10.0, 7, 1_200)
    return Report(plan, observed, Machine(idle_share=0.9, load_1min=0.1, cores=2))


def test_cost_and_losses_are_named() -> None:
    body = report().as_json()
    assert body["cpu_ms_per_call_second"]["gateway"] == pytest.approx(1.25)
    assert body["decisions_missing"] == 10
    assert body["answers_missing"] == 3
    assert body["added_latency_ms"]["p50"] == pytest.approx(5.0)
    assert body["added_latency_ms"]["p99"] == "inf"
    json.dumps(body, allow_nan=False)


def test_a_late_generator_makes_the_run_invalid() -> None:
    assert report().faults == []
    assert "late by 2.5 ms" in report(lateness_ms=2.5).faults[0]


def test_a_busy_generator_makes_the_run_invalid() -> None:
    faulty = report(generator_s=8.0)
    assert "80% of a core" in faulty.faults[0]
    assert "INVALID" in faulty.as_table()


def test_other_work_on_the_machine_makes_a_run_noisy() -> None:
    busy = report()
    busy.observed.busy_s = 7.0  # all of it ours: 5 s the gateway, 2 s the generator
    assert not busy.noisy
    busy.observed.busy_s = 9.0
    assert busy.others_core == pytest.approx(0.2)
    assert busy.noisy


def test_a_run_without_a_sent_frame_is_invalid() -> None:
    empty = report()
    del empty.observed.tally.lateness_s[:]
    assert empty.faults


def test_missing_answers_show_in_the_table() -> None:
    assert "p99 missing" in report().as_table()
    assert "3 missing" in report().as_table()


def test_a_sample_belongs_to_its_innermost_known_frame() -> None:
    assert part_of(["run (uvloop/__init__.py:92)", "Call.poll (gateway/call.py:1)", "x (?)"]).startswith("call core")
    assert part_of(["Call.poll (gateway/call.py:1)", "read (libc.so.6)"]) == "kernel: reading sockets"
    assert part_of(["main (x.py:1)"]) == "other"


def test_a_profile_shares_the_cost_out() -> None:
    text = "main (x.py:3);Call.poll (gateway/call.py:1) 3\nmain (x.py:3);read (libc.so.6) 1\nnonsense\n"
    shown = profile_table(folded(text), cost_ms=2.0, functions=1)
    assert "75.0%  1.500" in shown
    assert "25.0%  0.500" in shown
    assert "Call.poll (gateway/call.py)" in shown
