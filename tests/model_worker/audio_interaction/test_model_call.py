"""What one call does with decisions and tokens, whoever gives them."""

import pytest

from model_worker.duplex.audio_interaction.context import BLOCK, Context
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.tokens import KEEP_SILENCE, TEXT_BEGIN, TEXT_END, Emotion
from tests.model_worker.audio_interaction.fakes import PREFIX, SILENT, SPEAK, WORD_S, Driven
from wire.ids import NO_TURN, TurnId
from wire.messages import DecisionKind, Floor

HEARD = [*BLOCK, KEEP_SILENCE]
NORMAL = int(Emotion.NORMAL)
ONE = TurnId(1)


def words(*numbers: int) -> list[int]:
    return list(numbers)


def test_a_silent_model_stands_in_the_trained_layout():
    call = Driven()
    call.decisions = [SILENT] * 3
    outputs = [output for n in range(3) for output in call.hear(f"v{n}")]
    assert [output.decision for output in outputs] == [DecisionKind.LISTEN] * 3
    assert [output.index for output in outputs] == [0, 1, 2]
    assert call.sequence == [*PREFIX, *HEARD * 3]
    assert outputs[0].p_speak == pytest.approx(0, abs=1e-4)


def test_a_reply_follows_its_decision_and_the_next_chunk_its_end():
    call = Driven()
    call.decisions, call.tokens = [SPEAK, SILENT], [NORMAL, 1, 2, TEXT_END]
    decision, *more = call.hear("v0")
    assert (decision.decision, decision.turn) == (DecisionKind.SPEAK, ONE)
    assert decision.p_speak == pytest.approx(1, abs=1e-4)
    assert all(output.decision is None for output in more)
    assert more[-1].turn_done
    assert " ".join(said.text for output in more for said in output.said).split() == ["w1", "w2"]
    assert sum(len(piece.pcm) for output in more for piece in output.speech) == 2 * WORD_S * 16_000
    call.hear("v1", (ONE, 2 * WORD_S))
    assert call.sequence == [*PREFIX, *BLOCK, TEXT_BEGIN, NORMAL, 1, 2, TEXT_END, *HEARD]


def test_the_emotion_is_how_it_is_said_and_no_word():
    call = Driven()
    call.decisions, call.tokens = [SPEAK], [int(Emotion.URGENT), 1, TEXT_END]
    pieces = [piece for output in call.hear("v0") for piece in output.speech]
    assert {int(sample) for piece in pieces for sample in piece.pcm} == {int(Emotion.URGENT) - int(Emotion.HAPPY) + 1}
    assert [piece.text for piece in pieces] == ["w1"]


def test_no_more_tokens_than_the_pace_are_written_between_two_chunks():
    call = Driven()
    call.decisions, call.tokens = [SPEAK], [NORMAL, *range(1, 20)]
    call.hear("v0")
    assert call.sequence[-5:] == [TEXT_BEGIN, NORMAL, 1, 2, 3]
    waiting = call.hear("v1")[0]
    assert (waiting.decision, waiting.turn, waiting.p_speak) == (DecisionKind.SPEAK, ONE, None)
    assert call.sequence[-4:] == [4, 5, 6, 7]


def test_what_came_in_a_reply_is_heard_in_one_go_after_it():
    call = Driven()
    call.decisions, call.tokens = [SPEAK, SILENT], [NORMAL, 1, 2, 3, 4, TEXT_END]
    call.hear("v0")
    call.hear("v1")
    call.hear("v2")
    assert call.sequence == [*PREFIX, *BLOCK, TEXT_BEGIN, NORMAL, 1, 2, 3, 4, TEXT_END, *HEARD * 2]
    assert call.heard == ["v0", "v1", "v2"]


@pytest.mark.parametrize("together", [1, 2, 3, 5])
def test_chunks_given_together_are_decided_as_one_by_one(together: int):
    def sequence(at_once: int) -> tuple[list[int], list[str], list[tuple[int, DecisionKind | None]]]:
        call = Driven()
        call.decisions = [SILENT, SPEAK, SILENT, SPEAK, SILENT]
        call.tokens = [NORMAL, 1, TEXT_END, NORMAL, 2, TEXT_END]
        found = []
        for n in range(5):
            call.give(f"v{n}")
            if (n + 1) % at_once == 0:
                found += call.run()
        found += call.run()
        return call.sequence, call.heard, [(o.index, o.decision) for o in found if o.decision]

    assert sequence(together) == sequence(1)


def test_a_token_of_text_that_is_special_is_not_said():
    call = Driven()
    call.decisions, call.tokens = [SPEAK], [NORMAL, 1, KEEP_SILENCE, TEXT_END]
    said = [said.text for output in call.hear("v0") for said in output.said]
    assert " ".join(said).split() == ["w1"]


def test_a_reply_without_a_word_is_over_at_once():
    call = Driven()
    call.decisions, call.tokens = [SPEAK, SILENT], [TEXT_END]
    outputs = call.hear("v0")
    assert outputs[-1].turn_done
    assert not any(output.speech or output.said for output in outputs)
    assert call.hear("v1")[0].decision is DecisionKind.LISTEN


def test_a_reply_has_a_longest_length():
    call = Driven(Policy(capacity=512, reply_pace=50, reply_tokens=6, temperature=0, loop_repeats=0))
    call.decisions, call.tokens = [SPEAK], [NORMAL, *range(1, 40)]
    call.hear("v0")
    assert call.sequence[-8:] == [TEXT_BEGIN, NORMAL, 1, 2, 3, 4, 5, TEXT_END]


def test_a_reply_that_goes_round_in_circles_ends():
    call = Driven(Policy(capacity=512, reply_pace=100, temperature=0, loop_repeats=4))
    call.decisions, call.tokens = [SPEAK], [NORMAL, 9, *[1, 2, 3] * 20]
    call.hear("v0")
    assert call.sequence[-14:] == [9, *[1, 2, 3] * 4, TEXT_END]


class TestInterruption:
    """Four words of a quarter of a second each, and a reply that has ended."""

    def spoken(self) -> Driven:
        call = Driven(Policy(capacity=512, reply_pace=8, temperature=0, loop_repeats=0))
        call.decisions, call.tokens = [SPEAK, SILENT, SILENT], [NORMAL, 1, 2, 3, 4, TEXT_END]
        call.hear("v0")
        return call

    @pytest.mark.parametrize(
        ("heard_s", "kept"), [(0.0, []), (0.01, [1]), (0.26, [1, 2]), (0.6, [1, 2, 3]), (0.8, [1, 2, 3, 4])]
    )
    def test_the_reply_is_taken_back_to_the_last_word_heard(self, heard_s: float, kept: list[int]):
        call = self.spoken()
        call.call.interrupt(ONE, heard_s)
        call.run()
        assert call.sequence == [*PREFIX, *BLOCK, TEXT_BEGIN, NORMAL, *kept, TEXT_END]
        assert call.call.history.as_dicts() == [
            {"voice": "agent", "text": decoded(kept), "turn": 1, "cut": True},
        ]

    def test_what_was_heard_since_is_heard_again(self):
        call = self.spoken()
        call.hear("v1", (ONE, 0.1))
        call.hear("v2", (ONE, 0.3))
        call.call.interrupt(ONE, 0.3)
        call.decisions = [SILENT]
        call.heard.clear()
        call.hear("v3")
        assert call.heard == ["v1", "v2", "v3"]
        assert call.sequence == [*PREFIX, *BLOCK, TEXT_BEGIN, NORMAL, 1, 2, TEXT_END, *HEARD * 3]

    def test_a_reply_is_interrupted_while_it_is_written(self):
        call = Driven()
        call.decisions, call.tokens = [SPEAK, SILENT], [NORMAL, 1, 5, 6, 7, 8]
        call.hear("v0")
        call.call.interrupt(ONE, 0.3)
        call.run()
        assert call.sequence[-6:] == [BLOCK[-1], TEXT_BEGIN, NORMAL, 1, 5, TEXT_END]
        assert call.hear("v1")[0].decision is DecisionKind.LISTEN

    def test_an_old_turn_is_ignored(self):
        call = self.spoken()
        before = call.sequence
        call.call.interrupt(TurnId(0), 0.1)
        call.run()
        assert call.sequence == before

    def test_a_turn_that_another_worker_said_ends_the_one_before_it_where_that_was_heard(self):
        call = self.spoken()
        call.hear("v1", (ONE, 0.3))
        call.call.interrupt(TurnId(7), 5.0)
        call.run()
        assert call.sequence == [*PREFIX, *BLOCK, TEXT_BEGIN, NORMAL, 1, 2, TEXT_END]
        assert call.call.history.as_dicts() == [{"voice": "agent", "text": "w1 w2", "turn": 1, "cut": True}]

    def test_a_reply_that_was_played_to_its_end_is_over(self):
        call = self.spoken()
        call.hear("v1", (ONE, 4 * WORD_S))
        before = call.sequence
        call.call.interrupt(ONE, 0.1)
        call.run()
        assert call.sequence == before
        assert call.call.at_rest

    def test_a_new_reply_replaces_the_one_that_is_played(self):
        call = self.spoken()
        call.decisions, call.tokens = [SPEAK], [NORMAL, 8, TEXT_END]
        outputs = call.hear("v1", (ONE, 0.3))
        assert {output.turn for output in outputs} == {TurnId(2)}
        assert call.call.history.as_dicts()[0] == {"voice": "agent", "text": "w1 w2", "turn": 1, "cut": True}

    def test_when_too_much_was_heard_since_the_context_stays(self):
        call = Driven(Policy(capacity=512, reply_pace=8, temperature=0, loop_repeats=0, rewind_chunks=1))
        call.decisions, call.tokens = [SPEAK, SILENT, SILENT], [NORMAL, 1, 2, 3, 4, TEXT_END]
        for n in range(3):
            call.hear(f"v{n}")
        before = call.sequence
        call.call.interrupt(ONE, 0.3)
        call.run()
        assert call.sequence == before
        assert call.call.history.as_dicts()[0]["text"] == "w1 w2"


def decoded(numbers: list[int]) -> str:
    return " ".join(f"w{number}" for number in numbers)


class TestWindow:
    def test_the_oldest_whole_chunks_go_and_the_prefix_stays(self):
        call = Driven(Policy(capacity=100, temperature=0))
        call.decisions = [SILENT] * 200
        for n in range(200):
            call.hear(f"v{n}")
            assert call.call.context.length <= 100
            assert call.sequence[: len(PREFIX)] == list(PREFIX)
            assert call.sequence[len(PREFIX) :] == HEARD * ((len(call.sequence) - len(PREFIX)) // 13)
        assert call.call.context.evicted % 13 == 0

    def test_until_it_is_full_nothing_goes(self):
        call = Driven(Policy(capacity=len(PREFIX) + 13 * 7, temperature=0))
        call.decisions = [SILENT] * 7
        for n in range(7):
            call.hear(f"v{n}")
        assert call.call.context.evicted == 0

    def test_replies_go_with_the_chunks_before_them(self):
        call = Driven(Policy(capacity=100, reply_pace=8, temperature=0, loop_repeats=0))
        for n in range(60):
            call.decisions, call.tokens = [SPEAK if n % 3 == 0 else SILENT], [NORMAL, 1, 2, TEXT_END]
            call.hear(f"v{n}", (call.call.newest_turn, 10.0))
            body = call.sequence[len(PREFIX) :]
            assert body[0] == BLOCK[0], "what is left begins with a chunk"

    def test_a_reply_longer_than_the_window_goes_on(self):
        call = Driven(Policy(capacity=64, reply_pace=16, reply_tokens=200, temperature=0, loop_repeats=0))
        call.decisions, call.tokens = [SPEAK], [NORMAL, *range(1, 190)]
        for n in range(11):
            call.hear(f"v{n}")
            assert call.call.context.length <= 64
        call.call.interrupt(ONE, 0.3)
        call.run()
        assert not call.call.writing

    def test_what_never_fits_is_an_error(self):
        context = Context(range(10), 20)
        with pytest.raises(ValueError, match="do not fit"):
            context.make_room(30)


def test_the_same_place_of_the_same_reply_draws_the_same_chance():
    def chances() -> list[float]:
        call = Driven()
        call.decisions, call.tokens = [SPEAK], [NORMAL, 1, 2, 3]
        call.give("v0")
        found = []
        for _ in range(5):
            work = call.call.next_work()
            found.append(getattr(work, "chance", -1.0))
            call.work()
        return found[1:]

    first = chances()
    assert first == chances()
    assert len(set(first)) == len(first)
    assert all(0 <= chance < 1 for chance in first)


def test_a_call_at_rest_is_what_its_state_says():
    call = Driven()
    call.decisions, call.tokens = [SPEAK, SILENT], [NORMAL, 1, TEXT_END]
    call.hear("v0")
    resting = [call.call.at_rest]
    call.hear("v1", (ONE, WORD_S))
    assert [*resting, call.call.at_rest] == [False, True]
    other = Driven()
    other.call.recall(call.call.state())
    other.fed = list(call.fed)
    for one in (call, other):
        one.decisions, one.tokens = [SPEAK], [NORMAL, 2, TEXT_END]
    assert [o.turn for o in call.hear("v2")] == [o.turn for o in other.hear("v2")]
    assert call.sequence == other.sequence
    assert call.call.newest_turn == other.call.newest_turn != NO_TURN


@pytest.mark.parametrize(
    ("judges", "overlap_s", "decision", "floor"),
    [
        (True, 0.4, SPEAK, Floor.YIELD),
        (True, 0.4, SILENT, Floor.KEEP),
        (True, 0.0, SPEAK, None),
        (False, 0.4, SPEAK, None),
    ],
)
def test_what_the_caller_says_over_the_voice_may_take_the_floor(
    judges: bool, overlap_s: float, decision: tuple[float, float], floor: Floor | None
):
    call = Driven(Policy(capacity=512, reply_pace=8, temperature=0, loop_repeats=0, judges=judges))
    call.decisions, call.tokens = [SPEAK, decision], [NORMAL, 1, 2, TEXT_END, NORMAL, TEXT_END]
    call.hear("v0")
    call.give("v1", (ONE, 0.1), overlap_s)
    assert call.run()[0].floor is floor


def test_while_it_writes_the_model_hears_nothing_and_judges_nothing():
    call = Driven(Policy(capacity=512, reply_pace=1, temperature=0, loop_repeats=0, judges=True))
    call.decisions, call.tokens = [SPEAK], [NORMAL, 1, 2, 3]
    call.hear("v0")
    call.give("v1", (ONE, 0.1), 0.4)
    assert call.run()[0].floor is None
