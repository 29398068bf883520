"""The bus inside one process, where it differs from Redis."""

import pytest

from tests.wire.bus.helpers import Receiver, said
from wire.bus.local import LocalHub
from wire.ids import GatewayId, WorkerId


async def test_a_message_to_nobody_is_counted():
    gateway = LocalHub().endpoint(GatewayId("g1"))
    received = Receiver()
    await gateway.start(received)
    gateway.send(WorkerId("nobody"), said(0))
    gateway.send(GatewayId("g1"), said(1))
    await received.until(1)
    assert received.seqs == [1]
    assert gateway.stats.unsent_messages == 1


async def test_an_address_belongs_to_one_endpoint_until_it_closes():
    hub = LocalHub()
    first = hub.endpoint(GatewayId("g1"))
    await first.start(Receiver())
    with pytest.raises(ValueError, match="'g1' is taken"):
        await hub.endpoint(GatewayId("g1")).start(Receiver())
    await first.close()
    await hub.endpoint(GatewayId("g1")).start(Receiver())


async def test_a_receiver_gets_a_copy_that_went_through_the_codec_in_a_later_turn_of_the_loop():
    hub = LocalHub()
    worker = hub.endpoint(WorkerId("w1"))
    received = Receiver()
    await worker.start(received)
    message = said(0)
    hub.endpoint(GatewayId("g1")).send(WorkerId("w1"), message)
    assert received.messages == []
    await received.until(1)
    assert received.messages[0] == message
    assert received.messages[0] is not message
    assert received.lags_s == [0.0]
