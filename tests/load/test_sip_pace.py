"""How evenly a stream arrives."""

import math
from collections.abc import Iterable

import pytest

from load_tests.pace import PACKET_S, PACKET_SAMPLES, Pace, PaceFigures

SSRC = 7


def heard(
    arrivals: Iterable[tuple[int, float]], first_seq: int = 0, first_timestamp: int = 0, end: float = 1.0
) -> Pace:
    """A stream of (packet number, arrival); the window is from 0 to ``end``."""
    pace = Pace()
    pace.begin = 0.0
    for number, at in arrivals:
        pace.note(SSRC, first_seq + number & 0xFFFF, first_timestamp + number * PACKET_SAMPLES & 0xFFFF_FFFF, at)
    pace.end = end
    return pace


def even(count: int, late_s: dict[int, float] | None = None) -> list[tuple[int, float]]:
    return [(number, 0.005 + number * PACKET_S + (late_s or {}).get(number, 0.0)) for number in range(count)]


def test_an_even_stream_has_no_error() -> None:
    figures = PaceFigures.of([heard(even(50))])
    assert figures.packets == 50
    assert figures.missing == 0
    assert figures.max_s == pytest.approx(0.0, abs=1e-9)


def test_the_error_of_a_late_packet_is_its_lateness_and_the_next_one_is_on_time() -> None:
    figures = PaceFigures.of([heard(even(50, {10: 0.012}))])
    assert figures.max_s == pytest.approx(0.012)
    assert figures.p50_s == pytest.approx(0.0, abs=1e-9)
    assert figures.late == 0
    assert PaceFigures.of([heard(even(50, {10: 0.021}))]).late == 1


def test_a_stream_that_falls_behind_for_good_is_late_for_good() -> None:
    figures = PaceFigures.of([heard(even(50, dict.fromkeys(range(20, 50), 0.03)))])
    assert figures.p50_s == pytest.approx(0.03)
    assert figures.late == 30


def test_each_call_is_measured_against_its_own_earliest_packet() -> None:
    behind = [(number, at + 0.4) for number, at in even(30)]
    figures = PaceFigures.of([heard(even(50)), heard(behind)])
    assert figures.max_s == pytest.approx(0.0, abs=1e-9)


def test_a_lost_packet_is_missing_and_infinitely_late() -> None:
    pace = heard([packet for packet in even(50) if packet[0] != 20])
    figures = PaceFigures.of([pace])
    assert (figures.lost, figures.skipped, figures.missing) == (1, 0, 1)
    assert figures.p99_s == math.inf
    assert figures.max_s == pytest.approx(0.0, abs=1e-9)


def test_a_packet_time_that_the_sender_left_out_is_missing_too() -> None:
    pace = Pace()
    pace.begin = 0.0
    for sequence, number in enumerate((0, 1, 2, 5, 6)):
        pace.note(SSRC, sequence, number * PACKET_SAMPLES, number * PACKET_S)
    pace.end = 0.15
    assert (pace.lost, pace.skipped, pace.missing) == (0, 2, 2)


def test_a_stream_that_stops_is_missing_until_the_end_of_the_window() -> None:
    assert heard(even(25)).missing == 25
    assert heard(even(48)).missing == 0  # the next may still be on its way


def test_a_stream_that_begins_late_is_missing_from_the_beginning_of_the_window() -> None:
    assert heard([packet for packet in even(50) if packet[0] >= 25]).missing == 25


def test_a_silent_call_is_missing_throughout() -> None:
    figures = PaceFigures.of([heard([])])
    assert figures.missing == 50
    assert figures.p50_s == math.inf
    assert math.isnan(figures.max_s)


def test_a_packet_that_overtook_another_is_not_lost() -> None:
    packets = even(50)
    packets[10], packets[11] = (packets[11][0], packets[10][1] + 0.019), (packets[10][0], packets[11][1])
    figures = PaceFigures.of([heard(packets)])
    assert (figures.lost, figures.reordered, figures.missing) == (0, 1, 0)
    assert figures.packets == 50


def test_a_doubled_packet_counts_once() -> None:
    packets = even(50)
    figures = PaceFigures.of([heard([*packets[:10], packets[9], packets[3], *packets[10:]])])
    assert (figures.packets, figures.duplicated, figures.reordered, figures.missing) == (50, 2, 0, 0)


def test_both_counters_may_wrap() -> None:
    figures = PaceFigures.of([heard(even(50), first_seq=65_520, first_timestamp=2**32 - 1_000)])
    assert (figures.packets, figures.missing, figures.restarts) == (50, 0, 0)
    assert figures.max_s == pytest.approx(0.0, abs=1e-6)


def test_a_new_ssrc_is_a_restart() -> None:
    pace = heard(even(25), end=math.inf)
    pace.note(SSRC + 1, 9_000, 123_456, 0.505)
    pace.end = 0.55
    assert (pace.restarts, pace.missing) == (1, 0)


def test_a_sequence_that_jumps_far_is_a_restart_and_no_loss() -> None:
    pace = heard(even(25), end=math.inf)
    pace.note(SSRC, 40_000, 2**31, 0.515)
    pace.note(SSRC, 40_001, 2**31 + PACKET_SAMPLES, 0.537)
    pace.end = 0.55
    assert (pace.restarts, pace.lost, pace.reordered, pace.missing) == (1, 0, 0, 0)
    assert PaceFigures.of([pace]).max_s == pytest.approx(0.002)


def test_what_arrives_outside_the_window_does_not_count() -> None:
    pace = Pace()
    pace.note(SSRC, 0, 0, 5.0)  # no window yet
    pace.begin, pace.end = 10.0, 11.0
    pace.note(SSRC, 1, 160, 9.99)
    pace.note(SSRC, 2, 320, 11.0)
    assert len(pace.transits_s) == 0
