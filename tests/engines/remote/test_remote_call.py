"""A call on a server: turns, interruptions, and sessions that end before the call does."""

import pytest

from model_worker.dialog.brief import Brief, Mode, SoundAction
from model_worker.duplex.remote.call import MAX_UNHEARD_S, SessionLostError
from model_worker.duplex.remote.effects import (
    Broken,
    Decided,
    Do,
    Expiring,
    Heard,
    Line,
    Ready,
    Resumable,
    SessionFault,
    TurnOver,
    Words,
)
from model_worker.duplex.remote.seam import Lost
from model_worker.seams import Action, SoundHeard, StepOutput, Translated
from tests.engines.remote.fakes import CHUNK, RATE_HZ, Bench, sound
from wire.ids import TurnId
from wire.messages import DecisionKind, Floor, Voice

BRIEF = Brief(name="desk", engine="realtime", instructions="Be kind.")


def started(brief: Brief = BRIEF, limit_s: float | None = None, *, yields_by_itself: bool = False) -> Bench:
    bench = Bench(brief, limit_s, yields_by_itself=yields_by_itself)
    bench.link()
    return bench


def seconds(outputs: list[StepOutput], turn: int) -> float:
    return sum(len(piece.pcm) for out in outputs if out.turn == turn for piece in out.speech) / RATE_HZ


def test_every_chunk_is_answered_at_once_and_goes_to_the_server_in_order() -> None:
    bench = started()
    outputs = bench.speaks(3)
    assert [(out.index, out.decision) for out in outputs] == [(n, DecisionKind.LISTEN) for n in range(3)]
    assert bench.session.told == ["connected", len(CHUNK), len(CHUNK), len(CHUNK)]
    assert bench.links.sent == [(1, "hello")]


def test_what_is_said_before_the_server_is_ready_waits_for_it() -> None:
    bench = Bench(BRIEF)
    bench.ready_on_connect = False
    bench.sessions[0].ready_on_connect = False
    bench.link()
    assert len(bench.speaks(4)) == 4
    assert bench.session.chunks == 0
    bench.tells(Ready())
    assert bench.session.chunks == 4


def test_speech_goes_out_as_it_comes_and_no_more_than_two_seconds_ahead_of_the_ear() -> None:
    bench = started()
    outputs = bench.tells(sound(5.0), Words("one two three"), TurnOver())
    assert seconds(outputs, 1) == pytest.approx(2.0)
    assert all(out.decision is None for out in outputs)
    bench.plays(1)
    outputs = bench.speaks(3)
    assert seconds(outputs, 1) == pytest.approx(1.2)
    assert [out.decision for out in outputs] == [DecisionKind.SPEAK] * 3
    outputs = bench.speaks(12)
    assert seconds(outputs, 1) == pytest.approx(1.8)
    (done,) = [out for out in outputs if out.turn_done]
    assert [(said.voice, said.text) for said in done.said] == [(Voice.AGENT, "one two three")]
    assert outputs[-1].decision is DecisionKind.LISTEN


def test_a_reply_that_follows_another_waits_until_that_was_heard() -> None:
    bench = started()
    outputs = bench.tells(sound(0.8), Words("wait."), TurnOver(), sound(0.4), Words("here"), TurnOver())
    assert {out.turn for out in outputs} == {1}
    bench.plays(1)
    outputs = bench.speaks(2)
    assert seconds(outputs, 2) == pytest.approx(0.4)
    assert outputs[-1].turn_done


def test_an_interruption_cuts_the_history_and_drops_what_was_to_follow() -> None:
    bench = started()
    bench.tells(sound(3.0), Words("a b c d e f g h i j"), TurnOver(), sound(1.0), Words("never said"), TurnOver())
    bench.plays(1)
    bench.speaks(2)
    bench.call.interrupt(TurnId(1), 1.0)
    assert bench.session.told[-1] == ("interrupt", 1.0)
    (entry,) = bench.call.history.as_dicts()
    assert (entry["text"], entry["cut"]) == ("a b c d", True)
    assert bench.speaks(1)[0].decision is DecisionKind.LISTEN
    outputs = bench.tells(sound(0.4), TurnOver())
    assert [out.turn for out in outputs] == [3]


def test_a_turn_that_was_told_whole_is_cut_in_the_history_where_it_was_stopped() -> None:
    bench = started()
    bench.tells(sound(3.0), Words("a b c d e f g h i j"), TurnOver())
    bench.plays(1)
    bench.speaks(4)
    assert bench.call.history.as_dicts()[0]["cut"] is False
    bench.call.interrupt(TurnId(1), 1.6)
    (entry,) = bench.call.history.as_dicts()
    assert (entry["text"], entry["cut"]) == ("a b c d e f", True)


def test_nothing_is_told_of_a_call_that_no_session_serves() -> None:
    bench = started()
    (lost,) = bench.lost(Lost(SessionFault.REFUSED, "the key"))
    assert isinstance(lost.fault, SessionLostError)
    assert bench.speaks(1) == []


def test_an_interruption_of_a_turn_that_is_over_changes_nothing() -> None:
    bench = started()
    bench.tells(sound(0.4), Words("yes"), TurnOver())
    bench.plays(1)
    bench.speaks(2)
    bench.call.interrupt(TurnId(1), 0.2)
    assert ("interrupt", 0.2) not in bench.session.told
    assert bench.call.history.as_dicts()[0]["cut"] is False


def test_a_server_that_yields_by_itself_gives_the_caller_the_floor() -> None:
    bench = started(yields_by_itself=True)
    bench.tells(sound(3.0), Words("a b c"))
    bench.plays(1)
    assert bench.speaks(1, overlap_s=0.2)[0].floor is None
    bench.tells(TurnOver(cut=True))
    assert bench.speaks(1, overlap_s=0.6)[0].floor is Floor.YIELD


def test_what_the_server_tells_of_the_caller_comes_between_two_chunks() -> None:
    bench = started()
    bench.speaks()
    (output,) = bench.tells(Heard("hello", 0.8), Translated("hallo", "de"))
    assert (output.decision, output.index) == (None, 0)
    assert [(said.voice, said.text, said.confidence) for said in output.said] == [(Voice.CALLER, "hello", 0.8)]
    assert output.translated == [Translated("hallo", "de")]


def test_p_speak_goes_with_the_next_decision() -> None:
    bench = started()
    bench.tells(Decided(0.25))
    first, second = bench.speaks(2)
    assert (first.p_speak, second.p_speak) == (0.25, None)


def test_a_sound_may_do_something_to_the_call() -> None:
    brief = BRIEF.model_copy(update={"on_sound": {"alarm": SoundAction(do="transfer", to="+15550100200")}})
    bench = started(brief)
    bench.speaks()
    (output,) = bench.tells(SoundHeard("alarm", 0.9), SoundHeard("dog"))
    assert [sound.name for sound in output.sounds] == ["alarm", "dog"]
    assert output.actions == [Action("transfer", {"to": "+15550100200"})]


def test_a_line_that_only_transcribes_says_nothing() -> None:
    bench = started(BRIEF.model_copy(update={"mode": Mode.TRANSCRIPTION}))
    assert bench.tells(sound(1.0), Words("I think"), TurnOver()) == []
    assert bench.speaks()[0].decision is DecisionKind.LISTEN


def test_what_the_model_wants_done_goes_with_its_turn() -> None:
    bench = started()
    bench.speaks()
    outputs = bench.tells(sound(0.4), Do(Action("hangup")), TurnOver())
    assert [(out.turn, list(out.actions)) for out in outputs if out.actions] == [(1, [Action("hangup")])]


def test_keys_reach_the_session() -> None:
    bench = started()
    bench.speaks(dtmf="12")
    assert ("press", "12") in bench.session.told


def test_a_connection_that_breaks_is_followed_by_one_that_knows_what_was_said() -> None:
    bench = started()
    bench.tells(sound(0.4), Words("How can I help?"), TurnOver())
    bench.plays(1)
    bench.speaks(2)
    bench.tells(Heard("my bill"))
    bench.speaks(2)
    assert bench.lost(Lost(SessionFault.LOST, "gone")) == []
    bench.link()
    assert len(bench.sessions) == 2
    assert bench.session.opening.said == [Line(Voice.AGENT, "How can I help?"), Line(Voice.CALLER, "my bill")]
    assert bench.session.chunks == 4, "all that the caller said since the last reply"
    assert [out.decision for out in bench.speaks(2)] == [DecisionKind.LISTEN] * 2
    assert bench.session.chunks == 6


def test_a_sentence_that_breaks_off_plays_to_where_it_came_and_ends_there() -> None:
    bench = started()
    bench.tells(sound(1.0), Words("I was going to"))
    outputs = bench.lost(Lost(SessionFault.LOST, "gone"))
    bench.link()
    bench.plays(1)
    outputs += bench.speaks(4)
    assert [out.turn for out in outputs if out.turn_done] == [1]
    assert outputs[-1].decision is DecisionKind.LISTEN
    assert bench.session.opening.said == [Line(Voice.AGENT, "I was going to")]


def test_two_sessions_that_were_never_ready_cost_the_call() -> None:
    bench = started()
    bench.ready_on_connect = False
    bench.lost(Lost(SessionFault.LOST, "gone"))
    (output,) = bench.lost(Lost(SessionFault.LOST, "gone again"))
    assert isinstance(output.fault, SessionLostError)
    assert len(bench.sessions) == 2


def test_sessions_that_break_as_soon_as_they_are_ready_cost_the_call_and_are_not_begun_without_end() -> None:
    bench = started()
    bench.speaks(20)
    outputs: list[StepOutput] = []
    for _ in range(5):
        outputs += bench.lost(Lost(SessionFault.LOST, "gone"))
        bench.link()
        if outputs:
            break
        outputs += [out for out in bench.speaks() if out.fault is not None]
    assert [type(out.fault) for out in outputs] == [SessionLostError]
    assert len(bench.sessions) == 2


def test_a_session_that_lasted_may_break_again_and_again() -> None:
    bench = started()
    for _ in range(6):
        outputs = bench.speaks(15)
        assert bench.lost(Lost(SessionFault.LOST, "gone")) == []
        bench.link()
    assert len(bench.sessions) == 7
    assert all(out.fault is None for out in outputs)


@pytest.mark.parametrize("fault", [SessionFault.REFUSED, SessionFault.FULL, SessionFault.UNREACHABLE])
def test_what_another_try_does_not_mend_costs_the_call_at_once(fault: SessionFault) -> None:
    bench = Bench(BRIEF)
    (output,) = bench.lost(Lost(fault, "no"))
    assert isinstance(output.fault, SessionLostError)
    assert output.fault.fault is fault
    assert len(bench.sessions) == 1


def test_a_server_that_never_gets_ready_costs_the_call_after_five_seconds() -> None:
    bench = Bench(BRIEF)
    bench.sessions[0].ready_on_connect = False
    bench.link()
    outputs = bench.speaks(13)
    (fault,) = [out.fault for out in outputs if out.fault is not None]
    assert isinstance(fault, SessionLostError)
    assert fault.fault is SessionFault.TOO_SLOW
    assert bench.index == 12


def test_a_server_that_never_stops_speaking_costs_the_call() -> None:
    bench = started()
    with pytest.raises(SessionLostError):
        bench.tells(*[sound(10.0) for _ in range(round(MAX_UNHEARD_S / 10) + 1)])


def test_a_session_is_replaced_before_its_limit_and_the_caller_notices_nothing() -> None:
    bench = started(limit_s=120.0)
    outputs = bench.speaks(150)
    assert len(bench.sessions) == 1
    outputs += bench.speaks(60)
    assert len(bench.sessions) == 2
    assert bench.links.closed == [1]
    assert bench.sessions[0].told[-1] == "end"
    assert [out.decision for out in outputs] == [DecisionKind.LISTEN] * 210
    assert bench.sessions[1].chunks >= 38 + 60 - 1, "it was told what nobody had answered, and all that came"


def test_a_session_is_not_replaced_while_the_agent_speaks() -> None:
    bench = started(limit_s=120.0)
    bench.speaks(149)
    bench.tells(sound(8.0), Words("a long story"), TurnOver())
    bench.plays(1)
    bench.speaks(15)
    assert len(bench.sessions) == 1
    bench.speaks(8)
    assert len(bench.sessions) == 2
    assert bench.session.opening.said == [Line(Voice.AGENT, "a long story")]


def test_a_next_session_that_fails_is_tried_again_and_costs_nothing() -> None:
    bench = started(limit_s=120.0)
    bench.speaks(150)
    bench.ready_on_connect = False
    bench.speaks(1)
    bench.session_tells(2, Broken(SessionFault.FULL, "full"))
    bench.ready_on_connect = True
    outputs = bench.speaks(3)
    assert len(bench.sessions) == 3
    assert all(out.fault is None for out in outputs)
    assert bench.links.closed == [2, 1]


def test_where_a_server_has_one_session_it_is_closed_before_the_next_is_begun() -> None:
    bench = Bench(BRIEF, limit_s=120.0, one_session_a_call=True)
    bench.link()
    bench.speaks(151)
    assert bench.links.closed == [1]
    assert len(bench.sessions) == 2
    bench.speaks(2)
    assert bench.sessions[0].told[-1] == "end"
    assert bench.session.chunks >= 38 + 2 - 1, "it was told what nobody had answered, and all that came"


def test_a_server_that_says_that_it_will_end_a_session_has_it_replaced_before() -> None:
    bench = started()
    bench.speaks(10)
    assert len(bench.sessions) == 1
    bench.tells(Expiring(left_s=30.0))
    bench.speaks(2)
    assert len(bench.sessions) == 2
    assert bench.links.closed == [1]


def test_the_next_session_goes_on_from_what_the_server_gave_last() -> None:
    bench = started()
    bench.tells(Resumable("first"), Resumable("second"))
    bench.lost(Lost(SessionFault.LOST, "gone"))
    bench.link()
    assert bench.session.opening.resume == "second"


@pytest.mark.parametrize("fault", [SessionFault.REFUSED, SessionFault.LOST])
def test_a_server_that_forgot_what_to_go_on_from_is_told_in_words(fault: SessionFault) -> None:
    bench = started()
    bench.tells(Resumable("token"), Heard("my bill"))
    bench.lost(Lost(SessionFault.LOST, "gone"))
    assert bench.lost(Lost(fault, "no such thing")) == []
    bench.link()
    assert len(bench.sessions) == 3
    assert (bench.session.opening.resume, bench.session.opening.said) == ("", [Line(Voice.CALLER, "my bill")])
    assert [out.fault for out in bench.speaks(2)] == [None, None]
