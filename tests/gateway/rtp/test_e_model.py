"""The E-model against values of the recommendation, of G.113 and G.114, and against arithmetic done by hand."""

from dataclasses import replace
from math import log2, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.e_model import (
    Connection,
    absolute_delay_impairment,
    effective_equipment_impairment,
    listener_echo_impairment,
    mean_opinion,
    noise_dbm,
    rating_factor,
    sidetone_impairment,
    signal_to_noise,
    simultaneous_impairment,
    talker_echo_impairment,
)

PERFECT = Connection()
NOISE = noise_dbm(PERFECT)
SIGNAL = signal_to_noise(PERFECT, NOISE)


def delayed(delay_ms: float) -> Connection:
    return Connection(talker_echo_ms=delay_ms, round_trip_ms=2 * delay_ms, absolute_ms=delay_ms)


def test_every_default_gives_93_2_as_clause_7_7_says():
    assert rating_factor(PERFECT) == pytest.approx(93.2, abs=0.05)
    assert mean_opinion(rating_factor(PERFECT)) == pytest.approx(4.41, abs=0.005)


def test_the_defaults_have_the_noise_signal_and_impairment_that_are_quoted_for_them():
    assert pytest.approx(-61.18, abs=0.005) == NOISE
    assert pytest.approx(94.77, abs=0.005) == SIGNAL
    impairment = simultaneous_impairment(PERFECT, NOISE, SIGNAL, sidetone_impairment(PERFECT))
    assert impairment == pytest.approx(1.41, abs=0.005)


@pytest.mark.parametrize(("r", "mos"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_ratings_have_the_opinion_of_table_b1(r, mos):
    assert mean_opinion(r) == pytest.approx(mos, abs=0.008)


def test_opinions_end_at_1_and_4_5():
    assert mean_opinion(-5) == mean_opinion(0) == mean_opinion(3) == 1.0
    assert mean_opinion(100) == mean_opinion(120) == 4.5


@pytest.mark.parametrize(
    ("delay_ms", "least", "most"),
    [
        (0, 93, 94),
        (100, 90, 91),  # all users very satisfied up to here (G.109: 90)
        (150, 89, 90),  # what G.114 recommends not to exceed
        (200, 85, 87),
        (300, 72, 74),
        (400, 60, 64),  # the limit of G.114: many users dissatisfied (G.109: 60 to 70)
        (500, 50, 57),  # nearly all users dissatisfied
    ],
)
def test_delay_costs_what_the_curve_of_g114_shows(delay_ms, least, most):
    assert least <= rating_factor(delayed(delay_ms)) <= most


def test_delay_as_such_costs_nothing_up_to_100_ms():
    assert absolute_delay_impairment(0) == absolute_delay_impairment(100) == 0
    assert absolute_delay_impairment(101) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("delay_ms", [200, 400, 800])
def test_delay_as_such_follows_7_27(delay_ms):
    x = log2(delay_ms / 100)  # 1, 2 and 3
    by_hand = 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + x**6 / 729) ** (1 / 6) + 2)
    assert absolute_delay_impairment(delay_ms) == pytest.approx(by_hand)
    assert absolute_delay_impairment(200) == pytest.approx(3.04, abs=0.005)  # 25 (1.12246 - 3.00069 + 2)
    assert absolute_delay_impairment(800) == pytest.approx(40.84, abs=0.01)  # 25 (3.00069 - 3.36739 + 2)


def test_the_noise_of_a_silent_room_and_line_is_the_floor():
    quiet = Connection(circuit_noise_dbm=-200, sending_room_db=-30, receiving_room_db=-30)
    assert noise_dbm(quiet) == pytest.approx(-64 + 2, abs=0.01)  # Nfor + RLR, 7-7


@pytest.mark.parametrize(("percent", "ie"), [(0, 0), (1, 5), (2, 7), (3, 10), (5, 15), (7, 20), (10, 25), (15, 35)])
def test_random_loss_of_concealed_g711_costs_what_g113_tabulates(percent, ie):
    connection = Connection(loss_percent=percent, robustness=25.1)
    assert effective_equipment_impairment(connection) == pytest.approx(ie, abs=2.5)  # the table goes by fives


@pytest.mark.parametrize(
    ("codec", "ie", "bpl"), [("G.729A", 11, 19), ("G.723.1 at 6.3 kbit/s", 15, 16.1), ("GSM EFR", 5, 10)]
)
def test_a_codec_of_g113_starts_at_its_ie_and_loses_half_of_the_rest_at_its_bpl(codec, ie, bpl):
    connection = Connection(equipment=ie, robustness=bpl)
    assert rating_factor(connection) == pytest.approx(rating_factor(PERFECT) - ie), codec
    at_bpl = effective_equipment_impairment(replace(connection, loss_percent=bpl))
    assert at_bpl == pytest.approx(ie + (95 - ie) / 2), codec


def test_bursts_leave_more_damage_than_random_loss():
    random = Connection(loss_percent=4, robustness=4)
    assert effective_equipment_impairment(random) == pytest.approx(95 / 2)
    assert effective_equipment_impairment(replace(random, burst_ratio=2)) == pytest.approx(95 * 4 / 6)


def test_an_echo_within_a_millisecond_is_sidetone():
    assert talker_echo_impairment(Connection(talker_echo_ms=0.9, telr=20), NOISE, 0.0) == 0.0


def test_an_echo_is_worse_the_later_and_the_louder_it_is():
    def cost(delay_ms: float, telr: float) -> float:
        return talker_echo_impairment(Connection(talker_echo_ms=delay_ms, telr=telr), NOISE, 0.0)

    assert cost(50, 65) < 1.5 < cost(300, 65) < 8
    assert cost(50, 65) < cost(50, 45) < cost(50, 25)
    assert cost(50, 25) > 40  # an echo of 25 dB after a round trip of 100 ms: nobody can talk against it


def test_loud_sidetone_masks_echo_and_weak_sidetone_costs_by_itself():
    def cost(stmr: float, sidetone: float) -> float:
        return talker_echo_impairment(Connection(talker_echo_ms=100, telr=45, stmr=stmr), NOISE, sidetone)

    assert cost(8, 6) < cost(12, 6) == cost(15, 6)
    assert cost(21, 6) == pytest.approx(sqrt(cost(15, 6) ** 2 + 36))


def test_a_listener_echo_of_110_db_costs_nothing_and_one_of_10_db_much():
    assert listener_echo_impairment(PERFECT, SIGNAL) == pytest.approx(0.15, abs=0.005)
    assert listener_echo_impairment(Connection(wepl=10, round_trip_ms=20), SIGNAL) > 10


def test_ten_decibels_from_mouth_to_ear_are_best():
    best = rating_factor(PERFECT)
    assert rating_factor(Connection(slr=-2)) < best  # too loud
    assert rating_factor(Connection(slr=20)) < best  # too quiet: the noise comes up


def test_each_coding_adds_quantisation():
    ratings = [rating_factor(Connection(qdu=qdu)) for qdu in (1, 2, 4, 8, 14)]
    assert ratings == sorted(ratings, reverse=True)
    assert ratings[0] - ratings[1] < 2 < ratings[0] - ratings[-1]


def test_advantage_is_added():
    assert rating_factor(Connection(advantage=10)) == pytest.approx(rating_factor(PERFECT) + 10)


@given(st.floats(0, 10_000), st.floats(0, 100), st.floats(1, 2))
def test_no_network_is_rated_better_than_a_perfect_one(delay_ms, loss_percent, burst_ratio):
    r = rating_factor(replace(delayed(delay_ms), loss_percent=loss_percent, burst_ratio=burst_ratio, robustness=25.1))
    assert r <= rating_factor(PERFECT) + 0.2  # 7-19 gives a little back around 1 ms
