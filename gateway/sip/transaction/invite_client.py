"""The INVITE client transaction: RFC 3261 §17.1.1 with the Accepted state of RFC 6026 §7.2 and CANCEL of §9.1.

Timer B runs in Calling only: once a provisional response came, a callee may ring as long as the
transaction user lets it. A 2xx after a failure is told as a stray one, because a forking proxy
sends every 2xx on at once, whatever it sent before (§16.7 step 5).
"""

from gateway.sip.transaction.table import Action, Event, Machine, State, step
from gateway.sip.transaction.timers import Timer

_FAILED = step(State.COMPLETED, Action.SEND_ACK, Action.REPORT_RESPONSE)
_ACCEPTED = step(State.ACCEPTED, Action.REPORT_RESPONSE)
_TIMED_OUT = step(State.TERMINATED, Action.REPORT_TIMEOUT)

INVITE_CLIENT = Machine(
    name="invite_client",
    server=False,
    initial=State.CALLING,
    table={
        State.CALLING: {
            Timer.A: step(State.CALLING, Action.DOUBLE, Action.SEND_REQUEST),
            Timer.B: _TIMED_OUT,
            Event.PROVISIONAL: step(State.PROCEEDING, Action.REPORT_RESPONSE),
            Event.SUCCESS: _ACCEPTED,
            Event.FAILURE: _FAILED,
            Event.CANCEL: step(State.CANCEL_WANTED),
            Event.TRANSPORT_ERROR: step(State.TERMINATED, Action.REPORT_TRANSPORT),
        },
        State.CANCEL_WANTED: {
            Timer.A: step(State.CANCEL_WANTED, Action.DOUBLE, Action.SEND_REQUEST),
            Timer.B: _TIMED_OUT,
            Event.PROVISIONAL: step(State.CANCELLING, Action.REPORT_RESPONSE, Action.SEND_CANCEL),
            Event.SUCCESS: _ACCEPTED,
            Event.FAILURE: _FAILED,
            Event.TRANSPORT_ERROR: step(State.TERMINATED, Action.REPORT_TRANSPORT),
        },
        State.PROCEEDING: {
            Event.PROVISIONAL: step(State.PROCEEDING, Action.REPORT_RESPONSE),
            Event.SUCCESS: _ACCEPTED,
            Event.FAILURE: _FAILED,
            Event.CANCEL: step(State.CANCELLING, Action.SEND_CANCEL),
            # No step for a transport error: nothing is being sent, and the server opens a
            # connection of its own when the one the request came on is gone (§18.2.2).
        },
        State.CANCELLING: {
            Timer.CANCELLED: _TIMED_OUT,
            Event.PROVISIONAL: step(State.CANCELLING, Action.REPORT_RESPONSE),
            Event.SUCCESS: _ACCEPTED,
            Event.FAILURE: _FAILED,
        },
        State.ACCEPTED: {
            Timer.M: step(State.TERMINATED),
            Event.SUCCESS: step(State.ACCEPTED, Action.REPORT_RESPONSE),
        },
        State.COMPLETED: {
            Timer.D: step(State.TERMINATED),
            Event.SUCCESS: step(State.COMPLETED, Action.REPORT_STRAY),
            Event.FAILURE: step(State.COMPLETED, Action.SEND_ACK),
            # The transaction user has its final response: nothing to tell it.
            Event.TRANSPORT_ERROR: step(State.TERMINATED),
        },
    },
    timers={
        State.CALLING: frozenset({Timer.A, Timer.B}),
        State.CANCEL_WANTED: frozenset({Timer.A, Timer.B}),
        State.PROCEEDING: frozenset(),
        State.CANCELLING: frozenset({Timer.CANCELLED}),
        State.ACCEPTED: frozenset({Timer.M}),
        State.COMPLETED: frozenset({Timer.D}),
        State.TERMINATED: frozenset(),
    },
)
