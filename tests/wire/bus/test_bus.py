"""What a bus promises, in one process and over Redis."""

from structlog.testing import capture_logs

from tests.wire.bus.conftest import Carrier
from tests.wire.bus.helpers import Receiver, answered, heard, said
from wire.ids import GatewayId, WorkerId
from wire.messages import AnyMessage

GATEWAY, WORKER = GatewayId("g1"), WorkerId("w1")


async def test_ten_thousand_messages_arrive_in_order_and_once(carrier: Carrier):
    gateway, worker = carrier.gateway(GATEWAY).bus, carrier.worker(WORKER).bus
    received = Receiver()
    await gateway.start(Receiver())
    await worker.start(received)
    for seq in range(10_000):
        gateway.send(WORKER, said(seq))
    await received.until(10_000)
    assert received.seqs == list(range(10_000))
    assert gateway.stats.sent_messages == worker.stats.received_messages == 10_000
    assert worker.stats.lost_superframes == worker.stats.repeated_superframes == 0


async def test_both_directions_work_at_once_and_reach_only_whom_they_are_for(carrier: Carrier):
    gateway, other, worker = (carrier.gateway(GATEWAY).bus, carrier.gateway("g2").bus, carrier.worker(WORKER).bus)
    at_gateway, at_other, at_worker = Receiver(), Receiver(), Receiver()
    await gateway.start(at_gateway)
    await other.start(at_other)

    def reply(message: AnyMessage, lag_s: float) -> None:
        at_worker(message, lag_s)
        worker.send(GATEWAY, answered(message.seq))

    await worker.start(reply)
    sent = [heard(seq) for seq in range(50)]
    for chunk in sent:
        gateway.send(WORKER, chunk)
    await at_gateway.until(50)
    assert at_worker.messages == sent
    assert at_gateway.messages == [answered(seq) for seq in range(50)]
    assert at_other.messages == []
    assert all(lag_s >= 0 for lag_s in at_worker.lags_s + at_gateway.lags_s)


async def test_a_receiver_that_raises_is_logged_once_and_misses_nothing(carrier: Carrier):
    gateway, worker = carrier.gateway(GATEWAY).bus, carrier.worker(WORKER).bus
    received = Receiver()

    def stumble(message: AnyMessage, lag_s: float) -> None:
        received(message, lag_s)
        if message.seq % 2:
            raise RuntimeError("the caller said: my PIN is 4711")

    with capture_logs() as logs:
        await worker.start(stumble)
        await gateway.start(Receiver())
        for seq in range(10):
            gateway.send(WORKER, said(seq))
        await received.until(10)
    failures = [line for line in logs if line["event"] == "bus.deliver_failed"]
    assert len(failures) == 1
    assert "4711" not in str(failures)
    assert worker.stats.failed_deliveries == 5


async def test_close_flushes_what_was_sent(carrier: Carrier):
    gateway, worker = carrier.gateway(GATEWAY).bus, carrier.worker(WORKER).bus
    received = Receiver()
    await worker.start(received)
    await gateway.start(Receiver())
    gateway.send(WORKER, said(0))
    await gateway.close()
    await gateway.close()
    await received.until(1)


async def test_what_was_sent_before_a_process_came_is_not_for_it(carrier: Carrier):
    gateway, worker = carrier.gateway(GATEWAY).bus, carrier.worker(WORKER).bus
    await gateway.start(Receiver())
    gateway.send(WORKER, said(0))
    await gateway.close()
    received, again = Receiver(), carrier.gateway(GATEWAY).bus
    await worker.start(received)
    await again.start(Receiver())
    again.send(WORKER, said(1))
    await received.until(1)
    assert received.seqs == [1]
