"""Whose turn it is: every pair of the table, and the lengths that the rules speak of."""

import itertools
from collections.abc import Iterable

import pytest

from gateway.turn.floor import TRANSITIONS, FloorAction, FloorEvent, FloorMachine, FloorState
from gateway.turn.overlap import OverlapWatch
from tests.gateway.calls import FRAME, SILENCE
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.messages import Floor, OverlapRules

SPEECH = jfk_ulaw()[43_200:61_600]  # 2.3 s in which the detector finds speech in every frame
JUDGED = OverlapRules(model_judges=True)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(FloorState, FloorEvent)))
def test_what_the_table_does_not_know_changes_nothing(state: FloorState, event: FloorEvent):
    machine = FloorMachine()
    machine.state = state
    action = machine.apply(event)
    if event in TRANSITIONS[state]:
        assert (machine.state, action) == TRANSITIONS[state][event]
    else:
        assert (machine.state, action) == (state, FloorAction.NOTHING)


def test_every_state_can_be_left_and_reached():
    reached = {state for row in TRANSITIONS.values() for state, _ in row.values()} | {FloorState.REGAINED}
    assert reached == set(FloorState) == set(TRANSITIONS)
    assert all(TRANSITIONS.values())


def caller(*parts: tuple[bool, float]) -> bytes:
    """Speech (True) and silence (False), each so many seconds."""
    out = b""
    for speech, seconds in parts:
        samples = round(seconds * 8_000)
        out += SPEECH[:samples] if speech else SILENCE * samples
    return out


def watched(
    audio: bytes, rules: OverlapRules, judgements: Iterable[tuple[float, Floor]] = ()
) -> list[tuple[FloorAction, float]]:
    """What the voice has to do, and at which media time of the caller; stops when the turn is over."""
    watch = OverlapWatch(Codec.PCMU, rules)
    due = sorted(judgements)
    seen: list[tuple[FloorAction, float]] = []
    for at in range(0, len(audio), FRAME):
        now = (at + FRAME) / 8_000
        actions = list(watch.push(audio[at : at + FRAME], now))
        while due and due[0][0] <= now:
            actions.append(watch.judge(due.pop(0)[1]))
        seen += [(action, round(now, 2)) for action in actions if action is not FloorAction.NOTHING]
        if actions and actions[-1] is FloorAction.GIVE:
            break
    return seen


def test_the_voice_is_lowered_within_a_tenth_of_a_second():
    ((action, at),) = watched(caller((False, 0.5), (True, 0.3)), OverlapRules())
    assert action is FloorAction.LOWER
    assert at - 0.5 <= 0.1


def test_an_acknowledgement_costs_nothing():
    actions = watched(caller((False, 0.2), (True, 0.4), (False, 1.0)), OverlapRules())
    assert [action for action, _ in actions] == [FloorAction.LOWER, FloorAction.RESTORE]
    assert actions[1][1] == pytest.approx(0.2 + 0.4 + 0.24, abs=0.12)  # the detector holds on for up to five frames


def test_an_objection_stops_the_voice_and_then_takes_the_floor():
    actions = watched(caller((True, 2.0)), OverlapRules())
    assert [action for action, _ in actions] == [FloorAction.LOWER, FloorAction.STOP, FloorAction.GIVE]
    assert [at for _, at in actions] == pytest.approx([0.04, 0.6, 0.8], abs=0.06)


def test_what_stopped_the_voice_and_turned_out_short_gives_it_back():
    actions = watched(caller((True, 0.62), (False, 1.0)), OverlapRules())
    assert [action for action, _ in actions] == [FloorAction.LOWER, FloorAction.STOP, FloorAction.RESUME]
    assert actions[2][1] - actions[1][1] <= 0.6


def test_who_was_not_heard_tries_again_and_is_heard_sooner():
    actions = watched(caller((True, 0.4), (False, 0.6), (True, 1.0)), OverlapRules())
    assert [action for action, _ in actions][:4] == [
        FloorAction.LOWER,
        FloorAction.RESTORE,
        FloorAction.LOWER,
        FloorAction.STOP,
    ]
    assert actions[3][1] - 1.0 <= 0.3


@pytest.mark.parametrize("at_s", [0.1, 0.4, 0.8, 1.2])
def test_an_engine_that_judges_is_obeyed_whatever_the_lengths(at_s: float):
    loud = caller((True, 2.0))
    assert watched(loud, JUDGED, [(at_s, Floor.YIELD)])[-1] == (FloorAction.GIVE, at_s)
    assert watched(loud, JUDGED, [(at_s, Floor.KEEP)]) == [(FloorAction.LOWER, 0.04), (FloorAction.RESTORE, at_s)]


def test_a_short_objection_takes_the_floor_when_the_engine_understood_it_later():
    actions = watched(caller((True, 0.4), (False, 2.0)), JUDGED, [(1.2, Floor.YIELD)])
    assert [action for action, _ in actions] == [FloorAction.LOWER, FloorAction.RESTORE, FloorAction.GIVE]


def test_an_engine_that_does_not_judge_in_time_is_not_waited_for():
    actions = watched(caller((True, 2.3)), JUDGED)
    assert [action for action, _ in actions] == [FloorAction.LOWER, FloorAction.STOP, FloorAction.GIVE]
    assert actions[1][1] == pytest.approx(1.6, abs=0.06)
    settled = watched(caller((True, 0.4), (False, 2.0)), JUDGED)
    assert [action for action, _ in settled] == [FloorAction.LOWER, FloorAction.RESTORE, FloorAction.SETTLE]


def test_what_was_kept_is_not_asked_about_again_until_it_is_over():
    audio = caller((True, 1.0), (False, 0.5), (True, 0.3))
    actions = watched(audio, JUDGED, [(0.4, Floor.KEEP)])
    assert [action for action, _ in actions] == [FloorAction.LOWER, FloorAction.RESTORE, FloorAction.LOWER]
    assert actions[2][1] >= 1.5
