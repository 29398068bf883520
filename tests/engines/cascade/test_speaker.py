"""Turns in a row: which voice says them, when they sound, when they are over."""

import numpy as np

from model_worker.duplex.cascade.seam import VoicePiece, VoiceWish
from model_worker.duplex.cascade.speaker import LATE_CHUNKS, STALLED_CHUNKS, PartOver, Speaker, Told
from model_worker.duplex.cascade.turn import SpokenTurn
from model_worker.duplex.remote.effects import SessionFault
from tests.engines.cascade.fakes import CALL, FakeTts
from wire.ids import NO_TURN, TurnId

WISH = VoiceWish("anna", "de")
SPARE_WISH = VoiceWish("", "de")


class Stage:
    """A speaker with its voices, which say what they are told to."""

    def __init__(self) -> None:
        self.tts, self.spare = FakeTts(), FakeTts()
        self.tts.by_hand = True
        self.speaker = Speaker(CALL, self.tts, self.spare, TurnId(6))

    def turn(self, text: str, *, fixed: bool = False, spare: bool = False, draft: bool = False) -> SpokenTurn:
        turn = SpokenTurn(WISH, fixed=fixed, spare=spare)
        turn.add(text)
        turn.finish()
        if draft:
            self.speaker.draft = turn
        else:
            self.speaker.turns.append(turn)
        return turn

    def goes_on(self) -> list[PartOver]:
        """What the voices have is taken, and more is asked of them."""
        over: list[PartOver] = []
        self.speaker.pump(SPARE_WISH)
        while self.tts.ready or self.spare.ready:
            for piece in [*self.tts.poll(), *self.spare.poll()]:
                over += filter(None, [self.speaker.take(piece)])
            self.speaker.pump(SPARE_WISH)
        return over

    def says(self, seconds: float, *, done: bool = True, fault: SessionFault | None = None) -> list[PartOver]:
        self.tts.says(seconds, done=done, fault=fault)
        return self.goes_on()

    def tells(self, *, held: bool = False) -> Told:
        told = self.speaker.tell(held=held)
        assert told is not None
        return told


def test_a_turn_gets_its_number_with_its_first_sound():
    stage = Stage()
    turn = stage.turn("Hello there.")
    stage.goes_on()
    assert stage.tts.asked == [(1, "Hello there.", WISH)]
    assert stage.speaker.tell(held=False) is None
    assert turn.turn == NO_TURN
    assert stage.says(0.8) == [PartOver(spare=False)]
    told = stage.tells()
    assert (told.turn, told.done) == (7, turn)
    assert " ".join(piece.text for piece in told.speech) == "Hello there."
    assert stage.speaker.audible
    assert stage.speaker.tell(held=False) is None, "told once"


def test_the_next_turn_sounds_when_the_one_before_was_heard():
    stage = Stage()
    stage.turn("One.")
    stage.turn("Two.")
    stage.goes_on()
    stage.says(0.4)
    assert stage.tts.texts == ["One.", "Two."], "it is made in time"
    stage.says(0.4)
    assert stage.tells().turn == 7
    assert stage.speaker.tell(held=False) is None
    stage.speaker.follow((TurnId(7), 0.2))
    assert stage.speaker.tell(held=False) is None
    stage.speaker.follow((TurnId(7), 0.4))
    assert stage.tells().turn == 8


def test_a_turn_that_has_not_begun_is_held_unless_it_is_fixed():
    stage = Stage()
    stage.turn("One.")
    stage.goes_on()
    stage.says(0.4)
    assert stage.speaker.tell(held=True) is None
    assert stage.tells().turn == 7
    fixed = Stage()
    fixed.turn("One.", fixed=True)
    fixed.goes_on()
    fixed.says(0.4)
    assert fixed.tells(held=True).turn == 7


def test_a_turn_that_has_begun_is_not_held():
    stage = Stage()
    stage.turn("One two three four five.")
    stage.goes_on()
    stage.says(4.0)
    stage.tells()
    stage.speaker.follow((TurnId(7), 1.0))
    assert stage.tells(held=True).speech


def test_a_draft_is_made_after_the_turns_and_not_told():
    stage = Stage()
    stage.turn("Two.", draft=True)
    stage.turn("One.")
    stage.goes_on()
    stage.says(0.4)
    stage.says(0.4)
    assert stage.tts.texts == ["One.", "Two."]
    assert stage.tells().turn == 7
    stage.speaker.follow((TurnId(7), 0.4))
    assert stage.speaker.tell(held=False) is None


def test_what_is_removed_is_no_longer_said_nor_made():
    stage = Stage()
    turn = stage.turn("One. Two.")
    stage.goes_on()
    part = stage.tts.saying[CALL]
    stage.speaker.remove(turn)
    assert stage.tts.cancelled == [part]
    assert stage.speaker.take(VoicePiece(CALL, part, np.ones(9_600, np.int16), done=True)) is None, "an old part"
    assert stage.speaker.tell(held=False) is None
    stage.goes_on()
    assert stage.tts.texts == ["One."]


def test_sound_of_an_old_part_is_not_taken_for_that_of_the_next():
    stage = Stage()
    old = stage.turn("One.")
    stage.goes_on()
    part = stage.tts.saying[CALL]
    stage.speaker.remove(old)
    stage.turn("Two.")
    stage.goes_on()
    assert stage.speaker.take(VoicePiece(CALL, part, np.ones(9_600, np.int16), done=True)) is None
    assert stage.speaker.tell(held=False) is None
    stage.says(0.4)
    assert [piece.text for piece in stage.tells().speech] == ["Two."]


def test_silence_takes_the_draft_along():
    stage = Stage()
    stage.turn("One.")
    stage.turn("Two.", draft=True)
    stage.speaker.silence()
    stage.goes_on()
    assert (stage.tts.asked, list(stage.speaker.turns), stage.speaker.draft) == ([], [], None)


def test_the_spare_voice_takes_over_in_mid_sentence_for_the_rest_of_the_turn():
    stage = Stage()
    turn = stage.turn("aaaa bbbb cccc dddd. And more. And more than that.")
    stage.goes_on()
    over = stage.says(0.6, fault=SessionFault.LOST)
    assert over[0] == PartOver(spare=False, fault=SessionFault.LOST)
    assert [(text, wish) for _, text, wish in stage.spare.asked] == [
        ("cccc dddd.", SPARE_WISH),
        ("And more.", SPARE_WISH),
        ("And more than that.", SPARE_WISH),
    ]
    assert over[1:] == [PartOver(spare=True)] * 3
    assert len(stage.tts.asked) == 1
    stage.speaker.follow((stage.tells().turn, 2.0))
    told = stage.tells()
    assert told.done is turn
    assert turn.said == turn.text
    stage.turn("Again.")
    stage.goes_on()
    assert stage.tts.texts[-1] == "Again.", "the next turn tries the voice anew"


def test_a_turn_that_no_voice_can_say_is_passed_over():
    stage = Stage()
    stage.spare.fails = True
    lost = stage.turn("One.")
    stage.turn("Two.")
    stage.goes_on()
    faults = stage.says(0.0, fault=SessionFault.REFUSED)
    assert [over.spare for over in faults] == [False, True]
    assert lost.said == ""
    stage.says(0.4)
    told = stage.tells()
    assert (told.turn, [piece.text for piece in told.speech]) == (7, ["Two."])


def test_of_a_turn_in_which_both_voices_failed_only_what_sounded_was_said():
    stage = Stage()
    stage.spare.fails = True
    turn = stage.turn("aaaa bbbb cccc dddd.")
    stage.goes_on()
    stage.says(0.4, done=False)
    assert [piece.text for piece in stage.tells().speech] == ["aaaa bbbb"]
    stage.says(0.0, fault=SessionFault.LOST)
    told = stage.tells()
    assert (told.turn, told.speech, told.done) == (7, [], turn)
    assert turn.said == "aaaa bbbb"


def test_a_voice_of_which_nothing_comes_is_not_waited_for_longer():
    stage = Stage()
    stage.turn("One two.")
    stage.goes_on()
    for _ in range(LATE_CHUNKS - 1):
        assert stage.speaker.wait() is None
    stage.says(0.1, done=False)
    for _ in range(LATE_CHUNKS - 1):
        assert stage.speaker.wait() is None, "counted from its last sound"
    assert stage.speaker.wait() == PartOver(spare=False, fault=SessionFault.TOO_SLOW)
    assert stage.tts.cancelled == [1]
    stage.goes_on()
    assert stage.spare.texts == ["two."]
    assert stage.speaker.wait() is None


def test_a_turn_that_the_gateway_does_not_play_is_noticed():
    stage = Stage()
    stage.turn("One.")
    stage.goes_on()
    stage.says(0.4)
    stage.tells()
    for _ in range(STALLED_CHUNKS):
        assert not stage.speaker.stalled
        stage.speaker.follow((NO_TURN, 0.0))
    assert stage.speaker.stalled
    stage.speaker.silence()
    assert not stage.speaker.stalled


def test_who_waits_for_the_rest_of_a_sentence_is_not_taken_for_a_gateway_that_plays_nothing():
    stage = Stage()
    stage.turn("One two three.")
    stage.goes_on()
    stage.says(0.4, done=False)
    stage.tells()
    for _ in range(STALLED_CHUNKS + 1):
        stage.speaker.follow((TurnId(7), 0.4))
    assert not stage.speaker.stalled


def test_closing_stops_both_voices():
    stage = Stage()
    stage.turn("One.")
    stage.goes_on()
    stage.speaker.close()
    assert stage.tts.cancelled == [1]
