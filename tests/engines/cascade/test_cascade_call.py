"""One call: when it is answered, when the agent stops, and what both sides are told of it."""

import json

import pytest

from model_worker.answers.seam import AnswerFault, FunctionWanted
from model_worker.dialog.brief import Mode
from model_worker.duplex.cascade.call import KEYS_WAIT_CHUNKS, MAX_DRAFTS, MAX_FAILURES
from model_worker.duplex.cascade.phrases import NO_ANSWER, NOT_HEARD
from model_worker.duplex.cascade.seam import VoiceWish
from model_worker.duplex.cascade.speaker import LATE_CHUNKS, STALLED_CHUNKS
from model_worker.duplex.remote.call import SessionLostError
from model_worker.duplex.remote.effects import SessionFault
from model_worker.duplex.remote.prompts import keys_pressed
from model_worker.seams import Action, Said, StepOutput, Translated
from tests.engines.cascade.fakes import BRIEF, CALL, Bench, seconds, turns
from wire.messages import DecisionKind, Floor, Voice

GREETING = "Hello, this is the desk."
LONG = "one two three four five six seven eight nine ten eleven twelve."  # 3.6 s
QUIET = "...."


def bench_of(mode: Mode, into: str | None = None) -> Bench:
    return Bench(BRIEF.model_copy(update={"mode": mode, "into": into}))


def speaking(text: str = LONG) -> Bench:
    """The caller has asked, and the agent speaks its first turn."""
    bench = Bench()
    bench.asks("how much is it")
    bench.is_answered(text)
    assert bench.playing
    return bench


def lost_with(outputs: list[StepOutput]) -> SessionFault | None:
    errors = [output.fault for output in outputs if output.fault is not None]
    assert all(isinstance(error, SessionLostError) for error in errors)
    return errors[0].fault if errors and isinstance(errors[0], SessionLostError) else None


# When it is answered.


def test_a_question_is_answered_when_it_is_over_and_both_are_told():
    bench = Bench()
    bench.asks("how much is it")
    assert bench.answers.question == "how much is it"
    bench.is_answered("Ten euros.")
    assert bench.text_of(1) == "Ten euros."
    bench.hears(QUIET * 4)
    assert bench.history == [("caller", "how much is it", False), ("agent", "Ten euros.", False)]
    assert bench.said == [Said(Voice.CALLER, "how much is it"), Said(Voice.AGENT, "Ten euros.")]
    bench.asks("and for two")
    assert [(message.role, message.content) for message in bench.answers.asked[-1][1:]] == [
        ("user", "how much is it"),
        ("assistant", "Ten euros."),
        ("user", "and for two"),
    ]


def test_each_chunk_is_decided_on_with_speak_while_the_agent_is_heard():
    bench = speaking("One two three four.")
    kinds = [output.decision for output in bench.hears(QUIET * 5) if output.decision]
    assert kinds == [DecisionKind.SPEAK] * 2 + [DecisionKind.LISTEN] * 3


@pytest.mark.parametrize(
    ("words", "over_after_chunks"), [("that is all.", 1), ("that is all", 2), ("that is all and", 3)]
)
def test_the_end_of_the_turn_hangs_on_the_words(words: str, over_after_chunks: int):
    bench = Bench()
    bench.hears("########")
    bench.reads(words)
    for waited in range(1, 6):
        bench.hears(QUIET)
        if bench.asr.told[-1] == "finish":
            assert waited == over_after_chunks
            return
    pytest.fail("the turn never ends")


def test_an_answer_is_begun_in_the_pause_and_kept_when_the_words_are_the_same():
    bench = Bench()
    bench.hears("########")
    bench.reads("how much is it")
    bench.hears(QUIET)
    assert bench.answers.question == "how much is it"
    bench.is_answered("Ten euros.")
    assert bench.tts.texts == ["Ten euros."], "the voice has it before it is due"
    assert turns(bench.outputs) == [], "nothing of it is heard while the turn may go on"
    bench.hears(QUIET)
    assert turns(bench.outputs) == []
    outputs = bench.reads("How much is it?", final=True)
    assert (turns(outputs), bench.text_of(1)) == ([1], "Ten euros.")
    assert len(bench.answers.asked) == 1, "and not asked twice"
    bench.hears(QUIET * 3)
    assert bench.history == [("caller", "How much is it?", False), ("agent", "Ten euros.", False)]


def test_a_draft_that_is_still_being_written_is_kept_too():
    bench = Bench()
    bench.hears("########")
    bench.reads("how much is it")
    bench.hears(QUIET * 2)
    bench.answers.says("Ten euros. ", done=False)
    bench.reads("how much is it", final=True)
    bench.is_answered("And a deposit.")
    bench.hears(QUIET * 5)
    assert bench.text_of(1) == "Ten euros. And a deposit."
    assert len(bench.answers.asked) == 1


def test_a_draft_is_void_when_the_caller_goes_on():
    bench = Bench()
    bench.hears("########")
    bench.reads("how much is it")
    bench.hears(QUIET)
    bench.answers.says("Ten euros. ", done=False)
    bench.goes_on()
    assert bench.answers.under_way
    bench.hears("####")
    assert bench.answers.cancelled == 1
    assert not bench.answers.under_way
    bench.reads("how much is it for two")
    bench.hears(QUIET * 2)
    bench.reads("how much is it for two", final=True)
    assert bench.answers.question == "how much is it for two"
    bench.is_answered("Twenty.")
    bench.hears(QUIET * 3)
    assert bench.said[-1] == Said(Voice.AGENT, "Twenty.")
    assert bench.text_of(1) == "Twenty."


def test_a_draft_is_void_when_the_final_words_are_others():
    bench = Bench()
    bench.hears("########")
    bench.reads("how much is")
    bench.hears(QUIET * 2)
    bench.is_answered("How much is what?")
    bench.hears(QUIET)
    bench.reads("how much is it", final=True)
    assert bench.answers.question == "how much is it"
    bench.is_answered("Ten euros.")
    assert bench.text_of(1) == "Ten euros."


def test_no_more_than_a_few_drafts_are_begun_of_one_utterance():
    bench = Bench()
    for number in range(MAX_DRAFTS + 2):
        bench.hears("####")
        bench.reads("word " * (number + 1))
        bench.hears(QUIET)
    assert len(bench.answers.asked) == MAX_DRAFTS
    bench.hears(QUIET)
    bench.reads("word word", final=True)
    assert len(bench.answers.asked) == MAX_DRAFTS + 1, "and the question itself"
    bench.is_answered("Yes.")
    bench.hears(QUIET * 2)
    bench.hears("####")
    bench.reads("again")
    bench.hears(QUIET)
    assert len(bench.answers.asked) == MAX_DRAFTS + 2, "the next utterance has its own"


def test_a_draft_that_failed_before_the_caller_went_on_is_not_heard_of():
    bench = Bench()
    for number in range(MAX_FAILURES):
        bench.hears("####")
        bench.reads("word " * (number + 1))
        bench.hears(QUIET)
        bench.answers.says("", error=AnswerFault.OVERLOADED)
        bench.goes_on()
    assert len(bench.answers.asked) == MAX_DRAFTS == MAX_FAILURES
    bench.hears("####........")
    bench.reads("words in the end", final=True)
    assert lost_with(bench.is_answered("Ten euros.")) is None
    assert bench.text_of(1) == "Ten euros."
    assert bench.spare.asked == []


def test_a_draft_that_failed_is_excused_when_the_turn_is_over():
    bench = Bench()
    bench.hears("########")
    bench.reads("how much is it")
    bench.hears(QUIET)
    bench.answers.says("", error=AnswerFault.OVERLOADED)
    bench.hears(QUIET)
    assert bench.spare.asked == []
    bench.reads("how much is it", final=True)
    bench.hears(QUIET * 14)
    assert bench.text_of(1) == NO_ANSWER["en"]
    assert len(bench.answers.asked) == 1, "a server that is full is not asked again at once"


def test_an_answer_that_was_not_heard_yet_is_taken_back_when_the_caller_goes_on():
    bench = Bench()
    bench.asks("how much is it")
    bench.answers.says("Ten euros. And ", done=False)
    bench.hears("####")
    bench.reads("for two")
    assert bench.answers.cancelled == 1
    bench.hears("####........")
    bench.reads("for two", final=True)
    assert bench.answers.question == "how much is it\nfor two"
    bench.is_answered("Twenty.")
    bench.hears(QUIET * 3)
    assert turns(bench.outputs) == [1]
    assert bench.text_of(1) == "Twenty."


def test_an_answer_waits_until_it_is_known_what_the_caller_has_just_said():
    bench = Bench()
    bench.asks("how much is it")
    bench.hears("####....")  # no words of it yet
    bench.is_answered("Ten euros.")
    bench.hears(QUIET)
    assert turns(bench.outputs) == []
    bench.reads("for two", final=True)
    assert bench.answers.question == "how much is it\nfor two"
    bench.is_answered("Twenty.")
    bench.hears(QUIET * 4)
    assert bench.text_of(1) == "Twenty."
    assert turns(bench.outputs) == [1]


def test_what_was_taken_back_for_nothing_is_asked_again():
    bench = Bench()
    bench.asks("how much is it")
    bench.hears("####")
    bench.reads("uh")
    assert bench.answers.cancelled == 1
    bench.hears(QUIET * 3)
    bench.reads("", final=True)
    assert bench.answers.question == "how much is it"
    bench.is_answered("Ten euros.")
    assert bench.text_of(1) == "Ten euros."


def test_noise_without_words_is_not_answered():
    bench = Bench()
    bench.asks("")
    bench.hears(QUIET * 3)
    assert (bench.answers.asked, bench.history, bench.said) == ([], [], [])
    assert bench.engine.snapshot(CALL) is not None, "and is at rest"


# When the agent stops.


@pytest.mark.parametrize("words", ["wait", "and how much is it for two"])
def test_a_question_or_an_objection_over_the_agent_takes_the_floor_and_is_answered(words: str):
    bench = speaking()
    outputs = bench.hears("####", overlap_s=0.4)
    assert outputs[-1].floor is None, "it may be an acknowledgement"
    bench.reads(words)
    outputs = bench.hears("####", overlap_s=0.8)
    assert outputs[-1].floor is Floor.YIELD
    bench.barges_in()
    bench.hears("........")
    bench.reads(words, final=True)
    assert bench.answers.question == words
    assert bench.history[1] == ("agent", "one two three", True)


def test_an_acknowledgement_does_not_stop_the_agent_and_is_not_answered():
    bench = speaking()
    bench.hears("##..", overlap_s=0.4)
    bench.reads("mhm")
    bench.hears(QUIET, overlap_s=0.8)
    bench.reads("Mhm.", final=True)
    outputs = bench.hears(QUIET, overlap_s=1.2)
    assert outputs[-1].floor is Floor.KEEP
    bench.hears(QUIET * 9)
    assert bench.text_of(1) == LONG
    assert len(bench.answers.asked) == 1
    assert bench.said[1] == Said(Voice.CALLER, "Mhm."), "it stands in the transcript"
    assert bench.engine.snapshot(CALL) is not None


def test_an_acknowledgement_for_which_the_agent_was_stopped_counts():
    bench = speaking()
    bench.hears("########........", overlap_s=0.4)
    bench.reads("mhm mhm mhm", final=True)
    assert bench.hears(QUIET, overlap_s=2.0)[-1].floor is Floor.YIELD, "so much speech is none"
    bench.barges_in()
    assert bench.answers.question == "mhm mhm mhm"


def test_a_question_over_an_agent_that_is_not_stopped_is_answered_when_it_has_finished():
    bench = speaking()
    bench.hears("########........")
    bench.reads("and for two", final=True)
    assert len(bench.answers.asked) == 1
    bench.hears(QUIET * 8)
    assert bench.text_of(1) == LONG
    assert bench.answers.question == "and for two"
    bench.is_answered("Twenty.")
    assert bench.text_of(2) == "Twenty."


def test_a_click_over_the_agent_keeps_the_floor():
    bench = speaking()
    bench.hears("'...", overlap_s=0.4)
    assert bench.hears(QUIET, overlap_s=0.8)[-1].floor is Floor.KEEP


def test_a_caller_who_stopped_the_agent_and_was_not_understood_is_asked_again():
    bench = speaking()
    bench.hears("########")
    bench.barges_in()
    bench.hears("........")
    bench.reads("", final=True)
    bench.hears(QUIET * 12)
    assert bench.text_of(2) == NOT_HEARD["en"]


def test_an_interruption_before_the_first_sound_is_of_no_turn():
    bench = Bench()
    bench.tts.by_hand = True
    bench.asks("how much is it")
    bench.is_answered("Ten euros.")
    bench.engine.interrupt(CALL, bench.turn, 0.0)
    bench.tts.says(0.6)
    assert turns(bench.goes_on()) == [1], "there was nothing to stop"


@pytest.mark.parametrize(
    ("heard_chunks", "heard"),
    [(0, ""), (1, "one two"), (2, "one two three"), (6, "one two three four five six seven eight")],
)
def test_what_was_heard_is_what_was_said_and_what_the_model_is_told(heard_chunks: int, heard: str):
    bench = speaking()
    bench.hears(QUIET * heard_chunks)
    bench.barges_in()
    assert bench.history[1] == ("agent", heard, True)
    bench.asks("never mind")
    assert [(message.role, message.content) for message in bench.answers.asked[-1][1:]] == (
        [("user", "how much is it"), ("assistant", heard), ("user", "never mind")]
        if heard
        else [("user", "how much is it\nnever mind")]
    )
    assert turns(bench.outputs) == [1]


def test_an_answer_that_is_still_being_written_is_cut_and_its_request_closed():
    bench = Bench()
    bench.asks("how much is it")
    bench.answers.says("one two three. four five ", done=False)
    bench.goes_on()
    bench.hears(QUIET)
    bench.barges_in()
    assert bench.answers.cancelled == 1
    assert not bench.answers.under_way
    bench.hears(QUIET * 8)
    assert bench.text_of(1) == "one two three."
    assert bench.history[1] == ("agent", "one two", True)


def test_a_sentence_that_is_still_being_spoken_is_not_spoken_on():
    bench = Bench()
    bench.tts.by_hand = True
    bench.asks("how much is it")
    bench.is_answered("one two three four.")
    bench.tts.says(0.6, done=False)
    bench.goes_on()
    bench.hears(QUIET)
    bench.barges_in()
    assert bench.tts.cancelled == [1]
    assert CALL not in bench.tts.saying


def test_a_turn_that_was_told_whole_is_cut_too():
    bench = speaking("one two three four.")
    assert bench.history[1] == ("agent", "one two three four.", False)
    bench.hears(QUIET)
    bench.barges_in()
    assert bench.history[1] == ("agent", "one two", True)
    assert bench.hears(QUIET)[-1].decision is DecisionKind.LISTEN


def test_a_turn_that_was_heard_to_its_end_is_not_cut():
    bench = speaking("one two.")
    bench.hears(QUIET * 2)
    bench.engine.interrupt(CALL, bench.turn, 0.3)
    assert bench.history[1] == ("agent", "one two.", False)


def test_a_draft_goes_with_the_turn_that_is_stopped():
    bench = Bench()
    bench.hears(QUIET, say=["one two three four five six seven."])
    bench.hears("########........")
    bench.reads("how much is it", final=True)
    bench.barges_in()
    assert bench.answers.question == "how much is it"
    bench.is_answered("Ten.")
    bench.hears(QUIET * 2)
    assert turns(bench.outputs) == [1, 2]


def test_a_turn_that_the_gateway_never_played_is_given_up():
    bench = speaking()
    bench.plays = False
    bench.hears(QUIET * (STALLED_CHUNKS + 1))
    assert bench.history[1] == ("agent", "", True)
    assert bench.engine.snapshot(CALL) is not None


# When a part fails.


def test_a_recognizer_that_fails_has_the_caller_asked_again():
    bench = Bench()
    bench.hears("########")
    bench.asr.hears("", fault=SessionFault.LOST)
    bench.hears("####")
    bench.goes_on()
    assert turns(bench.outputs) == [], "not while he speaks"
    bench.hears("........")
    bench.hears(QUIET * 12)
    assert bench.text_of(1) == NOT_HEARD["en"]
    assert bench.tts.asked == []
    bench.asks("how much is it")
    assert bench.answers.question == "how much is it"


def test_a_recognizer_that_is_late_is_taken_at_its_words():
    bench = Bench()
    bench.hears("########")
    bench.reads("how much is it and")
    bench.hears(QUIET * 9)
    assert bench.answers.question == "how much is it and"
    assert bench.said[0] == Said(Voice.CALLER, "how much is it and")


def test_a_recognizer_that_fails_for_good_costs_the_call():
    bench = Bench()
    bench.hears("####")
    bench.asr.hears("", fault=SessionFault.REFUSED, lasting=True)
    assert lost_with(bench.goes_on()) is SessionFault.REFUSED
    assert bench.asr.closed == [CALL]


def test_three_failures_of_the_recognizer_in_a_row_cost_the_call():
    bench = Bench()
    for failures in range(1, MAX_FAILURES + 1):
        bench.hears("####" + QUIET * 6)
        lost = lost_with(bench.hears(QUIET))
        assert lost is (SessionFault.TOO_SLOW if failures == MAX_FAILURES else None)
        if lost is None:
            bench.hears(QUIET * 12)


def test_a_result_in_between_begins_the_count_anew():
    bench = Bench()
    for _ in range(MAX_FAILURES):
        bench.hears("####" + "." * 60)
        bench.asks("how much is it")
        bench.is_answered("Ten.")
        bench.hears(QUIET * 3)
    assert lost_with(bench.outputs) is None


def test_a_chat_model_that_fails_is_excused_by_the_voice_of_this_machine():
    bench = Bench()
    bench.asks("how much is it")
    bench.answers.says("", error=AnswerFault.TOO_SLOW)
    bench.goes_on()
    bench.hears(QUIET * 14)
    assert bench.text_of(1) == NO_ANSWER["en"]
    assert bench.tts.asked == []
    assert bench.said[-1] == Said(Voice.AGENT, NO_ANSWER["en"])


def test_what_came_of_an_answer_that_broke_off_is_said():
    bench = Bench()
    bench.asks("how much is it")
    bench.answers.says("Ten euros and", error=AnswerFault.CUT)
    bench.goes_on()
    assert bench.text_of(1) == "Ten euros and"


def test_an_answer_without_a_word_is_excused():
    bench = Bench()
    bench.asks("how much is it")
    bench.is_answered(" ")
    assert bench.spare.texts[0] in NO_ANSWER["en"]


def test_three_failures_of_the_chat_model_in_a_row_cost_the_call():
    bench = Bench()
    for failures in range(1, MAX_FAILURES + 1):
        bench.asks("how much is it")
        bench.answers.says("", error=AnswerFault.UNREACHABLE)
        lost = lost_with(bench.goes_on())
        assert lost is (SessionFault.UNREACHABLE if failures == MAX_FAILURES else None)
        if lost is None:
            bench.hears(QUIET * 14)


def test_the_spare_voice_says_the_rest_and_three_such_turns_cost_the_call():
    bench = Bench()
    bench.tts.by_hand = True
    for failures in range(1, MAX_FAILURES + 1):
        bench.asks("how much is it")
        bench.answers.says("aaaa bbbb cccc dddd.")
        bench.goes_on()
        bench.tts.says(0.6, fault=SessionFault.LOST)
        bench.goes_on()
        if failures < MAX_FAILURES:
            assert bench.text_of(failures) == "aaaa bbbb cccc dddd."
            assert bench.spare.texts[-1] == "cccc dddd."
            bench.hears(QUIET * 5)
    assert lost_with(bench.outputs) is SessionFault.LOST


def test_a_voice_that_speaks_again_begins_the_count_anew():
    bench = Bench()
    for _ in range(MAX_FAILURES):
        bench.tts.fails = True
        bench.asks("how much is it")
        bench.is_answered("Ten.")
        bench.hears(QUIET * 2)
        bench.tts.fails = False
        bench.asks("and for two")
        bench.is_answered("Twenty.")
        bench.hears(QUIET * 2)
    assert lost_with(bench.outputs) is None


def test_a_voice_that_hangs_is_replaced():
    bench = Bench()
    bench.tts.by_hand = True
    bench.asks("how much is it")
    bench.is_answered("Ten euros.")
    bench.hears(QUIET * (LATE_CHUNKS + 1))
    assert bench.text_of(1) == "Ten euros."
    assert bench.spare.texts == ["Ten euros."]
    assert bench.tts.cancelled == [1]


def test_of_an_answer_that_no_voice_could_say_to_its_end_the_rest_was_not_said():
    bench = Bench()
    bench.tts.by_hand = bench.spare.fails = True
    bench.asks("how much is it")
    bench.is_answered("aaaa bbbb cccc dddd.")
    bench.tts.says(0.4, done=False)
    bench.goes_on()
    bench.tts.says(0.0, fault=SessionFault.LOST)
    bench.goes_on()
    assert bench.complete
    assert bench.said[-1] == Said(Voice.AGENT, "aaaa bbbb")
    assert bench.history[-1] == ("agent", "aaaa bbbb", False)


def test_a_call_that_no_voice_can_speak_in_is_lost():
    bench = Bench()
    bench.tts.fails = bench.spare.fails = True
    for _ in range(2):
        bench.asks("how much is it")
        bench.is_answered("Ten.")
    assert lost_with(bench.outputs) is SessionFault.LOST


# What the model does to the call.


HANG_UP = FunctionWanted("hangup", "{}")


def test_the_model_is_told_what_it_may_do():
    bench = Bench()
    bench.asks("bye")
    assert [function["name"] for function in bench.answers.functions[-1]] == ["hangup", "transfer"]
    assert all(set(function) == {"name", "description", "parameters"} for function in bench.answers.functions[-1])


def test_what_is_to_be_done_goes_with_the_last_of_the_turn():
    bench = Bench()
    bench.asks("bye")
    bench.is_answered(LONG, [HANG_UP])
    assert bench.actions == [], "not all of it was given yet"
    bench.hears(QUIET * 9)
    (output,) = [output for output in bench.outputs if output.actions]
    assert (output.turn, output.turn_done, output.actions) == (1, True, [Action("hangup")])


def test_a_call_is_transferred_to_the_number_behind_the_name():
    bench = Bench()
    bench.asks("sales please")
    bench.is_answered("One moment.", [FunctionWanted("transfer", json.dumps({"to": "sales"}))])
    bench.hears(QUIET * 3)
    assert bench.actions == [Action("transfer", {"to": "+15550100200"})]


def test_what_is_to_be_done_without_a_word_is_done_at_once():
    bench = Bench()
    bench.asks("bye")
    bench.is_answered("", [HANG_UP])
    assert bench.actions == [Action("hangup")]
    assert turns(bench.outputs) == []


def test_what_is_to_be_done_waits_for_what_is_being_said():
    bench = Bench()
    bench.hears(QUIET, say=["one two three four five six."])
    bench.asks("bye")  # over it
    bench.hears(QUIET * 2)
    bench.is_answered("", [HANG_UP])
    assert not bench.playing
    assert bench.actions == [Action("hangup")]


@pytest.mark.parametrize("chunks", [0, 2])
def test_nothing_is_done_of_a_turn_that_was_stopped(chunks: int):
    bench = Bench()
    bench.asks("bye")
    bench.is_answered(LONG, [HANG_UP])
    bench.hears(QUIET * chunks)
    bench.barges_in()
    bench.hears(QUIET * 12)
    assert bench.actions == []


def test_nothing_is_done_of_an_answer_that_was_taken_back():
    bench = Bench()
    bench.tts.by_hand = True
    bench.asks("bye")
    bench.is_answered("Goodbye.", [HANG_UP])
    bench.hears("####")
    bench.reads("no wait")
    bench.hears("........")
    bench.reads("no wait", final=True)
    bench.tts.by_hand = False
    bench.is_answered("Yes?")
    bench.hears(QUIET * 3)
    assert (bench.actions, bench.text_of(1)) == ([], "Yes?")


@pytest.mark.parametrize(
    "wanted",
    [
        FunctionWanted("format_disk", "{}"),
        FunctionWanted("voicemail", "{}"),
        FunctionWanted("transfer", '{"to": "+15550199999"}'),
        FunctionWanted("transfer", "not json"),
        FunctionWanted("report_sound", '{"name": "dog"}'),
    ],
)
def test_what_the_model_may_not_do_is_not_done(wanted: FunctionWanted):
    bench = Bench()
    bench.asks("do it")
    bench.is_answered("Certainly.", [wanted])
    bench.hears(QUIET * 3)
    assert bench.actions == []
    assert bench.text_of(1) == "Certainly."


# Keys, an operator, a greeting.


def test_keys_are_answered_a_moment_after_the_last_one():
    bench = Bench()
    bench.hears(QUIET, dtmf="12")
    bench.hears(QUIET, dtmf="3")
    bench.hears(QUIET * (KEYS_WAIT_CHUNKS - 1))
    assert bench.answers.asked == []
    bench.hears(QUIET)
    assert bench.answers.question == keys_pressed("123")
    bench.is_answered("Thank you.")
    assert bench.text_of(1) == "Thank you."


def test_the_hash_key_ends_them_at_once():
    bench = Bench()
    bench.hears(QUIET, dtmf="12#")
    assert bench.answers.question == keys_pressed("12#")


def test_keys_end_what_the_agent_says():
    bench = speaking()
    bench.hears(QUIET)
    outputs = bench.hears(QUIET, dtmf="1#")
    assert [(output.turn, output.turn_done, output.decision) for output in outputs] == [
        (1, True, None),
        (0, False, DecisionKind.LISTEN),
    ]
    assert bench.history[1:] == [("agent", "one two three", True), ("caller", keys_pressed("1#"), False)]
    bench.hears(QUIET)
    assert bench.history[1] == ("agent", "one two three four", True), "what the gateway had of it is heard on"
    bench.is_answered("Thank you.")
    assert bench.text_of(2) == "Thank you."
    assert bench.text_of(1) == "one two three four five six seven eight", "no more than was given before"


def test_what_the_gateway_says_was_heard_of_a_turn_that_was_replaced_counts():
    bench = speaking()
    bench.hears(QUIET, dtmf="1#")
    assert bench.history[1] == ("agent", "one two", True)
    bench.engine.interrupt(CALL, bench.turn, 1.0)
    assert bench.history[1] == ("agent", "one two three four", True)
    bench.is_answered("Thank you.")
    assert bench.text_of(2) == "Thank you.", "what replaces it is not stopped with it"


def test_the_sound_of_keys_is_no_speech():
    bench = Bench()
    bench.hears("####")
    bench.hears("####", dtmf="1")
    bench.hears("####........")
    assert "finish" not in bench.asr.told
    bench.asks("how much is it")
    assert bench.answers.question.endswith("how much is it")


def test_an_operators_words_take_the_floor():
    bench = Bench()
    bench.asks("how much is it")
    bench.answers.says("one two three. four five ", done=False)
    bench.goes_on()
    bench.hears(QUIET)
    outputs = bench.hears(QUIET, say=["This is the manager.", "Twelve euros."])
    assert turns(outputs) == [2]
    bench.hears(QUIET * 8)
    assert (bench.text_of(2), bench.text_of(3)) == ("This is the manager.", "Twelve euros.")
    assert bench.answers.cancelled == 1
    assert bench.history == [
        ("caller", "how much is it", False),
        ("agent", "one two three.", True),
        ("agent", "This is the manager.", False),
        ("agent", "Twelve euros.", False),
    ]
    assert len(bench.answers.asked) == 1, "the operator has answered"


def test_what_an_operator_has_answered_is_not_answered_again():
    bench = Bench()
    bench.asks("how much is it")
    bench.hears("####")
    bench.reads("uh")
    assert bench.answers.cancelled == 1
    bench.hears(QUIET, say=["Twelve euros."])
    bench.hears(QUIET * 3)
    bench.reads("", final=True)
    bench.hears(QUIET * 3)
    assert bench.text_of(1) == "Twelve euros."
    assert not bench.answers.under_way
    assert bench.engine.snapshot(CALL) is not None


def test_what_stopped_the_agent_is_answered_even_over_an_operator():
    bench = speaking()
    bench.hears("########")
    bench.barges_in()
    bench.hears("........", say=["one two three four five six."])
    bench.reads("and for two", final=True)
    assert bench.playing
    assert bench.answers.question == "and for two"


def test_an_operators_words_are_said_over_the_caller():
    bench = Bench()
    bench.hears("####")
    assert turns(bench.hears("####", say=["Please hold the line."])) == [1]


@pytest.mark.parametrize("text", ["", " ", "..."])
def test_an_operator_who_says_nothing_stops_nothing(text: str):
    bench = speaking()
    bench.hears(QUIET, say=[text])
    bench.hears(QUIET * 9)
    assert bench.text_of(1) == LONG


def test_what_was_said_over_an_operator_is_answered_after_it():
    bench = Bench()
    bench.hears(QUIET, say=["one two three four five six seven."])
    bench.asks("how much is it")
    bench.hears(QUIET * 4)
    assert bench.answers.question == "how much is it"


def test_the_greeting_is_said_once_and_may_be_interrupted():
    bench = Bench(BRIEF.model_copy(update={"greeting": GREETING}))
    bench.goes_on()
    assert bench.tts.asked[0][1:] == (GREETING, VoiceWish("", "en"))
    assert bench.text_of(1) == GREETING
    bench.hears(QUIET)
    bench.barges_in()
    bench.hears(QUIET * 3)
    assert bench.history == [("agent", "Hello, this", True)]
    assert turns(bench.outputs) == [1]


def test_a_call_that_goes_on_is_not_greeted_again():
    brief = BRIEF.model_copy(update={"greeting": GREETING})
    bench = Bench(brief, said=[Said(Voice.AGENT, GREETING), Said(Voice.CALLER, "hello")])
    bench.hears(QUIET * 3)
    assert turns(bench.outputs) == []
    bench.asks("how much is it")
    assert [message.content for message in bench.answers.asked[-1][2:]] == [GREETING, "hello\nhow much is it"]


# Lines for something else.


def test_a_line_that_transcribes_says_nothing_and_asks_nobody():
    bench = Bench(BRIEF.model_copy(update={"mode": Mode.TRANSCRIPTION, "greeting": GREETING}))
    bench.hears("####", dtmf="1#", say=["Hello."])
    bench.hears("####........")
    bench.reads("how much is it", final=True)
    bench.hears("####")
    bench.asr.hears("", fault=SessionFault.LOST)
    bench.hears("####........")
    assert bench.said == [Said(Voice.CALLER, "how much is it")]
    assert (bench.answers.asked, bench.tts.asked, bench.spare.asked) == ([], [], [])
    assert {output.decision for output in bench.outputs if output.decision} == {DecisionKind.LISTEN}
    assert bench.history == [("caller", "how much is it", False)]
    assert sum(bench.asr.utterances[0] > 0) == 12_800, "keys do not cost it a word"


def test_a_line_that_translates_says_it_in_the_other_language():
    bench = bench_of(Mode.TRANSLATION, "de")
    bench.asks("good morning")
    assert bench.answers.question == "good morning"
    assert bench.answers.functions == [[]]
    bench.is_answered("Guten Morgen.")
    assert [list(output.translated) for output in bench.outputs if output.translated] == [
        [Translated("Guten Morgen.", "de")]
    ]
    assert bench.tts.asked[0][1:] == ("Guten Morgen.", VoiceWish("", "de"))
    assert bench.text_of(1) == "Guten Morgen."


def test_translations_come_one_after_another_and_each_is_of_its_own_words():
    bench = bench_of(Mode.TRANSLATION, "de")
    bench.asks("good morning")
    bench.asks("how are you")
    assert bench.answers.question == "good morning"
    bench.is_answered("Guten Morgen.")
    assert [message.content for message in bench.answers.asked[-1][1:]] == ["how are you"]
    bench.is_answered("Wie geht es?")
    bench.hears(QUIET * 5)
    assert [bench.text_of(1), bench.text_of(2)] == ["Guten Morgen.", "Wie geht es?"]


def test_a_translation_that_is_stopped_does_not_cost_the_next():
    bench = bench_of(Mode.TRANSLATION, "de")
    bench.asks("good morning")
    bench.asks("how are you")
    bench.answers.says("Guten ", done=False)
    bench.answers.says("Morgen. Schön, ", done=False)
    bench.goes_on()
    bench.barges_in()
    assert bench.answers.cancelled == 1
    bench.is_answered("Wie geht es?")
    bench.hears(QUIET)
    assert bench.text_of(2) == "Wie geht es?"


def test_an_operators_words_do_not_cost_a_translation_that_waits():
    bench = bench_of(Mode.TRANSLATION, "de")
    bench.asks("good morning")
    bench.asks("how are you")
    bench.hears(QUIET, say=["Einen Moment."])
    bench.is_answered("Wie geht es?")
    bench.hears(QUIET * 4)
    assert [bench.text_of(1), bench.text_of(2)] == ["Einen Moment.", "Wie geht es?"]


def test_an_excuse_is_no_translation():
    bench = bench_of(Mode.TRANSLATION, "de")
    bench.asks("good morning")
    bench.answers.says("", error=AnswerFault.OVERLOADED)
    bench.goes_on()
    bench.hears(QUIET * 14)
    assert all(not output.translated for output in bench.outputs)
    assert bench.text_of(1) == NO_ANSWER["de"]


def test_sound_is_never_more_than_two_seconds_ahead_of_the_ear():
    bench = speaking()
    assert seconds(bench.outputs, 1) == pytest.approx(2.0)
    for _ in range(4):
        bench.hears(QUIET)
        assert seconds(bench.outputs, 1) - bench.heard_s <= 2.0
