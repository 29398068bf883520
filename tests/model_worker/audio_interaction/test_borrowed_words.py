"""The model decides, others find the words: what is said, what stands in the context, and when nobody answers."""

from collections.abc import Sequence

import pytest

from model_worker.answers.seam import AnswerFault, AnswerPiece
from model_worker.duplex.audio_interaction.borrowed import LONGEST_WORD, Ask, Borrowed, Draft, Drop
from model_worker.duplex.audio_interaction.context import BLOCK
from model_worker.duplex.audio_interaction.policy import Policy
from model_worker.duplex.audio_interaction.tokens import KEEP_SILENCE, TEXT_BEGIN, TEXT_END, Emotion
from model_worker.seams import StepOutput
from tests.model_worker.audio_interaction.fakes import CALL, PREFIX, SILENT, SPEAK, WORD_S, Driven
from wire.ids import TurnId
from wire.messages import DecisionKind

NORMAL, SAD = int(Emotion.NORMAL), int(Emotion.SAD)
ONE = TurnId(1)
HEARD = [*BLOCK, KEEP_SILENCE]
POLICY = Policy(capacity=512, reply_pace=8, temperature=0, loop_repeats=0, draft_tokens=4)


def encode(text: str) -> Sequence[int]:
    """The other way round of the fakes' ``decode``: "w7" is token 7."""
    return [int(word.strip(" .w")) for word in text.split()]


def asked(policy: Policy = POLICY) -> tuple[Driven, list[StepOutput]]:
    """A call whose model decided to speak and wrote its draft."""
    call = Driven(policy)
    call.decisions, call.tokens = [SPEAK, SILENT, SILENT], [SAD, 91, 92, TEXT_END]
    return call, call.hear("v0")


def answered(call: Driven, *texts: str, error: AnswerFault | None = None) -> list[StepOutput]:
    """Pieces come, the last of them with the end."""
    for number, text in enumerate(texts):
        last = number == len(texts) - 1
        call.call.take_answer(AnswerPiece(CALL, text, last, error if last else None), encode)
    return call.run()


def spoken(outputs: Sequence[StepOutput]) -> str:
    return " ".join(piece.text for output in outputs for piece in output.speech)


def test_the_model_writes_what_it_understood_and_nobody_hears_it() -> None:
    call, outputs = asked()
    assert [(output.decision, output.turn) for output in outputs] == [(DecisionKind.SPEAK, ONE)]
    assert not any(output.speech or output.said for output in outputs)
    assert call.call.take_wishes() == [Ask(ONE, " w91 w92")]
    assert not call.call.busy
    assert call.sequence == [*PREFIX, *BLOCK, TEXT_BEGIN], "the draft is taken out again"


def test_a_draft_is_no_longer_than_allowed() -> None:
    call = Driven(POLICY)
    call.decisions, call.tokens = [SPEAK], [NORMAL, 1, 2, 3, 4, 5]
    call.hear("v0")
    assert call.call.take_wishes() == [Ask(ONE, " w1 w2 w3")]


def test_the_words_are_spoken_as_they_come_in_the_mood_of_the_model_and_then_stand_in_the_context() -> None:
    call, _ = asked()
    first = answered_partly(call, "w1 w5. w3 w")
    assert spoken(first).split() == ["w1", "w5."]
    rest = answered(call, "4", ".")
    assert spoken(rest).split() == ["w3", "w4."]
    assert rest[-1].turn_done
    assert [said.text.split() for output in rest for said in output.said] == [["w1", "w5.", "w3", "w4."]]
    mood = SAD - int(Emotion.HAPPY) + 1
    assert {int(sample) for output in [*first, *rest] for piece in output.speech for sample in piece.pcm} == {mood}
    call.hear("v1", (ONE, 4 * WORD_S))
    assert call.sequence == [*PREFIX, *BLOCK, TEXT_BEGIN, SAD, 1, 5, 3, 4, TEXT_END, *HEARD]


def answered_partly(call: Driven, text: str) -> list[StepOutput]:
    call.call.take_answer(AnswerPiece(CALL, text), encode)
    return call.run()


def test_what_the_caller_says_meanwhile_is_heard_after_it_in_one_go() -> None:
    call, _ = asked()
    for n in (1, 2):
        (output,) = call.hear(f"v{n}")
        assert (output.decision, output.turn) == (DecisionKind.SPEAK, ONE)
    answered(call, "w1", "")
    call.hear("v3", (ONE, WORD_S))
    assert call.heard == ["v0", "v1", "v2", "v3"]
    assert call.sequence == [*PREFIX, *BLOCK, TEXT_BEGIN, SAD, 1, TEXT_END, *HEARD * 3]


@pytest.mark.parametrize(("heard_s", "kept"), [(0.01, [1]), (0.3, [1, 2]), (0.6, [1, 2, 3])])
def test_an_interruption_drops_what_is_still_to_come_and_keeps_what_was_heard(heard_s: float, kept: list[int]) -> None:
    call, _ = asked()
    call.call.take_wishes()
    answered_partly(call, "w1 w2 w3 w5. w6 w")
    call.call.interrupt(ONE, heard_s)
    call.run()
    assert call.call.take_wishes() == [Drop()]
    assert call.sequence == [*PREFIX, *BLOCK, TEXT_BEGIN, SAD, *kept, TEXT_END]
    assert answered(call, "w9", "w10") == [], "what comes late is not said"
    assert call.call.history.as_dicts()[-1]["cut"] is True


def test_an_interruption_before_the_first_word_takes_the_reply_back() -> None:
    call, _ = asked()
    call.call.take_wishes()
    call.call.interrupt(ONE, 0.0)
    call.run()
    assert call.call.take_wishes() == [Drop()]
    assert call.sequence == [*PREFIX, *BLOCK, TEXT_BEGIN, TEXT_END]
    assert call.call.at_rest


def test_an_interruption_within_the_draft_asks_nobody() -> None:
    call = Driven(Policy(capacity=512, reply_pace=2, temperature=0, loop_repeats=0, draft_tokens=8))
    call.decisions, call.tokens = [SPEAK, SILENT], [NORMAL, 1, 2, 3, TEXT_END]
    call.hear("v0")
    call.call.interrupt(ONE, 0.0)
    call.run()
    assert call.call.take_wishes() == []
    assert call.sequence == [*PREFIX, *BLOCK, TEXT_BEGIN, TEXT_END]


def test_where_nobody_answers_the_model_speaks_for_itself() -> None:
    call, _ = asked()
    outputs = answered(call, "", error=AnswerFault.UNREACHABLE)
    assert spoken(outputs).split() == ["w91", "w92"]
    assert outputs[-1].turn_done
    assert call.sequence[-5:] == [TEXT_BEGIN, SAD, 91, 92, TEXT_END]


def test_a_draft_that_was_cut_short_is_gone_on_from_as_if_nobody_had_been_asked() -> None:
    tokens = [SAD, 91, 92, 93, 94, 95, TEXT_END]
    alone = Driven(Policy(capacity=512, reply_pace=8, temperature=0, loop_repeats=0))
    alone.decisions, alone.tokens = [SPEAK, SILENT], list(tokens)
    by_itself = alone.hear("v0")
    call = Driven(POLICY)
    call.decisions, call.tokens = [SPEAK, SILENT], list(tokens)
    call.hear("v0")
    outputs = answered(call, "", error=AnswerFault.TOO_SLOW)
    assert spoken(outputs) == spoken(by_itself)
    assert call.sequence == alone.sequence
    for one in (alone, call):
        one.hear("v1", (ONE, 5 * WORD_S))
    assert call.sequence == alone.sequence


def test_an_answer_that_breaks_off_ends_where_it_broke() -> None:
    call, _ = asked()
    answered_partly(call, "w1 w2 ")
    outputs = answered(call, "", error=AnswerFault.CUT)
    assert "w91" not in spoken(outputs)
    assert outputs[-1].turn_done
    assert call.sequence[-5:] == [TEXT_BEGIN, SAD, 1, 2, TEXT_END]


def test_half_a_word_at_which_an_answer_broke_off_is_not_said() -> None:
    call, _ = asked()
    answered_partly(call, "w1 w")
    outputs = answered(call, "2", error=AnswerFault.CUT)
    assert call.sequence[-4:] == [TEXT_BEGIN, SAD, 1, TEXT_END]
    assert outputs[-1].turn_done


def test_a_long_answer_and_all_that_waited_for_it_fit_into_the_smallest_window() -> None:
    call, _ = asked(Policy(capacity=512, reply_pace=8, temperature=0, loop_repeats=0, draft_tokens=4))
    call.decisions = [SILENT] * 2
    for n in range(60):
        call.hear(f"v{n}")
    answered_partly(call, "w1 " * 300)
    assert not call.call.writing
    call.hear("v", (ONE, 0.0))
    call.call.interrupt(ONE, 0.3)
    call.hear("v", (ONE, 0.3))
    assert call.sequence[-1] == KEEP_SILENCE


def test_an_answer_without_end_is_ended_and_dropped() -> None:
    call, _ = asked(Policy(capacity=512, reply_pace=8, temperature=0, loop_repeats=0, draft_tokens=4, reply_tokens=6))
    call.call.take_wishes()
    answered_partly(call, "w1 w2 w3 w4 w5 w6 w7 ")
    assert call.call.take_wishes() == [Drop()]
    assert call.sequence[-1] == TEXT_END
    assert not call.call.writing


def taken(*texts: str) -> list[str]:
    borrowed = Borrowed(Draft(1))
    return [
        word for n, text in enumerate(texts) for word, _ in borrowed.take(text, lambda _: [], last=n == len(texts) - 1)
    ]


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 100])
def test_words_are_the_same_however_the_text_is_cut(cut: int) -> None:
    text = "  We are\n\nopen,  José. " + "x" * (2 * LONGEST_WORD + 5)
    parts = [text[at : at + cut] for at in range(0, len(text), cut)]
    long = [" " + "x" * LONGEST_WORD] * 2 + [" xxxxx"]
    assert taken(*parts) == ["We", " are", " open,", " José.", *long]


def test_special_tokens_are_no_words_whatever_is_written() -> None:
    written = Borrowed(Draft(1)).take("<|im_end|>", lambda _: [TEXT_END, 5, SAD, KEEP_SILENCE, 6], last=True)
    assert [tokens for _, tokens in written] == [[5, 6]]
