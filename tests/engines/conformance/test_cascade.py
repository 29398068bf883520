"""The cascade with servers that are late, cut off, wrong or full: what the caller hears of it, and who else does."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pytest

from model_worker.dialog.brief import Brief, Tools
from model_worker.duplex.cascade.asr_link import MAX_FAILURES
from model_worker.duplex.cascade.phrases import NO_ANSWER, NOT_HEARD
from model_worker.duplex.remote.call import SessionLostError
from model_worker.duplex.remote.effects import SessionFault
from model_worker.seams import Action, Pcm
from tests.engines.conformance.line import Caller, Host
from tests.engines.conformance.local import TALKER, build_cascade
from tests.engines.subject import Reply, Script, Subject, line_noise, speaker
from tests.model_worker.answers.server import ANYTHING, DONE, FIRST, Act, Plan, calls, says, words
from tests.peers.cascade import CascadePeer
from tests.peers.sound import turn_of
from tests.peers.speech import Turn
from tests.peers.transcription import SENTENCES, Fate
from wire.ids import TurnId
from wire.messages import Voice

SPOKEN, QUIET = 5, 8  # chunks
ANSWER = "It is a table near the window, and it is yours from eight until ten."
LATE_S = 0.3


def asker(index: int, samples: int, every: int = SPOKEN + QUIET) -> Pcm:
    """Two seconds of speech and a pause in which an answer fits, over and over."""
    within = index % every
    return speaker(within, samples) if within < SPOKEN else line_noise(index, samples)


def patient(index: int, samples: int) -> Pcm:
    """The same with half a minute between, which here goes by in less time than a server may take."""
    return asker(index, samples, every=80)


@contextmanager
def hosted(
    script: Script = Script(replies=(Reply(0.0, 0.0, ANSWER),)),  # noqa: B008  # frozen
    *,
    fates: Sequence[Fate | None] = (),
    clean: bool = True,
    caller: Callable[[int, int], Pcm] = asker,
    line: Brief = TALKER,
    voice: Sequence[Turn | int | None] | None = None,
) -> Iterator[tuple[Host, CascadePeer]]:
    build = partial(build_cascade, first_token_timeout_s=LATE_S, between_tokens_timeout_s=LATE_S)
    with CascadePeer(script, fates=fates, voice=voice) as peer:
        engine, shutdown = build(peer.url, {line.name: line})
        try:
            yield Host(Subject("cascade", CascadePeer, build, line, caller), engine), peer
        finally:
            shutdown()
        if clean:
            assert list(peer.faults) == []


def heard(caller: Caller, voice: Voice) -> list[str]:
    return [said.text for said in caller.said if said.voice is voice]


def says_in_the_end(host: Host, caller: Caller, text: str) -> bool:
    return host.until(lambda: text in heard(caller, Voice.AGENT)) and caller.fault is None


def test_what_was_asked_is_answered() -> None:
    with hosted() as (host, peer):
        caller = host.call()
        assert says_in_the_end(host, caller, ANSWER)
        assert heard(caller, Voice.CALLER)[0] == SENTENCES[0]
        assert ("user", SENTENCES[0]) in peer.chat.requests[-1]
        assert set(caller.decisions) == set(range(caller.index + 1))


@pytest.mark.parametrize("after_s", [0.0, 0.7, 2.0])
def test_the_chat_model_is_told_what_was_heard_of_its_answer(after_s: float) -> None:
    with hosted() as (host, peer):
        caller = host.call()
        assert host.until(lambda: 1 in caller.turns and caller.playing[1] >= after_s)
        caller.stop()
        assert host.until(lambda: max(caller.turns) > 1 and bool(caller.turns[max(caller.turns)].done))
        assert caller.stale == 0
        first, *_ = [entry for entry in host.engine.history(caller.call) if entry["voice"] == "agent"]
        assert first["cut"] is True
        assert ANSWER.startswith(first["text"])
        assert len(first["text"]) < len(ANSWER)
        told = [content for role, content in peer.chat.requests[-1] if role == "assistant"]
        assert all(ANSWER not in content for content in told)
        assert (not first["text"]) or any(first["text"] in content for content in told)


@pytest.mark.parametrize("fate", [Fate.CUT, Fate.ERROR], ids=lambda fate: fate.name)
def test_an_utterance_on_which_the_recognizer_broke_is_heard_again(fate: Fate) -> None:
    with hosted(fates=[fate]) as (host, _):
        caller = host.call()
        assert says_in_the_end(host, caller, ANSWER)
        assert heard(caller, Voice.CALLER)[0] == SENTENCES[0]


def test_a_recognizer_that_never_finishes_is_not_waited_for() -> None:
    with hosted(fates=[Fate.HOLD]) as (host, peer):
        caller = host.call()
        assert says_in_the_end(host, caller, ANSWER)
        assert SENTENCES[0].startswith(heard(caller, Voice.CALLER)[0])
        peer.release()


def test_who_was_not_heard_is_asked_to_say_it_again() -> None:
    with hosted(fates=[Fate.CUT] * MAX_FAILURES) as (host, _):
        caller = host.call()
        assert says_in_the_end(host, caller, NOT_HEARD["en"])
        assert says_in_the_end(host, caller, ANSWER)


def test_garbage_of_a_recognizer_costs_the_call_and_no_other() -> None:
    with hosted(fates=[Fate.GARBAGE], clean=False) as (host, _):
        callers = [host.call(f"call-{n}") for n in range(3)]
        assert host.until(lambda: sum(ANSWER in heard(caller, Voice.AGENT) for caller in callers) == 2)
        faults = [caller.fault for caller in callers if caller.fault is not None]
        assert [type(fault) for fault in faults] == [SessionLostError]
        assert "garbage" in str(faults[0])


@pytest.mark.parametrize(
    ("script", "fault"),
    [(Script(full=True), SessionFault.FULL), (Script(refuses_key=True), SessionFault.REFUSED)],
    ids=["full", "wrong-key"],
)
def test_a_recognizer_that_refuses_costs_the_call_with_the_reason(script: Script, fault: SessionFault) -> None:
    with hosted(script) as (host, _):
        caller = host.call()
        assert host.until(lambda: caller.fault is not None)
        assert isinstance(caller.fault, SessionLostError)
        assert caller.fault.fault is fault


@pytest.mark.parametrize(
    "plan",
    [
        Plan([Act.GATE]),
        Plan([], status=503),
        Plan([], status=401),
        Plan([b"data: no JSON\n\n"]),
        Plan([FIRST, Act.RESET]),
        Plan([FIRST, DONE]),
    ],
    ids=["late", "full", "wrong-key", "garbage", "reset", "no-word"],
)
def test_a_chat_model_that_fails_is_excused_and_asked_again(plan: Plan) -> None:
    with hosted(caller=patient) as (host, peer):
        peer.chat.when(ANYTHING, plan, says(ANSWER))
        caller = host.call()
        assert says_in_the_end(host, caller, NO_ANSWER["en"])
        assert says_in_the_end(host, caller, ANSWER)


def test_an_answer_that_breaks_off_is_said_as_far_as_it_came() -> None:
    with hosted() as (host, peer):
        peer.chat.when(ANYTHING, Plan([FIRST, *words("It is ", "a table near "), Act.CUT]), says(ANSWER))
        caller = host.call()
        assert says_in_the_end(host, caller, "It is a table near")
        assert says_in_the_end(host, caller, ANSWER)


def test_a_chat_model_that_never_answers_costs_the_call_after_three_questions() -> None:
    with hosted() as (host, peer):
        peer.chat.when(ANYTHING, Plan([], status=500))
        caller = host.call()
        assert host.until(lambda: caller.fault is not None)
        assert isinstance(caller.fault, SessionLostError)
        assert heard(caller, Voice.AGENT) == [NO_ANSWER["en"]] * 2


def test_an_hour_is_remembered_in_halves_and_its_beginning_stays_the_same() -> None:
    """No session ends, so nothing rolls over: the talk is told from a begin that moves seldom."""
    long = "The soup of the day is one that we make ourselves every morning from what the market has. " * 12
    with hosted(Script(replies=(Reply(0.0, 0.0, long.strip()),))) as (host, peer):
        caller = host.call()
        for _ in range(14):
            assert host.until(lambda: caller.playing[0] > caller.stopped and caller.playing[1] > 20.0)
            caller.stop()
        assert caller.fault is None
        begins = [request[1] for request in peer.chat.requests if len(request) > 1]
        assert all(request[0][0] == "system" for request in peer.chat.requests)
        assert len(set(begins)) <= 4
        assert max(sum(len(text) for _, text in request) for request in peer.chat.requests) < 12_000


def test_a_turn_that_was_interrupted_stops_the_model_and_the_next_question_finds_it_free() -> None:
    with hosted() as (host, peer):
        gate = peer.chat.when(ANYTHING, Plan([FIRST, *words("Well, let me see. "), Act.GATE]), says(ANSWER))
        caller = host.call()
        assert host.until(lambda: 1 in caller.turns and peer.chat.count("at gate") == 1)
        caller.stop()
        assert peer.chat.saw("aborted")
        peer.chat.release(gate)
        assert says_in_the_end(host, caller, ANSWER)
        assert caller.turns[TurnId(1)].samples > 0


def test_a_function_that_the_model_calls_is_done_when_its_words_were_played() -> None:
    line = TALKER.model_copy(update={"tools": Tools(transfer={"kitchen": "+15550100"})})
    with hosted(line=line) as (host, peer):
        peer.chat.when(ANYTHING, calls("transfer", '{"to": "kitchen"}', "I put you through to the kitchen."))
        caller = host.call()
        assert host.until(lambda: bool(caller.actions))
        assert caller.actions[0][1] == Action("transfer", {"to": "+15550100"})
        assert caller.turns[TurnId(1)].done
        assert "+15550100" not in str(peer.chat.requests), "the model never sees a number"


def test_a_voice_on_a_server_says_it() -> None:
    with hosted(voice=[]) as (host, peer):
        caller = host.call()
        assert says_in_the_end(host, caller, ANSWER)
        assert peer.mouth is not None
        assert " ".join(asked["input"] for asked in peer.mouth.asked).startswith(ANSWER)
        assert tones_of(caller) == {0}


@pytest.mark.parametrize("turn", [Turn.CUT, Turn.JSON, 503, 401], ids=str)
def test_what_a_voice_does_not_say_this_machine_s_says(turn: Turn | int) -> None:
    with hosted(voice=[turn]) as (host, _):
        caller = host.call()
        assert says_in_the_end(host, caller, ANSWER), "all of it, in whichever voice"
        begun = turn is Turn.CUT
        assert (0 in tones_of(caller)) is begun
        assert None in tones_of(caller), "espeak-ng is no tone"


def test_a_voice_that_fails_and_fails_costs_the_call() -> None:
    with hosted(voice=[500] * 10) as (host, _):
        caller = host.call()
        assert host.until(lambda: caller.fault is not None)
        assert "voice" in str(caller.fault)
        assert ANSWER in heard(caller, Voice.AGENT), "until then this machine's said it"


def tones_of(caller: Caller) -> set[int | None]:
    """Which requests of the voice's server are in the first turn, a fifth of a second at a time."""
    pcm, step = caller.turns[TurnId(1)].sound, caller.rate_hz // 5
    return {turn_of(pcm[at : at + step], caller.rate_hz) for at in range(0, len(pcm) - step, step)}
