"""A flood of requests fills the table and no more, and its memory comes back."""

import gc
import tracemalloc

from gateway.sip.message import Response
from gateway.sip.transaction.effects import AckMissing, RequestReceived, SendMessage, TransactionId
from gateway.sip.transaction.schedule import Schedule
from tests.gateway.sip.transactions import TCP, UDP, Bench, our_request, request, statuses

BOUND = 2_000
FLOOD = 10_000


def flood(bench: Bench, requests: int = FLOOD) -> tuple[list[RequestReceived], list[Response]]:
    told, refused = [], []
    for number in range(requests):
        [effect] = bench.receive(request(branch=f"z9hG4bK{number}", call_id=str(number)))
        if isinstance(effect, RequestReceived):
            told.append(effect)
        else:
            assert isinstance(effect, SendMessage)
            assert isinstance(effect.message, Response)
            refused.append(effect.message)
    return told, refused


def test_a_flood_fills_the_table_and_the_rest_is_refused_without_state():
    bench = Bench(max_transactions=BOUND)
    told, refused = flood(bench)
    assert len(told) == BOUND
    assert {response.status for response in refused} == {503}
    stats = bench.layer.stats()
    assert (stats["server_transactions"], stats["refused_requests"]) == (BOUND, FLOOD - BOUND)
    # A copy of one that was refused is refused with the same words, a copy of one that was not is absorbed.
    [again] = bench.receive(request(branch=f"z9hG4bK{FLOOD - 1}", call_id=str(FLOOD - 1)))
    assert isinstance(again, SendMessage)
    assert again.message.to_bytes() == refused[-1].to_bytes()
    assert bench.receive(request(branch="z9hG4bK0", call_id="0")) == []


def test_calls_can_end_and_be_placed_during_a_flood():
    bench = Bench(max_transactions=8)
    for number in range(8):
        bench.accept(request(branch=f"z9hG4bK{number}"))
    assert statuses(bench.receive(request("OPTIONS"))) == [503]
    bye = bench.accept(request("BYE", to_tag="ours"))
    assert statuses(bench.respond(bye, 200)[1]) == [200]
    assert statuses(bench.receive(request("BYE", to_tag="ours", branch="z9hG4bKother"))) == [503]
    assert statuses(bench.receive(request("CANCEL", branch="z9hG4bK3"))) == [200]
    bench.send(our_request())


def test_the_table_is_empty_again_after_the_timers():
    gc.collect()
    tracemalloc.start()
    try:
        bench = Bench(max_transactions=500)
        empty = tracemalloc.get_traced_memory()[0]
        told, refused = flood(bench, 1_000)
        for received in told:
            bench.respond(received, 480)
        full = tracemalloc.get_traced_memory()[0]
        assert sum(isinstance(effect, AckMissing) for _, effect in bench.run(32)) == 500
        assert bench.live == 0
        assert bench.layer.next_deadline() is None
        del told, refused, received
        gc.collect()
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # Emptied dictionaries keep their slots.
    assert left - empty < (full - empty) / 20


def test_the_next_deadline_stays_cheap_with_many_transactions():
    bench = Bench()
    for number in range(1_000):
        bench.now += 0.001
        bench.send(our_request("OPTIONS"), TCP if number % 2 else UDP)
    for _ in range(1_000):
        assert bench.layer.next_deadline() == 100.501
    bench.run(31)
    assert bench.live == 1_000


def test_a_schedule_wakes_in_order_and_only_at_the_last_moment_set():
    schedule = Schedule()
    for number, when in ((1, 3.0), (2, 1.0), (3, 2.0), (2, 5.0), (3, 0.5), (1, 3.0)):
        schedule.set(TransactionId(number), when)
    assert schedule.next() == 0.5
    assert schedule.pop_due(0.4) is None
    woken = [schedule.pop_due(10.0) for _ in range(4)]
    assert woken == [3, 1, 2, None]
    schedule.set(TransactionId(2), 5.0)  # the same moment again
    assert schedule.pop_due(5.0) == 2
    schedule.set(TransactionId(4), 1.0)
    schedule.set(TransactionId(4), None)
    schedule.set(TransactionId(5), None)
    assert schedule.next() is None


def test_a_schedule_forgets_moments_that_no_longer_hold():
    schedule = Schedule()
    schedule.set(TransactionId(0), 0.0)
    for number in range(10_000):
        schedule.set(TransactionId(1), 1_000.0 + number)
    assert len(schedule) == 2
    assert len(schedule._heap) < 100
    assert schedule.pop_due(0.0) == 0
    assert schedule.next() == 10_999.0
