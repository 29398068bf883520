"""The INVITE server transaction: RFC 3261 §17.2.1 with the Accepted state of RFC 6026 §7.1.

The 2xx is sent again by the transaction user until its ACK comes (§13.3.1.4); retransmissions of
the INVITE are absorbed meanwhile. A transport error is told and changes nothing (RFC 6026 §8.8).
"""

from gateway.sip.transaction.table import Action, Event, Machine, State, Step, step
from gateway.sip.transaction.timers import Timer

_ANSWERED: dict[Event | Timer, Step] = {
    Event.PROVISIONAL: step(State.PROCEEDING, Action.SEND_RESPONSE),
    Event.SUCCESS: step(State.ACCEPTED, Action.SEND_RESPONSE),
    Event.FAILURE: step(State.COMPLETED, Action.SEND_RESPONSE),
}

INVITE_SERVER = Machine(
    name="invite_server",
    server=True,
    initial=State.TRYING,
    table={
        State.TRYING: {
            **_ANSWERED,
            Timer.TRYING: step(State.PROCEEDING, Action.SEND_TRYING),
            # No step for a transport error: nothing was sent.
        },
        State.PROCEEDING: {
            **_ANSWERED,
            Event.REQUEST: step(State.PROCEEDING, Action.SEND_RESPONSE),
            Event.TRANSPORT_ERROR: step(State.PROCEEDING, Action.REPORT_TRANSPORT),
        },
        State.ACCEPTED: {
            Event.SUCCESS: step(State.ACCEPTED, Action.SEND_RESPONSE),
            Event.ACK: step(State.ACCEPTED, Action.REPORT_ACK),
            Event.TRANSPORT_ERROR: step(State.ACCEPTED, Action.REPORT_TRANSPORT),
            Timer.L: step(State.TERMINATED),
        },
        State.COMPLETED: {
            Event.REQUEST: step(State.COMPLETED, Action.SEND_RESPONSE),
            Event.ACK: step(State.CONFIRMED),
            Event.TRANSPORT_ERROR: step(State.COMPLETED, Action.REPORT_TRANSPORT),
            Timer.G: step(State.COMPLETED, Action.DOUBLE_TO_T2, Action.SEND_RESPONSE),
            Timer.H: step(State.TERMINATED, Action.REPORT_NO_ACK),
        },
        State.CONFIRMED: {
            Timer.I: step(State.TERMINATED),
        },
    },
    timers={
        State.TRYING: frozenset({Timer.TRYING}),
        State.PROCEEDING: frozenset(),
        State.ACCEPTED: frozenset({Timer.L}),
        State.COMPLETED: frozenset({Timer.G, Timer.H}),
        State.CONFIRMED: frozenset({Timer.I}),
        State.TERMINATED: frozenset(),
    },
)
