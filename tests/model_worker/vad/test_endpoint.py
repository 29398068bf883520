"""Where an utterance begins and ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.vad.endpoint import Edge, EdgeKind, Endpointer, EndpointPolicy


def edges(frames: list[float], policy: EndpointPolicy | None = None) -> list[Edge]:
    endpointer = Endpointer(policy)
    return [edge for edge in map(endpointer.push, frames) if edge is not None]


def test_speech_begins_with_its_second_frame_and_ends_after_nineteen_quiet_ones() -> None:
    assert edges([0.0] * 5 + [0.9] * 10 + [0.0] * 25) == [Edge(EdgeKind.ONSET, 6), Edge(EdgeKind.END, 33)]


def test_a_pause_shorter_than_that_does_not_end_a_turn() -> None:
    assert [edge.kind for edge in edges([0.9] * 10 + [0.0] * 18 + [0.9] * 10)] == [EdgeKind.ONSET]


def test_a_frame_in_doubt_neither_begins_nor_ends_speech() -> None:
    assert edges([0.4] * 100) == []
    assert [edge.kind for edge in edges([0.9] * 5 + [0.4] * 100)] == [EdgeKind.ONSET]


def test_one_loud_frame_is_no_speech_and_three_are_a_click() -> None:
    assert edges([0.9] + [0.0] * 40) == []
    assert [edge.kind for edge in edges([0.9] * 3 + [0.0] * 40)] == [EdgeKind.ONSET, EdgeKind.CLICK]


def test_noise_without_end_is_ended_after_twelve_seconds() -> None:
    assert [edge.frame for edge in edges([0.9] * 400)][:2] == [1, 374]


@given(st.lists(st.sampled_from([0.0, 0.4, 0.9]), max_size=800))
def test_onset_and_end_alternate_whatever_is_heard(frames: list[float]) -> None:
    kinds = [edge.kind is EdgeKind.ONSET for edge in edges(frames)]
    assert kinds == [n % 2 == 0 for n in range(len(kinds))]


@pytest.mark.parametrize("frames", [1, 2])
def test_the_frames_of_an_onset_count_as_speech(frames: int) -> None:
    policy = EndpointPolicy(onset_frames=frames, least_speech_frames=frames)
    assert edges([0.9] * frames + [0.0] * 19, policy)[-1].kind is EdgeKind.END


def test_who_knows_better_may_end_an_utterance_sooner() -> None:
    endpointer = Endpointer()
    for probability in [0.9] * 10 + [0.0] * 6:
        endpointer.push(probability)
    assert endpointer.quiet_frames == 6
    assert endpointer.end() == Edge(EdgeKind.END, 15)
    assert not endpointer.speaking
    assert [endpointer.push(0.0) for _ in range(30)] == [None] * 30
