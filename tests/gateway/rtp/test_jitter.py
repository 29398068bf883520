import pytest

from gateway.rtp.jitter import Transit


def test_a_regular_stream_has_no_jitter():
    transit = Transit(3.0)
    for _ in range(100):
        transit.update(3.0)
    assert transit.jitter_s == 0.0
    assert transit.spread_s == 0.0


def test_jitter_grows_by_a_sixteenth_of_each_deviation():
    transit = Transit(0.0)
    transit.update(0.016)
    assert transit.jitter_s == pytest.approx(0.001)
    transit.update(0.0)  # as far again, back
    assert transit.jitter_s == pytest.approx(0.001 + (0.016 - 0.001) / 16)


def test_jitter_tends_to_the_mean_deviation():
    transit = Transit(0.0)
    for n in range(400):
        transit.update(0.01 * (n % 2))
    assert transit.jitter_s == pytest.approx(0.01, rel=1e-6)


def test_the_spread_is_between_the_fastest_and_the_slowest():
    transit = Transit(0.05)
    transit.update(0.08)
    transit.update(0.04)
    transit.update(0.06)
    assert transit.lowest == 0.04
    assert transit.spread_s == pytest.approx(0.04)


def test_a_spread_is_forgotten_after_two_windows():
    transit = Transit(0.0)
    transit.update(0.5)
    transit.rotate()
    transit.update(0.1)
    assert transit.spread_s == 0.5
    transit.rotate()
    transit.update(0.1)
    assert (transit.lowest, transit.spread_s) == (0.1, 0.0)


def test_windows_without_packets_forget_nothing():
    transit = Transit(1.0)
    for _ in range(3):
        transit.rotate()
    assert transit.lowest == 1.0
