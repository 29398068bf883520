"""The words of the four state tables: states, events, actions.

A table says, for a state and an event, the next state and what to do. A pair that is not in it
changes nothing. A second table says which timers run in which state: entering a state starts
those it has and the one before had not, and stops those it has not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from gateway.sip.transaction.timers import Timer


class State(Enum):
    """The states of RFC 3261 §17 and RFC 6026; no table has all of them."""

    CALLING = "calling"
    CANCEL_WANTED = "cancel_wanted"
    """Calling, and to be cancelled as soon as a provisional response allows it (RFC 3261 §9.1)."""
    TRYING = "trying"
    """Of the INVITE server: the part of the RFC's Proceeding in which nothing was said yet."""
    PROCEEDING = "proceeding"
    CANCELLING = "cancelling"
    """Proceeding, and a CANCEL was sent."""
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Event(Enum):
    """What happens to a transaction besides its timers.

    The classes of response are received ones for a client, sent ones for a server.
    """

    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "3xx-6xx"
    REQUEST = "request"
    """A retransmission."""
    ACK = "ack"
    CANCEL = "cancel"
    """The transaction user wants to cancel."""
    TRANSPORT_ERROR = "transport_error"
    TIMEOUT_SENT = "408"
    """The transaction user answers a request other than INVITE with 408."""


class Action(Enum):
    """What a step does. The first three set a retransmission timer anew, the others are for the layer."""

    DOUBLE = "double"
    DOUBLE_TO_T2 = "double_to_t2"
    HOLD_T2 = "hold_t2"
    SEND_REQUEST = "send_request"
    SEND_ACK = "send_ack"
    SEND_CANCEL = "send_cancel"
    SEND_RESPONSE = "send_response"
    """The last one given by the transaction user."""
    SEND_TRYING = "send_trying"
    REPORT_RESPONSE = "report_response"
    REPORT_STRAY = "report_stray"
    REPORT_ACK = "report_ack"
    REPORT_TIMEOUT = "report_timeout"
    REPORT_TRANSPORT = "report_transport"
    REPORT_NO_ACK = "report_no_ack"


@dataclass(frozen=True, slots=True)
class Step:
    state: State
    actions: tuple[Action, ...] = ()


def step(state: State, *actions: Action) -> Step:
    return Step(state, actions)


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """One of the four kinds of transaction. ``timers`` has every state, ``table`` those that something leaves."""

    name: str
    server: bool
    initial: State
    table: Mapping[State, Mapping[Event | Timer, Step]]
    timers: Mapping[State, frozenset[Timer]]
