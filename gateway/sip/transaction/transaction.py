"""One transaction: where it is in its table, its timers, and the messages it may have to send again."""

from collections.abc import Hashable

from gateway.sip.flow import Flow
from gateway.sip.message import Request, Response
from gateway.sip.transaction.effects import TransactionId
from gateway.sip.transaction.table import Action, Event, Machine, State
from gateway.sip.transaction.timers import RETRANSMIT, Timer, Timers


class Transaction:
    """Walks the table of its machine; what the actions mean is up to the layer.

    ``flow`` is where the messages of this side go: the request of a client, the responses of a
    server. ``fallback`` is where a server's responses go once the connection of the request is gone.
    """

    __slots__ = (
        "cancel_headers",
        "cancelled",
        "deadlines",
        "fallback",
        "flow",
        "id",
        "interval_s",
        "key",
        "machine",
        "request",
        "response",
        "started",
        "state",
    )

    def __init__(
        self,
        transaction_id: TransactionId,
        machine: Machine,
        key: Hashable,
        request: Request,
        flow: Flow,
        now: float,
        fallback: Flow | None = None,
    ) -> None:
        self.id = transaction_id
        self.machine = machine
        self.key = key
        self.request = request
        self.flow = flow
        self.fallback = fallback
        self.started = now
        self.state = State.TERMINATED
        self.response: Response | None = None
        """Of a server: what was said last."""
        self.cancelled = False
        """Of a server: a CANCEL came."""
        self.cancel_headers: tuple[tuple[str, str], ...] = ()
        """Of a client: what its CANCEL will carry."""
        self.deadlines: dict[Timer, float] = {}
        self.interval_s = 0.0
        """From the last retransmission to the next."""

    @property
    def reliable(self) -> bool:
        return self.flow.transport.reliable

    def start(self, now: float, timers: Timers) -> None:
        """Enter the first state of the table."""
        self._enter(self.machine.initial, now, timers)

    def knows(self, event: Event | Timer) -> bool:
        """True when ``event`` has a step in this state."""
        return event in self.machine.table.get(self.state, {})

    def apply(self, event: Event | Timer, now: float, timers: Timers) -> tuple[Action, ...]:
        """Take one step and return what is left to do; nothing for an event without a step.

        A timer of zero length fires within the step, as on reliable transports those that absorb
        retransmissions do.
        """
        done: list[Action] = []
        pending: Event | Timer | None = event
        while pending is not None:
            step = self.machine.table.get(self.state, {}).get(pending)
            if step is None:
                break
            for action in step.actions:
                if action is Action.DOUBLE:
                    self._retransmit_after(pending, 2 * self.interval_s, now)
                elif action is Action.DOUBLE_TO_T2:
                    self._retransmit_after(pending, min(2 * self.interval_s, timers.t2), now)
                elif action is Action.HOLD_T2:
                    self._retransmit_after(pending, timers.t2, now)
                else:
                    done.append(action)
            pending = self._enter(step.state, now, timers) if step.state is not self.state else None
        return tuple(done)

    def pop_due(self, now: float) -> Timer | None:
        """Take the timer that fires first, if it is due."""
        timer = min(self.deadlines, key=self.deadlines.__getitem__, default=None)
        if timer is None or self.deadlines[timer] > now:
            return None
        del self.deadlines[timer]
        return timer

    def next_deadline(self) -> float | None:
        return min(self.deadlines.values(), default=None)

    def _retransmit_after(self, event: Event | Timer, interval_s: float, now: float) -> None:
        assert isinstance(event, Timer), "only the step of a retransmission timer sets it anew"
        self.interval_s = interval_s
        self.deadlines[event] = now + interval_s

    def _enter(self, state: State, now: float, timers: Timers) -> Timer | None:
        """Change state and timers. Returns a timer that has no time to run."""
        before, after = self.machine.timers[self.state], self.machine.timers[state]
        self.state = state
        for timer in before - after:
            self.deadlines.pop(timer, None)
        expired = None
        for timer in after - before:
            duration_s = timers.duration(timer, self.reliable)
            if duration_s == 0.0:
                expired = timer
            elif duration_s is not None:
                self.deadlines[timer] = now + duration_s
                if timer in RETRANSMIT:
                    self.interval_s = duration_s
        return expired
