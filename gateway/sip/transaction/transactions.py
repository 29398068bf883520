"""The transactions that live: by id, by matching key, by peer, and by the time they wake."""

from collections.abc import Hashable

from gateway.sip.flow import Address, Flow, Transport
from gateway.sip.transaction.effects import TransactionId
from gateway.sip.transaction.schedule import Schedule
from gateway.sip.transaction.transaction import Transaction

_Peer = tuple[Transport, Address]


class Transactions:
    """Four views of one set; ``add``, ``remove`` and ``move`` keep them together."""

    def __init__(self) -> None:
        self.servers: dict[Hashable, Transaction] = {}
        self.clients: dict[Hashable, Transaction] = {}
        self._by_id: dict[TransactionId, Transaction] = {}
        self._by_peer: dict[_Peer, dict[TransactionId, Transaction]] = {}
        self._schedule = Schedule()

    def get(self, transaction: TransactionId) -> Transaction | None:
        return self._by_id.get(transaction)

    def on(self, flow: Flow) -> list[Transaction]:
        """Those that use the connection of ``flow``, or leave the choice of a connection to its remote open."""
        there = self._by_peer.get((flow.transport, flow.remote), {})
        return [transaction for transaction in there.values() if transaction.flow.connection in (flow.connection, 0)]

    def add(self, transaction: Transaction) -> None:
        side = self.servers if transaction.machine.server else self.clients
        assert transaction.key not in side, "the layer looks before it adds"
        side[transaction.key] = transaction
        self._by_id[transaction.id] = transaction
        self._arrive(transaction)
        self.wake(transaction)

    def remove(self, transaction: Transaction) -> None:
        del (self.servers if transaction.machine.server else self.clients)[transaction.key]
        del self._by_id[transaction.id]
        self._leave(transaction)
        self._schedule.set(transaction.id, None)

    def move(self, transaction: Transaction, flow: Flow) -> None:
        """Give ``transaction`` another flow."""
        self._leave(transaction)
        transaction.flow = flow
        self._arrive(transaction)

    def wake(self, transaction: Transaction) -> None:
        """Take note of the timers of ``transaction``."""
        self._schedule.set(transaction.id, transaction.next_deadline())

    def pop_due(self, now: float) -> Transaction | None:
        """One whose timer fires at ``now`` or before, the earliest first; it sleeps until ``wake``."""
        transaction = self._schedule.pop_due(now)
        return None if transaction is None else self._by_id[transaction]

    def next_deadline(self) -> float | None:
        return self._schedule.next()

    def _arrive(self, transaction: Transaction) -> None:
        peer = (transaction.flow.transport, transaction.flow.remote)
        self._by_peer.setdefault(peer, {})[transaction.id] = transaction

    def _leave(self, transaction: Transaction) -> None:
        peer = (transaction.flow.transport, transaction.flow.remote)
        there = self._by_peer[peer]
        del there[transaction.id]
        if not there:
            del self._by_peer[peer]
