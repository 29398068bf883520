"""The E-model: published points, and the shape between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.quality import (
    BEST_R,
    G711_WITH_CONCEALMENT,
    G711_WITHOUT_CONCEALMENT,
    Impairment,
    estimate_mos,
    mean_opinion,
    rating,
)


@pytest.mark.parametrize(("r", "mos"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_ratings_have_the_opinion_of_g107_table_b1(r, mos):
    assert mean_opinion(r) == pytest.approx(mos, abs=0.008)


def test_a_perfect_g711_call_has_4_41():
    assert rating(0, 0) == BEST_R
    assert estimate_mos(None, 0.0, 0.0) == pytest.approx(4.41, abs=0.005)


def test_delay_costs_little_up_to_177_ms_and_much_beyond():
    assert BEST_R - rating(0.150, 0) == pytest.approx(3.6)
    assert BEST_R - rating(0.300, 0) == pytest.approx(7.2 + 0.11 * 122.7)


def test_loss_halves_what_is_left_at_the_codecs_robustness():
    assert rating(0, 0.251) == pytest.approx(BEST_R - 95 / 2)
    assert rating(0, 0.043, G711_WITHOUT_CONCEALMENT) == pytest.approx(BEST_R - 95 / 2)
    assert rating(0, 0, Impairment(equipment=11, robustness=19)) == pytest.approx(BEST_R - 11)  # G.729A: G.113


def test_loss_in_bursts_costs_more():
    assert rating(0, 0.05, burst_ratio=2.0) < rating(0, 0.05)


def test_half_the_round_trip_and_the_buffer_are_the_delay():
    assert estimate_mos(0.2, 0.06, 0.01) == mean_opinion(rating(0.16, 0.01))


@given(st.floats(0, 2), st.floats(0, 2), st.floats(0, 1), st.floats(0, 1))
def test_worse_networks_never_sound_better(delay, more_delay, loss, more_loss):
    better = mean_opinion(rating(delay, loss, G711_WITH_CONCEALMENT))
    worse = mean_opinion(rating(delay + more_delay, min(1, loss + more_loss), G711_WITH_CONCEALMENT))
    assert 1.0 <= worse <= better <= 4.5
