"""What the E-model makes of the figures of a leg."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.e_model import mean_opinion
from gateway.rtp.quality import (
    BEST_R,
    G711_WITH_CONCEALMENT,
    G711_WITHOUT_CONCEALMENT,
    Impairment,
    estimate_mos,
    rating,
)


def test_a_perfect_g711_call_has_4_41():
    assert rating(0, 0) == BEST_R
    assert estimate_mos(None, 0.0, 0.0) == pytest.approx(4.41, abs=0.005)


def test_150_ms_cost_little_and_400_ms_a_third():
    assert BEST_R - rating(0.150, 0) == pytest.approx(3.7, abs=0.05)
    assert BEST_R - rating(0.400, 0) == pytest.approx(31, abs=0.05)


def test_up_to_300_ms_the_line_of_cole_and_rosenbluth_is_met_within_two_points():
    for delay_ms in range(0, 301, 10):
        line = 93.2 - 0.024 * delay_ms - 0.11 * max(0, delay_ms - 177.3)
        assert rating(delay_ms / 1_000, 0) == pytest.approx(line, abs=2), delay_ms


def test_loss_halves_what_is_left_at_the_codecs_robustness():
    assert rating(0, 0.251) == pytest.approx(BEST_R - 95 / 2)
    assert rating(0, 0.043, G711_WITHOUT_CONCEALMENT) == pytest.approx(BEST_R - 95 / 2)
    assert rating(0, 0, Impairment(equipment=11, robustness=19)) == pytest.approx(BEST_R - 11)  # G.729A: G.113


def test_loss_in_bursts_costs_more():
    assert rating(0, 0.05, burst_ratio=2.0) < rating(0, 0.05)


def test_half_the_round_trip_and_the_buffer_are_the_delay():
    assert estimate_mos(0.2, 0.06, 0.01) == mean_opinion(rating(0.16, 0.01))


def test_figures_beyond_their_range_count_as_its_end():
    assert rating(-1, -1) == BEST_R
    assert rating(0, 7) == rating(0, 1)
    assert rating(10, 1) == 0


@given(st.floats(0, 2), st.floats(0, 2), st.floats(0, 1), st.floats(0, 1))
def test_worse_networks_never_sound_better(delay, more_delay, loss, more_loss):
    better = mean_opinion(rating(delay, loss, G711_WITH_CONCEALMENT))
    worse = mean_opinion(rating(delay + more_delay, min(1, loss + more_loss), G711_WITH_CONCEALMENT))
    assert 1.0 <= worse <= better + 0.01 <= 4.5  # 0.01: see talker_echo_impairment around 1 ms
