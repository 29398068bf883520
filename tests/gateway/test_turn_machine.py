"""The table of turns, walked whole."""

import itertools

import pytest

from gateway.turn.machine import TRANSITIONS, TurnEvent, TurnMachine, TurnState


def reach(state: TurnState) -> TurnMachine:
    machine = TurnMachine()
    paths = {
        TurnState.LISTENING: [],
        TurnState.SPEAKING: [TurnEvent.OPENED],
        TurnState.FINISHING: [TurnEvent.OPENED, TurnEvent.COMPLETED],
    }
    for event in paths[state]:
        machine.apply(event)
    assert machine.state is state
    return machine


@pytest.mark.parametrize(("state", "event"), list(itertools.product(TurnState, TurnEvent)))
def test_every_pair_moves_as_the_table_says_or_is_a_fault(state: TurnState, event: TurnEvent):
    machine = reach(state)
    if event in TRANSITIONS[state]:
        machine.apply(event)
        assert machine.state is TRANSITIONS[state][event]
    else:
        with pytest.raises(KeyError):
            machine.apply(event)
        assert machine.state is state


def test_the_agent_has_the_floor_until_its_last_sample_was_heard():
    machine = TurnMachine()
    floor = [machine.has_floor]
    for event in (TurnEvent.OPENED, TurnEvent.COMPLETED, TurnEvent.PLAYED_OUT):
        machine.apply(event)
        floor.append(machine.has_floor)
    assert floor == [False, True, True, False]
