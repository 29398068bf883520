"""What is computed from what was seen."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_tests.figures import (
    MISSING,
    grown,
    json_number,
    mean_ms,
    ms_per_call_second,
    parse_metrics,
    percentile,
    table,
)

PAGE = """\
# HELP twowire_gateway_decisions_total Decisions of the model, one per chunk.
# TYPE twowire_gateway_decisions_total counter
twowire_gateway_decisions_total{decision="listen"} 40.0
twowire_gateway_decisions_total{decision="speak"} 2.0
twowire_gateway_calls_active 1.0
lag_seconds_bucket{le="0.1"} 4.0
lag_seconds_count 4.0
lag_seconds_sum 0.02
odd{text="a } b"} 1e-3
"""


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1.0))
def test_a_percentile_is_a_value_that_enough_others_do_not_exceed(values: list[float], share: float) -> None:
    result = percentile(values, share)
    assert result in values
    assert sum(value <= result for value in values) >= share * len(values) - 1e-9


def test_missing_answers_are_the_slowest_of_all() -> None:
    latencies = [0.005] * 98 + [MISSING] * 2
    assert percentile(latencies, 0.5) == 0.005
    assert percentile(latencies, 0.98) == 0.005
    assert percentile(latencies, 0.99) == math.inf


def test_a_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 0.99))


def test_metrics_are_summed_over_their_labels() -> None:
    families = parse_metrics(PAGE)
    assert families["twowire_gateway_decisions_total"] == 42.0
    assert families["twowire_gateway_calls_active"] == 1.0
    assert families["odd"] == 0.001


def test_a_counter_that_was_not_there_yet_started_at_nothing() -> None:
    assert grown({}, parse_metrics(PAGE), "twowire_gateway_decisions_total") == 42.0
    assert grown({}, {}, "twowire_gateway_decisions_total") == 0.0


def test_the_mean_of_a_histogram_is_that_of_the_run() -> None:
    before = {"lag_seconds_count": 2.0, "lag_seconds_sum": 0.016}
    assert mean_ms(before, parse_metrics(PAGE), "lag_seconds") == pytest.approx(2.0)
    assert math.isnan(mean_ms({}, {}, "lag_seconds"))


def test_half_a_core_for_400_calls_is_1_25_ms_per_call_second() -> None:
    assert ms_per_call_second(cpu_s=5.0, calls=400, window_s=10.0) == pytest.approx(1.25)


def test_what_never_came_is_still_valid_json() -> None:
    numbers = [json_number(value) for value in (math.inf, math.nan, 1.23456)]
    assert json.loads(json.dumps(numbers, allow_nan=False)) == ["inf", None, 1.2346]


def test_a_table_is_as_wide_as_its_longest_name() -> None:
    assert table([("a", "1"), ("long", "2"), ("", "")]) == "a     1\nlong  2\n"
