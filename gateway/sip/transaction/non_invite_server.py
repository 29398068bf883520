"""The server transaction of every request but INVITE and ACK: RFC 3261 §17.2.2 as RFC 4320 changed it.

A transaction user that says nothing is helped out by a late 100. After 64 T1 the client has given
up, so nothing is sent any more; neither is a 408, which could only come too late (RFC 4320 §4.2).
"""

from gateway.sip.transaction.table import Action, Event, Machine, State, step
from gateway.sip.transaction.timers import Timer

_DONE = step(State.COMPLETED, Action.SEND_RESPONSE)
_SILENT = step(State.TERMINATED)
_BROKEN = step(State.TERMINATED, Action.REPORT_TRANSPORT)

NON_INVITE_SERVER = Machine(
    name="non_invite_server",
    server=True,
    initial=State.TRYING,
    table={
        State.TRYING: {
            Event.PROVISIONAL: step(State.PROCEEDING, Action.SEND_RESPONSE),
            Event.SUCCESS: _DONE,
            Event.FAILURE: _DONE,
            Event.TIMEOUT_SENT: _SILENT,
            Timer.LATE_TRYING: step(State.PROCEEDING, Action.SEND_TRYING),
            Timer.EXPIRED: _SILENT,
        },
        State.PROCEEDING: {
            Event.REQUEST: step(State.PROCEEDING, Action.SEND_RESPONSE),
            Event.PROVISIONAL: step(State.PROCEEDING, Action.SEND_RESPONSE),
            Event.SUCCESS: _DONE,
            Event.FAILURE: _DONE,
            Event.TIMEOUT_SENT: _SILENT,
            Event.TRANSPORT_ERROR: _BROKEN,
            Timer.EXPIRED: _SILENT,
        },
        State.COMPLETED: {
            Event.REQUEST: step(State.COMPLETED, Action.SEND_RESPONSE),
            Event.TRANSPORT_ERROR: _BROKEN,
            Timer.J: step(State.TERMINATED),
        },
    },
    timers={
        State.TRYING: frozenset({Timer.LATE_TRYING, Timer.EXPIRED}),
        State.PROCEEDING: frozenset({Timer.EXPIRED}),
        State.COMPLETED: frozenset({Timer.J}),
        State.TERMINATED: frozenset(),
    },
)
