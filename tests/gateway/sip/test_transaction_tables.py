"""The four tables against grids written from the figures of RFC 3261 §17 and RFC 6026 §7."""

import itertools
from types import SimpleNamespace

import pytest

from gateway.sip.flow import Flow
from gateway.sip.transaction.effects import TransactionId
from gateway.sip.transaction.invite_client import INVITE_CLIENT
from gateway.sip.transaction.invite_server import INVITE_SERVER
from gateway.sip.transaction.non_invite_client import NON_INVITE_CLIENT
from gateway.sip.transaction.non_invite_server import NON_INVITE_SERVER
from gateway.sip.transaction.table import Action, Event, Machine, State
from gateway.sip.transaction.timers import ABSORB, RETRANSMIT, Timer, Timers
from gateway.sip.transaction.transaction import Transaction
from tests.gateway.sip.transactions import TCP, UDP, request

MACHINES = (INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER)
EVENTS: tuple[Event | Timer, ...] = (*Event, *Timer)

# state, event -> next state: what is done. Every pair that is not here changes nothing.
GRIDS = {
    "invite_client": """
        calling A -> calling: send_request
        calling B -> terminated: report_timeout
        calling 1xx -> proceeding: report_response
        calling 2xx -> accepted: report_response
        calling 3xx-6xx -> completed: send_ack report_response
        calling cancel -> cancel_wanted:
        calling transport_error -> terminated: report_transport
        cancel_wanted A -> cancel_wanted: send_request
        cancel_wanted B -> terminated: report_timeout
        cancel_wanted 1xx -> cancelling: report_response send_cancel
        cancel_wanted 2xx -> accepted: report_response
        cancel_wanted 3xx-6xx -> completed: send_ack report_response
        cancel_wanted transport_error -> terminated: report_transport
        proceeding 1xx -> proceeding: report_response
        proceeding 2xx -> accepted: report_response
        proceeding 3xx-6xx -> completed: send_ack report_response
        proceeding cancel -> cancelling: send_cancel
        cancelling cancelled -> terminated: report_timeout
        cancelling 1xx -> cancelling: report_response
        cancelling 2xx -> accepted: report_response
        cancelling 3xx-6xx -> completed: send_ack report_response
        accepted 2xx -> accepted: report_response
        accepted M -> terminated:
        completed 2xx -> completed: report_stray
        completed 3xx-6xx -> completed: send_ack
        completed transport_error -> terminated:
        completed D -> terminated:
    """,
    "non_invite_client": """
        trying E -> trying: send_request
        trying F -> terminated: report_timeout
        trying 1xx -> proceeding: report_response
        trying 2xx -> completed: report_response
        trying 3xx-6xx -> completed: report_response
        trying transport_error -> terminated: report_transport
        proceeding E -> proceeding: send_request
        proceeding F -> terminated: report_timeout
        proceeding 1xx -> proceeding: report_response
        proceeding 2xx -> completed: report_response
        proceeding 3xx-6xx -> completed: report_response
        proceeding transport_error -> terminated: report_transport
        completed K -> terminated:
    """,
    "invite_server": """
        trying trying -> proceeding: send_trying
        trying 1xx -> proceeding: send_response
        trying 2xx -> accepted: send_response
        trying 3xx-6xx -> completed: send_response
        proceeding request -> proceeding: send_response
        proceeding 1xx -> proceeding: send_response
        proceeding 2xx -> accepted: send_response
        proceeding 3xx-6xx -> completed: send_response
        proceeding transport_error -> proceeding: report_transport
        accepted 2xx -> accepted: send_response
        accepted ack -> accepted: report_ack
        accepted transport_error -> accepted: report_transport
        accepted L -> terminated:
        completed request -> completed: send_response
        completed ack -> confirmed:
        completed transport_error -> completed: report_transport
        completed G -> completed: send_response
        completed H -> terminated: report_no_ack
        confirmed I -> terminated:
    """,
    "non_invite_server": """
        trying 1xx -> proceeding: send_response
        trying 2xx -> completed: send_response
        trying 3xx-6xx -> completed: send_response
        trying 408 -> terminated:
        trying late_trying -> proceeding: send_trying
        trying expired -> terminated:
        proceeding request -> proceeding: send_response
        proceeding 1xx -> proceeding: send_response
        proceeding 2xx -> completed: send_response
        proceeding 3xx-6xx -> completed: send_response
        proceeding 408 -> terminated:
        proceeding transport_error -> terminated: report_transport
        proceeding expired -> terminated:
        completed request -> completed: send_response
        completed transport_error -> terminated: report_transport
        completed J -> terminated:
    """,
}


def grid(name: str) -> dict[tuple[str, str], tuple[str, tuple[str, ...]]]:
    rows = {}
    for line in GRIDS[name].strip().splitlines():
        left, _, right = line.strip().partition(" -> ")
        state, event = left.split(" ")
        after, _, actions = right.partition(":")
        rows[state, event] = (after, tuple(actions.split()))
    return rows


def transaction_in(machine: Machine, state: State, flow: Flow = UDP) -> Transaction:
    transaction = Transaction(TransactionId(1), machine, "key", request(), flow, 0.0)
    transaction.state = state
    transaction.interval_s = 0.5
    return transaction


PAIRS = [
    pytest.param(machine, state, event, id=f"{machine.name}-{state.value}-{event.value}")
    for machine in MACHINES
    for state, event in itertools.product(machine.timers, EVENTS)
]


@pytest.mark.parametrize(("machine", "state", "event"), PAIRS)
def test_every_pair_of_state_and_event_does_what_the_figure_says(machine: Machine, state: State, event: Event | Timer):
    transaction = transaction_in(machine, state)
    actions = transaction.apply(event, 10.0, Timers())
    expected = grid(machine.name).get((state.value, event.value), (state.value, ()))
    assert (transaction.state.value, tuple(action.value for action in actions)) == expected


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_timers_that_run_in_a_state_are_those_it_has_a_step_for(machine: Machine):
    for state, timers in machine.timers.items():
        handled = {event for event in machine.table.get(state, {}) if isinstance(event, Timer)}
        assert handled == timers, state


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_is_reached_and_leads_to_the_end(machine: Machine):
    onward = {state: {step.state for step in machine.table.get(state, {}).values()} for state in machine.timers}

    def from_(start: State) -> set[State]:
        seen, todo = set(), [start]
        while todo:
            if (state := todo.pop()) not in seen:
                seen.add(state)
                todo += onward[state]
        return seen

    assert from_(machine.initial) == set(machine.timers)
    assert all(State.TERMINATED in from_(state) for state in machine.timers)
    assert State.TERMINATED not in machine.table


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_only_retransmission_timers_are_set_anew(machine: Machine):
    anew = {Action.DOUBLE, Action.DOUBLE_TO_T2, Action.HOLD_T2}
    for steps in machine.table.values():
        for event, step in steps.items():
            assert bool(anew & set(step.actions)) == (event in RETRANSMIT)


@pytest.mark.parametrize(
    ("machine", "events", "state"),
    [
        (INVITE_CLIENT, [Event.FAILURE], State.TERMINATED),
        (INVITE_CLIENT, [Event.SUCCESS], State.ACCEPTED),
        (NON_INVITE_CLIENT, [Event.PROVISIONAL, Event.SUCCESS], State.TERMINATED),
        (INVITE_SERVER, [Event.FAILURE], State.COMPLETED),
        (INVITE_SERVER, [Event.FAILURE, Event.ACK], State.TERMINATED),
        (INVITE_SERVER, [Event.SUCCESS], State.ACCEPTED),
        (NON_INVITE_SERVER, [Event.SUCCESS], State.TERMINATED),
    ],
    ids=str,
)
def test_on_reliable_transports_nothing_waits_for_retransmissions(machine: Machine, events: list[Event], state: State):
    transaction = Transaction(TransactionId(1), machine, "key", request(), TCP, 0.0)
    transaction.start(0.0, Timers())
    for event in events:
        transaction.apply(event, 1.0, Timers())
    assert transaction.state is state
    assert not set(transaction.deadlines) & (RETRANSMIT | ABSORB)


def test_the_timers_are_those_of_table_4():
    timers = Timers()
    names = SimpleNamespace(b=32, f=32, h=32, i=5, j=32, k=5, l=32, m=32)
    for letter, seconds in vars(names).items():
        assert getattr(timers, f"timer_{letter}") == seconds
        assert timers.duration(Timer(letter.upper()), reliable=False) == seconds
    assert timers.duration(Timer.D, reliable=False) == 32
    assert timers.duration(Timer.TRYING, reliable=True) == 0.2
    assert timers.late_trying_s == 3.5  # RFC 4320 §4.1: 0.5 + 1 + 2
    assert {timers.duration(timer, reliable=True) for timer in ABSORB} == {0.0}
    assert {timers.duration(timer, reliable=True) for timer in RETRANSMIT} == {None}


def test_other_base_values_scale_the_timers():
    timers = Timers(t1=0.1, t2=0.8, t4=1.0)
    assert timers.timer_b == pytest.approx(6.4)
    assert timers.timer_k == 1.0
    assert timers.timer_d == 32.0
    assert timers.late_trying_s == pytest.approx(0.7)


@pytest.mark.parametrize("name", ["t1", "t2", "t4", "timer_d", "trying_s"])
def test_a_timer_of_no_length_is_refused(name: str):
    with pytest.raises(ValueError, match=rf"expected {name} above 0 s, got 0"):
        Timers(**{name: 0.0})
