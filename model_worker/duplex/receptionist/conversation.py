"""One call of the receptionist: ear, dialog and voice, driven chunk by chunk.

A step is ``listen``, then one poll of the recognizer for all calls (the engine's), then
``decide``. Between steps the gateway may report ``interrupt``.
"""

from collections.abc import Callable
from dataclasses import replace

from msgspec import Struct

from model_worker.dialog.agent import Agent, Ending, Spoken
from model_worker.dialog.events import (
    Act,
    BargedIn,
    Began,
    Broken,
    Expect,
    Heard,
    Input,
    Key,
    NotUnderstood,
    Say,
    Silence,
    TimeUp,
    TurnPlayed,
)
from model_worker.dialog.machine import Dialog, DialogMemory
from model_worker.dialog.table import State
from model_worker.duplex.history import Entry, History
from model_worker.duplex.overlap_judge import Evidence, Words, judge, sort_words
from model_worker.duplex.receptionist.ear import Ear
from model_worker.duplex.receptionist.utterance import AgentTurn
from model_worker.seams import Action, Recognition, Said, StepInput, StepOutput
from model_worker.tts.paced_voice import Rendered
from wire.ids import NO_TURN, TurnId
from wire.messages import DecisionKind, Floor, Voice

INPUT_RATE_HZ = 16_000
PUZZLED_S = 1.15
"""Of quiet before the caller is told that nothing was understood. Who has said what we expect is answered after the
0.6 s that end an utterance; who has not may be in the middle of it, and pauses of real speakers within a turn reach
1.1 s (``load_tests.duplex``)."""
MEMORY_ENTRIES = 60
STALLED_S = 6.0  # a turn of which nothing more is heard for so long was lost on the way; three times what is kept ahead


class Memory(Struct, frozen=True, array_like=True):
    """What a conversation needs to go on elsewhere while nobody speaks: the ear begins anew."""

    agent: str
    dialog: DialogMemory
    elapsed_s: float
    quiet_s: float
    newest_turn: int
    ordered_turn: int
    history: tuple[tuple[Voice, str, int, bool], ...]


class Conversation:
    """The state of one call. ``reject_below``: recognitions less sure than this count as not understood."""

    def __init__(self, agent: Agent, ear: Ear, render: Callable[[Spoken], Rendered], reject_below: float) -> None:
        self.history = History()
        self.ear = ear
        self.failed = False
        self._render = render
        self._agent = agent.name
        self._dialog = Dialog(agent)
        self._max_call_s = agent.max_call_minutes * 60
        self._reject_below = reject_below
        self._overlap = agent.overlap
        self._overheard: Recognition | None = None  # it takes the floor, and is an answer once the gateway has stopped
        self._overheard_words = Words.AWAITED
        self._phrases: tuple[str, ...] = ()
        self._elapsed_s = 0.0
        self._quiet_s = 0.0  # since anybody spoke
        self._unheard_s = 0.0  # since more of the open turn was heard
        self._newest_turn = NO_TURN
        self._puzzled = False  # what was said last fits nothing
        self._unjudged = False  # the last overlap was over, or still is under way, without a word from here
        self._turn: AgentTurn | None = None  # open: not played to its end, not cut
        self._replaced: AgentTurn | None = None  # the gateway still reports how much of it was heard
        self._turn_action: Action | None = None  # to go out with the end of the open turn
        self._to_say: tuple[Spoken, ...] = ()
        self._ordered: tuple[str, ...] = ()  # by an operator, to be said before anything else
        self._ordered_turn = NO_TURN  # the newest that holds nothing but such words: the dialog knows nothing of it
        self._said: list[Said] = []
        self._immediate: list[Action] = []

    def memory(self) -> Memory | None:
        """What there is to remember while nobody speaks, and nothing is about to be said; None at other times."""
        busy = self._turn or self._replaced or self._to_say or self._ordered or self._puzzled or self.failed
        if busy or self.ear.caller_has_floor or self._dialog.state is State.NEW:
            return None
        entries = tuple((e.voice, e.text, int(e.turn), e.cut) for e in self.history.last(MEMORY_ENTRIES))
        turns = int(self._newest_turn), int(self._ordered_turn)
        return Memory(self._agent, self._dialog.memory, self._elapsed_s, self._quiet_s, *turns, entries)

    def recall(self, memory: Memory) -> None:
        """Go on where another conversation was. Raises ValueError when that was of another agent."""
        if memory.agent != self._agent:
            raise ValueError("another agent's")
        self._dialog.recall(memory.dialog)
        self._phrases = self._dialog.expected
        self._elapsed_s, self._quiet_s = memory.elapsed_s, memory.quiet_s
        self._newest_turn, self._ordered_turn = TurnId(memory.newest_turn), TurnId(memory.ordered_turn)
        for voice, text, turn, cut in memory.history:
            self.history.add(Entry(voice, text, TurnId(turn), cut))

    def listen(self, given: StepInput) -> None:
        """Take one chunk: what was heard of the agent, the keys, the caller's sound."""
        if self._dialog.state is State.NEW:
            self._receive(Began())
        chunk_s = len(given.pcm) / INPUT_RATE_HZ
        self._elapsed_s += chunk_s
        self._follow_playback(given.playback_s, chunk_s)
        for digit in given.dtmf:
            self.ear.drop_utterance()
            self._quiet_s = 0.0
            self.history.add(Entry(Voice.CALLER, f"pressed {digit}"))
            self._receive(Key(digit))
        if given.say:
            self._take_order(given.say)
        if self._dialog.state is not State.ENDED:
            audible = self._turn is not None and not self._to_say
            phrases = (*self._phrases, *self._overlap.phrases) if audible else self._phrases
            self.ear.hear(given.pcm, phrases, agent_audible=audible)
        idle = self._turn is None and not self._to_say and not self._ordered and not self.ear.caller_has_floor
        self._quiet_s = self._quiet_s + chunk_s if idle else 0.0

    def decide(self, given: StepInput) -> StepOutput:
        """What to do after the chunk. May raise TtsError."""
        if (result := self.ear.take_result()) is not None:
            if self.ear.overheard:
                self._overhear(result, given.overlap_s)
            else:
                self._take_result(result)
        if self._puzzled:
            self._wait_for_more()
        if self._elapsed_s >= self._max_call_s:
            self._max_call_s = float("inf")  # said once: the dialog remembers
            self._receive(TimeUp())
        elif self._quiet_s > 0:
            self._receive(Silence(self._quiet_s))
        if self._immediate:
            self._ordered = ()  # the caller is being let go of
        if self._to_say or self._ordered:
            self._open_turn()
        output = replace(self._speak(given), floor=self._judge(given.overlap_s))
        self._said, self._immediate = [], []
        return output

    def interrupt(self, turn: TurnId, heard_s: float) -> None:
        """The gateway stopped a turn. Any but the open one and the one it replaced is ignored."""
        if self._turn is not None and self._turn.id == turn:
            self._cut_turn(self._turn.heard_text(heard_s))
            self.ear.agent_stopped()
            if (overheard := self._overheard) is not None:
                self._overheard = None
                self._take_result(overheard)
        elif self._replaced is not None and self._replaced.id == turn:
            self.history.cut(turn, self._replaced.heard_text(heard_s))
            self._replaced = None

    def break_off(self) -> None:
        """After a fault: no more words; the caller is handed on as the agent file says of failures."""
        self.failed = True
        self._end_turn_early()
        self._to_say, self._ordered, self._said = (), (), []
        self._receive(Broken())

    def hand_on(self, given: StepInput) -> StepOutput:
        """The decision of a call that was broken off: the action, once, and from then on nothing."""
        actions, self._immediate = self._immediate, []
        return StepOutput(given.call, given.index, DecisionKind.LISTEN, actions=actions)

    def _follow_playback(self, playback_s: tuple[TurnId, float], chunk_s: float) -> None:
        turn = self._turn
        if turn is None:
            return
        if playback_s[0] == turn.id and turn.hear(playback_s[1]):
            self._unheard_s = 0.0
        else:
            self._unheard_s += chunk_s
        if turn.played:
            self._turn = self._turn_action = None
            if turn.id != self._ordered_turn:
                self._receive(TurnPlayed())
        elif self._unheard_s >= STALLED_S:
            self._cut_turn(turn.heard_text(turn.heard_s))

    def _cut_turn(self, heard_text: str) -> None:
        assert self._turn is not None, "an open turn is cut"
        turn = self._turn
        self.history.cut(turn.id, heard_text)
        self._turn = self._turn_action = None
        self._quiet_s = 0.0
        if turn.id != self._ordered_turn:
            self._receive(BargedIn(heard_text))

    def _wait_for_more(self) -> None:
        """Nothing was understood: perhaps the caller has not said it all, and is asked again only when it is quiet."""
        if self.ear.caller_has_floor or self._turn is not None:
            self._puzzled = False
        elif self.ear.quiet_s >= PUZZLED_S:
            self._puzzled = False
            self._receive(NotUnderstood())

    def _overhear(self, result: Recognition, overlap_s: float) -> None:
        """What was said over the agent is recognized. It may take the floor; only then was it an answer."""
        sure = result.confidence >= self._reject_below
        words = sort_words(result.text if sure else "", self._phrases, self._overlap.objections)
        self._overheard_words = words
        self._overheard = result if words is Words.QUESTION else None
        if self._overheard is not None and self._unjudged and overlap_s <= 0.0:
            self._overheard = None  # the gateway could not wait, and the agent went on: a question is one all the same
            self._take_result(result)

    def _judge(self, overlap_s: float) -> Floor | None:
        """Who shall have the floor, where the caller has been sounding over the agent for so long."""
        words, self._overheard_words = self._overheard_words, Words.AWAITED
        if overlap_s <= 0.0:
            self._overheard = None
            return None
        quiet_s = min(self.ear.quiet_s, overlap_s)  # before it there was quiet as well
        floor = judge(Evidence(self.ear.speech_s(overlap_s), quiet_s, words))
        self._unjudged = floor is None
        return floor

    def _take_order(self, texts: tuple[str, ...]) -> None:
        """An operator's words take the floor; to the dialog its own were cut off, and it comes back to them."""
        texts = tuple(text for text in texts if any(character.isalnum() for character in text))
        if not texts:
            return
        if (turn := self._turn) is not None:
            self._cut_turn(turn.heard_text(turn.heard_s))
            self._replaced = turn
        self._ordered = texts

    def _take_result(self, result: Recognition) -> None:
        self._unjudged = False
        if result.text and result.confidence >= self._reject_below:
            self._said.append(Said(Voice.CALLER, result.text, result.confidence))
            self.history.add(Entry(Voice.CALLER, result.text))
            self._receive(Heard(result.text))
        else:
            self._puzzled = True

    def _receive(self, given: Input) -> None:
        saying = False
        for output in self._dialog.receive(given):
            match output:
                case Say(texts):
                    saying = True
                    self._to_say, self._turn_action = texts, None
                    self._quiet_s = 0.0
                case Expect(phrases):
                    self._phrases = phrases
                case Act(action, to) if saying:
                    self._turn_action = _action(action, to)
                case Act(action, to):
                    self._to_say = ()
                    self._end_turn_early()
                    self._immediate.append(_action(action, to))

    def _open_turn(self) -> None:
        self._end_turn_early()
        self._newest_turn = TurnId(self._newest_turn + 1)
        if not self._to_say:
            self._ordered_turn = self._newest_turn
        self._turn = AgentTurn(self._newest_turn, (*self._ordered, *self._to_say), self._render)
        self._to_say, self._ordered = (), ()
        self._unheard_s = 0.0
        self._said.append(Said(Voice.AGENT, self._turn.text))
        self.history.add(Entry(Voice.AGENT, self._turn.text, self._turn.id))

    def _end_turn_early(self) -> None:
        """A key was pressed into the agent's words: the gateway drops the rest, and reports what was heard."""
        if self._turn is not None:
            self.history.cut(self._turn.id, self._turn.heard_text(self._turn.heard_s))
            self._replaced, self._turn = self._turn, None

    def _speak(self, given: StepInput) -> StepOutput:
        if self._turn is None or self._turn.done:
            return StepOutput(given.call, given.index, DecisionKind.LISTEN, said=self._said, actions=self._immediate)
        turn = self._turn
        speech = turn.speak()
        actions = list(self._immediate)
        if turn.done and self._turn_action is not None:
            actions.append(self._turn_action)
            self._turn_action = None
        return StepOutput(
            given.call,
            given.index,
            DecisionKind.SPEAK,
            turn.id,
            speech,
            turn_done=turn.done,
            said=self._said,
            actions=actions,
        )


def _action(action: Ending, to: str) -> Action:
    return Action(action.value, {"to": to} if to else {})
