from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.dtmf_in import DtmfReceiver

EventPackets = list[tuple[int, bytes]]
"""(timestamp, payload)"""


def event(code: int, duration: int, end: bool = False, volume: int = 10) -> bytes:
    return bytes([code, (0x80 if end else 0) | volume]) + duration.to_bytes(2, "big")


def press(code: int, timestamp: int, updates: int = 4) -> EventPackets:
    running = [(timestamp, event(code, 160 * (n + 1))) for n in range(updates)]
    return running + [(timestamp, event(code, 160 * (updates + 1), end=True))] * 3


def digits(packets: EventPackets, receiver: DtmfReceiver | None = None, ssrc: int = 1, start: float = 0.0) -> str:
    receiver = receiver or DtmfReceiver(8_000)
    found = [receiver.receive(ssrc, ts, data, start + 0.02 * n) for n, (ts, data) in enumerate(packets)]
    return "".join(digit for digit in found if digit)


def test_a_press_is_one_digit_and_known_with_its_first_packet():
    receiver = DtmfReceiver(8_000)
    packets = press(5, 8_000)
    assert receiver.receive(1, *packets[0], 0.0) == "5"
    assert digits(packets[1:], receiver) == ""


def test_every_key_has_its_digit():
    packets = [packet for code in range(16) for packet in press(code, 8_000 * code)]
    assert digits(packets) == "0123456789*#ABCD"


def test_the_same_key_twice_is_two_digits():
    assert digits(press(1, 0) + press(1, 1_600)) == "11"
    assert digits(press(1, 0) + press(1, 800)) == "11"  # without a pause: the first was ended


@given(st.data())
def test_whatever_is_lost_of_a_press_it_counts_once(data):
    packets = press(7, 400)
    kept = data.draw(st.lists(st.sampled_from(packets), min_size=1, max_size=10))
    assert digits(kept) == "7"


def test_the_order_of_the_packets_does_not_matter():
    for order in permutations(press(3, 0, updates=2)[:4]):
        assert digits(list(order)) == "3"


def test_a_late_packet_of_an_earlier_press_is_no_new_one():
    first, second = press(1, 0), press(2, 1_600)
    assert digits([first[0], second[0], first[-1], second[1], first[-1]]) == "12"


def test_a_long_press_goes_on_in_segments():
    first = [(0, event(9, min(0xFFFF, 400 * n))) for n in range(1, 165)]
    second = [(0xFFFF, event(9, 400 * n)) for n in range(1, 10)] + [(0xFFFF, event(9, 4_000, end=True))] * 3
    assert digits(first + second) == "9"


def test_a_segment_is_known_even_when_the_end_of_the_one_before_was_lost():
    first = [(0, event(9, 400 * n)) for n in range(1, 163)]  # 64,800 at last
    assert digits([*first, (0xFFFF, event(9, 400))]) == "9"


def test_timestamps_that_count_up_within_a_press_are_one_press():
    assert digits([(160 * n, event(4, 160 * (n + 1))) for n in range(6)]) == "4"


def test_when_the_end_was_lost_the_next_press_of_the_key_still_counts():
    receiver = DtmfReceiver(8_000)
    assert digits([(0, event(4, 400)), (0, event(4, 800))], receiver) == "4"
    assert digits([(790, event(4, 400))], receiver, start=0.3) == "4"


def test_the_timestamp_may_wrap_between_presses():
    assert digits(press(1, 2**32 - 800) + press(1, 800)) == "11"


def test_a_new_source_begins_anew():
    receiver = DtmfReceiver(8_000)
    assert digits(press(1, 8_000), receiver, ssrc=1) == "1"
    assert digits(press(1, 100), receiver, ssrc=2) == "1"


def test_a_clock_that_was_set_back_far_begins_anew():
    assert digits(press(1, 10_000_000) + press(1, 100)) == "11"


def test_flash_and_tones_are_no_keys():
    assert digits(press(16, 0) + press(32, 8_000) + press(255, 16_000)) == ""


def test_a_short_payload_is_counted():
    receiver = DtmfReceiver(8_000)
    assert receiver.receive(1, 0, b"\1\2\3", 0.0) is None
    assert receiver.malformed == 1
