"""The client transaction of every request but INVITE and ACK: RFC 3261 §17.1.2."""

from gateway.sip.transaction.table import Action, Event, Machine, State, step
from gateway.sip.transaction.timers import Timer

_DONE = step(State.COMPLETED, Action.REPORT_RESPONSE)
_TIMED_OUT = step(State.TERMINATED, Action.REPORT_TIMEOUT)
_BROKEN = step(State.TERMINATED, Action.REPORT_TRANSPORT)

NON_INVITE_CLIENT = Machine(
    name="non_invite_client",
    server=False,
    initial=State.TRYING,
    table={
        State.TRYING: {
            Timer.E: step(State.TRYING, Action.DOUBLE_TO_T2, Action.SEND_REQUEST),
            Timer.F: _TIMED_OUT,
            Event.PROVISIONAL: step(State.PROCEEDING, Action.REPORT_RESPONSE),
            Event.SUCCESS: _DONE,
            Event.FAILURE: _DONE,
            Event.TRANSPORT_ERROR: _BROKEN,
        },
        State.PROCEEDING: {
            Timer.E: step(State.PROCEEDING, Action.HOLD_T2, Action.SEND_REQUEST),
            Timer.F: _TIMED_OUT,
            Event.PROVISIONAL: step(State.PROCEEDING, Action.REPORT_RESPONSE),
            Event.SUCCESS: _DONE,
            Event.FAILURE: _DONE,
            Event.TRANSPORT_ERROR: _BROKEN,
        },
        State.COMPLETED: {
            Timer.K: step(State.TERMINATED),
        },
    },
    timers={
        State.TRYING: frozenset({Timer.E, Timer.F}),
        State.PROCEEDING: frozenset({Timer.E, Timer.F}),
        State.COMPLETED: frozenset({Timer.K}),
        State.TERMINATED: frozenset(),
    },
)
