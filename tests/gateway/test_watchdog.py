"""Each alarm when it is due, once, and not when all is well."""

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.turn.chunk_speech import ChunkSpeech
from gateway.turn.repetition import LONGEST_PERIOD, Repetition
from gateway.turn.watchdog import Alarm, WatchdogLimits, Watchdogs
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.audio.comfort_noise import comfort_noise

CHUNK_S = 0.4
OFF = WatchdogLimits(inf, inf, inf, inf)


class Call:
    """Chunk by chunk."""

    def __init__(self, limits: WatchdogLimits | None = None) -> None:
        self.dogs = Watchdogs(limits)
        self.now = 0.0
        self.alarms: list[tuple[Alarm, float]] = []

    def run(self, seconds: float, *, speech: bool = False) -> "Call":
        until = self.now + seconds
        while self.now < until - 1e-6:
            begin, self.now = self.now, self.now + CHUNK_S
            while (due := self.dogs.next_deadline()) is not None and due <= self.now:
                raised = self.dogs.bark(due)
                assert raised, "a deadline is for something"
                self.alarms += [(alarm, round(due, 2)) for alarm in raised]
            self.dogs.hear(speech=speech, begin_at=begin, now=self.now)
        return self


def test_an_engine_that_never_speaks_is_noticed_after_the_callers_first_words():
    call = Call().run(10).run(2, speech=True).run(60)
    assert call.alarms == [(Alarm.DEAD_AIR, 15.0), (Alarm.NEVER_SPEAKS, 32.0)]


def test_a_caller_who_asks_again_and_again_is_not_kept_waiting_for_longer():
    call = Call(WatchdogLimits(dead_air_s=inf)).run(0.8, speech=True)
    for _ in range(8):
        call.run(3.6).run(0.4, speech=True)
    assert call.alarms == [(Alarm.NEVER_SPEAKS, 0.8 + 20 + 3)]  # he had just asked: 3 s for the answer


def test_a_long_story_with_pauses_leaves_the_engine_its_time_to_answer():
    call = Call(WatchdogLimits(dead_air_s=inf))
    for _ in range(20):
        call.run(2, speech=True).run(1.2)
    assert call.alarms == []
    ended_at = call.now - 1.2
    ((alarm, at),) = call.run(60).alarms
    assert alarm is Alarm.NEVER_SPEAKS
    assert at == pytest.approx(ended_at + 20, abs=0.01)


def test_a_pause_for_thought_does_not_fail_the_call_in_the_middle_of_a_story():
    call = Call(WatchdogLimits(dead_air_s=inf)).run(1.2, speech=True).run(4).run(40, speech=True).run(2.8)
    assert call.alarms == []
    call.dogs.open_turn(call.now)
    assert call.run(60).alarms == []


def test_what_ends_the_call_is_told_last():
    call = Call(WatchdogLimits(never_speaks_s=2, dead_air_s=2)).run(0.8, speech=True).run(8)
    assert call.alarms == [(Alarm.DEAD_AIR, 2.8), (Alarm.NEVER_SPEAKS, 2.8)]


def test_nobody_is_blamed_for_the_silence_of_a_caller():
    assert Call().run(100).alarms == []


def test_who_has_spoken_once_has_spoken():
    call = Call()
    call.dogs.open_turn(0.0)
    call.dogs.end_turn()
    call.run(2, speech=True).run(60)
    assert call.alarms == [(Alarm.DEAD_AIR, 5.0)]


def test_dead_air_is_told_again_when_the_caller_tries_again():
    call = Call(WatchdogLimits(never_speaks_s=inf)).run(0.8, speech=True).run(8).run(0.8, speech=True).run(8)
    assert call.alarms == [(Alarm.DEAD_AIR, 3.8), (Alarm.DEAD_AIR, 12.6)]


def test_an_answer_ends_dead_air():
    call = Call().run(0.8, speech=True).run(2)
    call.dogs.open_turn(call.now)
    assert call.run(30).alarms == []


def test_who_took_the_floor_is_owed_an_answer_as_well():
    call = Call()
    call.dogs.open_turn(0.0)
    call.run(2).run(0.8, speech=True)
    call.dogs.end_turn()
    assert call.run(30).alarms == [(Alarm.DEAD_AIR, 5.8)]


def test_an_acknowledgement_in_the_middle_of_a_turn_asks_for_no_answer():
    call = Call()
    call.dogs.open_turn(0.0)
    call.run(2).run(0.4, speech=True).run(2)
    call.dogs.end_turn()
    assert call.run(30).alarms == []


def test_a_turn_that_the_caller_cannot_stop_is_noticed_once():
    call = Call()
    call.dogs.open_turn(0.0)
    call.run(2).run(9.6, speech=True)
    assert call.alarms == [(Alarm.NEVER_YIELDS, 7.0)]


def test_what_the_caller_says_in_pieces_does_not_add_up():
    call = Call()
    call.dogs.open_turn(0.0)
    for _ in range(8):
        call.run(2, speech=True).run(0.4)
    assert call.alarms == []


def test_a_turn_without_end_is_noticed():
    call = Call()
    call.dogs.open_turn(1.0)
    assert call.run(200).alarms == [(Alarm.TOO_LONG, 181.0)]
    call.dogs.end_turn()
    call.dogs.open_turn(call.now)
    assert len(call.run(200).alarms) == 2


def test_what_is_off_never_barks():
    call = Call(OFF).run(100, speech=True).run(100)
    call.dogs.open_turn(call.now)
    assert call.run(500, speech=True).alarms == []
    assert call.dogs.next_deadline() is None


def loops(text: str) -> int | None:
    """After how many words the text is found to be a loop."""
    heard = Repetition(3)
    for count, word in enumerate(text.split(), start=1):
        if heard.push(word):
            return count
    return None


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("We are open from eight. We are open from eight. We are open from eight.", 15),
        ("well we are open from eight, we are open from eight, WE ARE OPEN FROM EIGHT!", 16),
        ("no no no", None),
        ("your number is 0 0 0 0 0 0 7", None),
        ("no " * 20, 10),
        ("one two three, one two four, one two five, one two six", None),
        ("We are open from eight. You find us here. We are open from eight. You find us here.", None),
        ("ha ha ha ha", None),
        ("", None),
    ],
)
def test_a_loop_is_a_clause_that_comes_again_and_again(text: str, after: int | None):
    assert loops(text) == after


@given(
    before=st.lists(st.integers(1_000, 2_000), max_size=20),
    clause=st.lists(st.integers(0, 500), min_size=4, max_size=LONGEST_PERIOD, unique=True),
)
def test_any_clause_is_a_loop_the_third_time_whatever_came_before(before: list[int], clause: list[int]):
    words = [*map(str, before), *map(str, clause * 3)]
    first = Repetition(3)
    for n, word in enumerate(dict.fromkeys(words[: len(before)])):
        first.push(f"{word}-{n}")
    found = [first.push(str(word)) for word in clause * 3]
    assert found == [False] * (len(found) - 1) + [True]


@given(
    clause=st.lists(st.sampled_from("abcdefghij"), min_size=4, max_size=LONGEST_PERIOD),
    cuts=st.lists(st.integers(0, 3 * LONGEST_PERIOD), max_size=12),
)
def test_a_loop_is_heard_wherever_the_text_is_cut(clause: list[str], cuts: list[int]):
    words, heard = clause * 3, Repetition(3)
    edges = [0, *sorted(min(cut, len(words)) for cut in cuts), len(words)]
    found = [heard.push(" ".join(words[begin:end])) for begin, end in pairwise(edges)]
    assert any(found)


@given(st.lists(st.sampled_from("abc"), max_size=80))
def test_a_loop_is_what_the_definition_calls_one_and_nothing_else(words: list[str]):
    heard = Repetition(3)
    for count, word in enumerate(words, start=1):
        text = words[:count]
        ends_in_loop = any(
            count >= period * again and text[-period * again :] == text[-period:] * again
            for period in range(1, LONGEST_PERIOD + 1)
            for again in (max(3, {1: 10, 2: 5, 3: 4}.get(period, 0)),)
        )
        assert heard.push(word) is ends_in_loop


@given(st.permutations(range(200)))
def test_a_text_that_repeats_nothing_is_no_loop(words: list[int]):
    heard = Repetition(3)
    assert not heard.push(" ".join(map(str, words)))


def test_a_new_turn_may_say_what_the_last_one_said():
    dogs = Watchdogs()
    for _ in range(4):
        dogs.open_turn(0.0)
        assert dogs.say("We are open from eight until six.") == ()
        dogs.end_turn()
    dogs.open_turn(0.0)
    assert list(dogs.say("We are open from eight. " * 3)) == [Alarm.LOOPS]
    assert dogs.say("We are open from eight. " * 3) == ()


def test_speech_is_told_from_a_quiet_line():
    chunk, ear = 3_200, ChunkSpeech(Codec.PCMU)
    speech = jfk_ulaw()
    told = [ear.is_in(speech[at : at + chunk]) for at in range(0, len(speech) - chunk, chunk)]
    assert sum(told) >= 0.5 * len(told)
    assert not any(ear.is_in(comfort_noise(Codec.PCMU, chunk, seed)) for seed in range(10))
    assert not ear.is_in(b"")


STEPS = st.lists(st.tuples(st.sampled_from(["quiet", "speech", "open", "end", "say", "wait"]), st.integers(1, 12)))


@given(steps=STEPS, never_speaks_s=st.sampled_from([1.0, 6.0, inf]), reply_s=st.sampled_from([2.0, 9.0, inf]))
def test_after_a_bark_nothing_is_due_and_each_occasion_has_each_alarm_once(
    steps: list[tuple[str, int]], never_speaks_s: float, reply_s: float
):
    dogs = Watchdogs(WatchdogLimits(never_speaks_s, never_yields_s=2.0, reply_s=reply_s))
    now, turn_open = 0.0, False
    of_turn: list[Alarm] = []  # raised in the newest turn
    of_silence: list[Alarm] = []  # raised since the caller last spoke, or a turn began
    of_call: list[Alarm] = []
    for step, count in steps:
        match step:
            case "open" if not turn_open:
                dogs.open_turn(now)
                turn_open, of_turn, of_silence = True, [], []
            case "end" if turn_open:
                dogs.end_turn()
                turn_open, of_silence = False, []
            case "say" if turn_open:
                of_turn += dogs.say("we are open from eight " * count)
            case "quiet" | "speech":
                for _ in range(count):
                    dogs.hear(speech=step == "speech", begin_at=now, now=now + CHUNK_S)
                    now += CHUNK_S
                if step == "speech":
                    of_silence = []
            case "wait":
                now += CHUNK_S * count
        raised = dogs.bark(now)
        due = dogs.next_deadline()
        assert due is None or due > now
        assert dogs.bark(now) == []
        of_call += [alarm for alarm in raised if alarm is Alarm.NEVER_SPEAKS]
        of_silence += [alarm for alarm in raised if alarm is Alarm.DEAD_AIR]
        of_turn += [alarm for alarm in raised if alarm not in (Alarm.NEVER_SPEAKS, Alarm.DEAD_AIR)]
        assert len(of_call) <= 1
        assert len(of_silence) <= 1
        assert len(of_turn) == len(set(of_turn))
        assert turn_open or not (set(raised) & {Alarm.TOO_LONG, Alarm.NEVER_YIELDS})
        assert not (turn_open and Alarm.DEAD_AIR in raised)
