"""Turns out of a continuous stream."""

from collections.abc import Sequence

import numpy as np
import pytest

from model_worker.duplex.remote.effects import Sound, TurnOver
from model_worker.duplex.remote.speech_gate import FENCE_S, HOLD_S, LOUD_RMS, SpeechGate
from model_worker.seams import Pcm
from tests.peers.sound import tone, turn_of

RATE_HZ = 24_000


def _quiet(seconds: float) -> Pcm:
    return np.zeros(round(seconds * RATE_HZ), np.int16)


def _voice(turn: int, seconds: float) -> Pcm:
    return tone(turn, round(seconds * RATE_HZ), RATE_HZ)


def _turns(events: Sequence[Sound | TurnOver]) -> list[Pcm]:
    """The sound of each turn; the last one is open where no TurnOver closed it."""
    turns: list[list[Pcm]] = [[]]
    for event in events:
        if isinstance(event, TurnOver):
            turns.append([])
        else:
            turns[-1].append(event.pcm)
    return [np.concatenate(turn) for turn in turns if turn]


def _push(gate: SpeechGate, *parts: Pcm, piece_s: float = 0.08) -> list[Sound | TurnOver]:
    stream = np.concatenate(parts)
    size = round(piece_s * RATE_HZ)
    return [event for start in range(0, len(stream), size) for event in gate.push(stream[start : start + size])]


def test_a_silent_stream_is_no_turn():
    assert _push(SpeechGate(RATE_HZ), _quiet(10)) == []


def test_the_murmur_of_a_silent_model_is_no_turn():
    murmur = (np.random.default_rng(1).standard_normal(RATE_HZ * 5) * LOUD_RMS * 32_768 / 2).astype(np.int16)
    assert _push(SpeechGate(RATE_HZ), murmur) == []


def test_a_click_is_no_turn():
    click = _quiet(1)
    click[5_000:5_010] = 20_000
    assert _push(SpeechGate(RATE_HZ), click) == []


def test_sound_between_silences_is_a_turn_each():
    events = _push(SpeechGate(RATE_HZ), _quiet(1), _voice(0, 1), _quiet(1), _voice(1, 2), _quiet(1))
    first, second = _turns(events)
    assert (turn_of(first[:RATE_HZ], RATE_HZ), turn_of(second[:RATE_HZ], RATE_HZ)) == (0, 1)
    assert len(first) == pytest.approx(1.1 * RATE_HZ, abs=0.05 * RATE_HZ)
    assert isinstance(events[-1], TurnOver)


def test_a_pause_within_a_turn_does_not_end_it_and_is_left_to_time():
    gate = SpeechGate(RATE_HZ)
    (turn,) = _turns(_push(gate, _voice(0, 1), _quiet(HOLD_S - 0.1), _voice(0, 1)))
    assert gate.speaking
    assert len(turn) == pytest.approx(2.15 * RATE_HZ, abs=0.05 * RATE_HZ)


def test_the_soft_beginning_of_a_word_is_kept():
    soft = np.linspace(0, 8, round(0.04 * RATE_HZ)).astype(np.int16)
    (turn,) = _turns(_push(SpeechGate(RATE_HZ), _quiet(0.5), soft, _voice(0, 0.5)))
    assert turn.tobytes().endswith(np.concatenate((soft[-480:], _voice(0, 0.5))).tobytes())


def test_a_muted_turn_lets_nothing_through_until_the_model_is_silent():
    gate = SpeechGate(RATE_HZ)
    _push(gate, _voice(0, 1))
    gate.mute()
    assert _push(gate, _voice(0, 5), _quiet(FENCE_S / 2), _voice(0, 1)) == []
    assert gate.muted
    (turn,) = _turns(_push(gate, _quiet(FENCE_S + 0.1), _voice(1, 1)))
    assert turn_of(turn[:RATE_HZ], RATE_HZ) == 1


def test_nothing_is_muted_where_nothing_is_said():
    gate = SpeechGate(RATE_HZ)
    _push(gate, _quiet(1))
    gate.mute()
    assert len(_turns(_push(gate, _voice(3, 1)))) == 1


def test_any_split_of_the_stream_gives_the_same_turns():
    parts = _quiet(0.33), _voice(0, 0.7), _quiet(1.1), _voice(1, 1.3), _quiet(0.95)
    whole = _turns(_push(SpeechGate(RATE_HZ), *parts, piece_s=10))
    for piece_s in (0.001, 0.0123, 0.08, 0.4):
        turns = _turns(_push(SpeechGate(RATE_HZ), *parts, piece_s=piece_s))
        assert [turn.tobytes() for turn in turns] == [turn.tobytes() for turn in whole]


def test_the_clock_of_the_stream_runs_through_silence():
    gate = SpeechGate(RATE_HZ)
    _push(gate, _quiet(1), _voice(0, 1), _quiet(1))
    assert gate.passed_samples == 3 * RATE_HZ
    assert all(isinstance(event, Sound | TurnOver) for event in gate.push(_quiet(0.02)))
