import pytest

from gateway.rtp.jitter_buffer import MAX_WAIT_S, MIN_WAIT_S, Held, JitterBuffer


def held(extended: int) -> Held:
    return extended, 0, extended * 160, bytes(160)


def test_packets_come_out_in_order_however_they_came_in():
    buffer = JitterBuffer()
    for extended in (7, 5, 9, 6):
        buffer.hold(held(extended), 1.0)
    assert buffer.span_ticks == 4 * 160
    assert [buffer.take()[0] for _ in range(len(buffer))] == [5, 6, 7, 9]


def test_the_span_of_what_is_held_goes_on_through_the_end_of_the_clock():
    buffer = JitterBuffer()
    for n in range(3):
        buffer.hold((5 + n, 0, (2**32 - 160 + 160 * n) % 2**32, b"x"), 1.0)
    assert buffer.span_ticks == 2 * 160


def test_a_buffer_that_is_cleared_waits_for_nothing():
    buffer = JitterBuffer()
    buffer.hold(held(5), 1.0)
    buffer.clear()
    assert not buffer
    buffer.hold(held(5), 2.0)
    assert buffer.deadline(jitter_s=0.0) == pytest.approx(2.0 + MIN_WAIT_S)
    assert buffer.duplicates == 0


def test_a_packet_held_twice_is_a_duplicate():
    buffer = JitterBuffer()
    buffer.hold(held(5), 1.0)
    buffer.hold(held(5), 1.0)
    assert (len(buffer), buffer.duplicates) == (1, 1)


def test_a_gap_is_first_waited_for_as_long_as_one_packet():
    buffer = JitterBuffer()
    buffer.hold(held(5), 1.0)
    buffer.hold(held(6), 1.015)
    assert buffer.deadline(jitter_s=0.0) == pytest.approx(1.0 + MIN_WAIT_S)
    assert buffer.deadline(jitter_s=0.03) == pytest.approx(1.06)


def test_the_second_gap_is_waited_for_from_when_it_showed():
    buffer = JitterBuffer()
    buffer.hold(held(5), 1.0)
    buffer.hold(held(7), 1.04)
    buffer.take()
    assert buffer.deadline(jitter_s=0.0) == pytest.approx(1.04 + MIN_WAIT_S)


def test_a_reordered_packet_teaches_how_long_to_wait():
    buffer = JitterBuffer()
    buffer.hold(held(5), 1.0)
    buffer.close_gap(1.06)
    assert buffer.reordered == 1
    assert buffer.wait_s(0.0) == pytest.approx(0.075)


def test_a_packet_given_up_too_early_teaches_too():
    buffer = JitterBuffer()
    buffer.hold(held(5), 1.0)
    buffer.give_up(4, 5, 1.02)
    buffer.receive_behind(4, 1.1)
    assert (buffer.late, buffer.duplicates) == (1, 0)
    assert buffer.wait_s(0.0) == pytest.approx(0.125)
    buffer.receive_behind(4, 1.1)
    assert (buffer.late, buffer.duplicates) == (1, 1)


def test_it_never_waits_longer_than_the_limit_and_forgets():
    buffer = JitterBuffer()
    buffer.hold(held(5), 1.0)
    buffer.close_gap(9.0)
    assert buffer.wait_s(0.0) == MAX_WAIT_S
    for _ in range(40):
        buffer.forget_slowly()
    assert buffer.wait_s(0.0) == MIN_WAIT_S


def test_what_was_given_up_is_remembered_for_a_hundred_packets():
    buffer = JitterBuffer()
    buffer.give_up(0, 3_000, 1.0)
    buffer.receive_behind(2_899, 1.0)
    buffer.receive_behind(2_900, 1.0)
    assert (buffer.duplicates, buffer.late) == (1, 1)
