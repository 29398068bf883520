"""The age of an entry by a clock that is not ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.bus.server_clock import ServerClock

SERVER_AHEAD_S = 1_700_000_000.0


def test_the_lag_needs_no_common_clock():
    clock = ServerClock()
    clock.offer(100.0, 100.002, SERVER_AHEAD_S + 100.001)
    assert clock.lag_s(round((SERVER_AHEAD_S + 103) * 1000), now=103.25) == pytest.approx(0.25, abs=0.001)


def test_the_shortest_round_trip_is_believed():
    clock = ServerClock()
    clock.offer(100.0, 100.002, SERVER_AHEAD_S + 100.001)
    clock.offer(105.0, 105.400, SERVER_AHEAD_S + 105.001)  # a busy loop: the answer lay 0.399 s
    assert clock.lag_s(round((SERVER_AHEAD_S + 106) * 1000), now=106.1) == pytest.approx(0.1, abs=0.001)


def test_a_step_of_the_servers_clock_makes_no_fresh_audio_stale():
    clock = ServerClock()
    clock.offer(100.0, 100.001, SERVER_AHEAD_S + 100.0005)
    clock.offer(105.0, 105.004, SERVER_AHEAD_S - 60 + 105.002)
    assert clock.lag_s(round((SERVER_AHEAD_S - 60 + 106) * 1000), now=106.1) == pytest.approx(0.1, abs=0.001)


def test_a_slow_drift_is_followed():
    clock = ServerClock()
    drift = 100e-6
    for second in range(0, 3600, 5):
        clock.offer(second, second + 0.001, SERVER_AHEAD_S + second * (1 + drift))
    written_ms = round((SERVER_AHEAD_S + 3600 * (1 + drift)) * 1000)
    assert clock.lag_s(written_ms, now=3600.05) == pytest.approx(0.05, abs=0.005)


@given(st.floats(0, 0.5), st.floats(0, 1), st.floats(-0.5, 10))
def test_a_lag_is_never_negative(round_trip_s: float, share: float, age_s: float):
    clock = ServerClock()
    clock.offer(50.0, 50.0 + round_trip_s, SERVER_AHEAD_S + 50.0 + share * round_trip_s)
    lag_s = clock.lag_s(int((SERVER_AHEAD_S + 60) * 1000), now=60 + age_s)
    assert lag_s >= 0
    assert lag_s == pytest.approx(max(age_s, 0), abs=round_trip_s / 2 + 0.002)
