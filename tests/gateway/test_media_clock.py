"""The caller's media time on the call's clock: chunks come late, never early, and clocks drift."""

import random

import pytest

from gateway.runner.media_clock import MediaClock

RATE_HZ = 8_000
CHUNK = 3_200


def run(clock: MediaClock, first: int, complete_at: list[float]) -> None:
    """Chunk after chunk, from ``first`` on, each complete and decided at its time."""
    for index, at_s in enumerate(complete_at, first):
        clock.chunk_sent(index, (index + 1) * CHUNK)
        clock.chunk_complete(index, at_s)


def test_before_any_decision_both_clocks_are_one():
    clock = MediaClock(RATE_HZ)
    clock.chunk_sent(0, CHUNK)
    assert clock.lead_s is None
    assert clock.media_s(3.0) == 3.0


def test_the_lead_is_when_the_first_sample_came():
    clock = MediaClock(RATE_HZ)
    run(clock, 0, [0.55, 0.95])
    assert clock.lead_s == pytest.approx(0.15)
    assert clock.media_s(1.15) == pytest.approx(1.0)


def test_media_that_came_before_the_call_began_leads_by_nothing():
    clock = MediaClock(RATE_HZ)
    run(clock, 0, [0.1])
    assert clock.lead_s == 0.0
    assert clock.offset_s == pytest.approx(-0.3)


def test_a_late_chunk_does_not_move_the_clock_and_an_earlier_one_does():
    clock = MediaClock(RATE_HZ)
    run(clock, 0, [0.55, 1.03, 1.35, 1.73])  # late by 0.15, 0.23, 0.15 and 0.13 s
    assert clock.offset_s == pytest.approx(0.13)


def test_decisions_that_never_come_are_passed_over():
    clock = MediaClock(RATE_HZ)
    for index in range(4):
        clock.chunk_sent(index, (index + 1) * CHUNK)
    clock.chunk_complete(2, 1.3)
    clock.chunk_complete(1, 9.9)  # was passed over
    clock.chunk_complete(7, 9.9)  # was never sent
    assert clock.offset_s == pytest.approx(0.1)
    clock.chunk_complete(3, 1.6)
    assert clock.offset_s == pytest.approx(0.0)


@pytest.mark.parametrize("drift", [-100e-6, 100e-6])
def test_an_hour_of_a_clock_100_ppm_off_is_followed_within_10_ms(drift):
    chance = random.Random(7)
    clock = MediaClock(RATE_HZ)
    for index in range(9_000):
        true_s = 0.06 + (index + 1) * 0.4 * (1 + drift)
        clock.chunk_sent(index, (index + 1) * CHUNK)
        clock.chunk_complete(index, true_s + chance.choice((0.0, 0.002, 0.02, 0.08)))
        assert abs(clock.media_s(true_s) - (index + 1) * 0.4) < (0.010 if index > 8 else 0.09)


def test_media_that_stood_still_for_seconds_is_noticed_within_four():
    clock = MediaClock(RATE_HZ)
    run(clock, 0, [0.45 + 0.4 * n for n in range(20)])
    run(clock, 20, [3.45 + 0.4 * n for n in range(20, 28)])
    assert clock.offset_s == pytest.approx(3.05)


def test_some_chunks_late_by_a_burst_of_the_network_are_no_stand_still():
    clock = MediaClock(RATE_HZ)
    run(clock, 0, [0.45 + 0.4 * n for n in range(20)])
    run(clock, 20, [0.75 + 0.4 * n for n in range(20, 27)])
    run(clock, 27, [0.45 + 0.4 * n for n in range(27, 40)])
    assert clock.offset_s == pytest.approx(0.05)
