"""The dialog: what the agent does about what it hears.

An input is first *understood* in the light of the state: a key and a phrase that stand for the
same thing become the same ``Cue``. Then ``TABLE`` names the step for the state and the cue; it gives
yes and no, which have keys only while a yes/no question stands, the step of a key everywhere else.
So whatever can be said in a state can be pressed in it. Nothing here knows audio, time or chance;
``Silence`` says how long nobody has spoken.
"""

from collections.abc import Mapping

from msgspec import Struct
from pydantic import TypeAdapter

from model_worker.dialog.agent import GOODBYE_KEY, MENU_KEY, NO_KEY, YES_KEY, Agent, Ending, Question, Spoken, Then
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
    Output,
    Say,
    Silence,
    TimeUp,
    TurnPlayed,
)
from model_worker.dialog.prompts import closing, confirmation, menu_prompt
from model_worker.dialog.table import TABLE, Cue, State, Step
from model_worker.dialog.understanding import match, normalize

RESUME_AFTER_S = 2.0  # quiet after an interruption that brought no words: a cough, or line noise; go on
MAX_RESUMES = 2  # in a row; an echo of the agent's own voice would interrupt for ever

_PLAIN_CUES: Mapping[type[Input], Cue] = {
    Began: Cue.BEGAN,
    NotUnderstood: Cue.UNCLEAR,
    Silence: Cue.QUIET,
    TurnPlayed: Cue.PLAYED,
    BargedIn: Cue.BARGED_IN,
    TimeUp: Cue.TIME_UP,
    Broken: Cue.BROKEN,
}
_Meaning = tuple[Cue, Question | None]


class DialogMemory(Struct, frozen=True, array_like=True):
    """What a dialog has to remember of a call, in words and counts; see ``Dialog.memory``."""

    state: State
    asked: str
    """Id of the question that a yes confirms; empty for none."""
    pending: tuple[Ending, str] | None
    said: bytes
    cut: bool
    cut_unheard: bool
    resumes: int
    failures: int
    nudges: int
    time_is_up: bool


_said = TypeAdapter(tuple[Spoken, ...])


class Dialog:
    """One call's dialog. Feed it inputs in order; each returns what to do."""

    def __init__(self, agent: Agent) -> None:
        self.state = State.NEW
        self._agent = agent
        self._asked: Question | None = None  # what a yes confirms
        self._pending: Act | None = None  # what follows the last words
        self._said: tuple[Spoken, ...] = ()
        self._cut = False
        self._cut_unheard = False
        self._resumes = 0
        self._failures = 0
        self._nudges = 0
        self._time_is_up = False
        questions: dict[str, _Meaning] = {
            normalize(phrase): (Cue.ASKED, question) for question in agent.questions for phrase in question.examples
        }
        menu: dict[str, _Meaning] = {normalize(phrase): (Cue.MENU, None) for phrase in agent.menu.examples}
        goodbye: dict[str, _Meaning] = {normalize(phrase): (Cue.GOODBYE, None) for phrase in agent.goodbye.examples}
        yes: dict[str, _Meaning] = {normalize(phrase): (Cue.YES, None) for phrase in agent.yes_examples}
        no: dict[str, _Meaning] = {normalize(phrase): (Cue.NO, None) for phrase in agent.no_examples}
        self._phrases: Mapping[State, Mapping[str, _Meaning]] = {
            State.NEW: {},
            State.MENU: questions | menu | goodbye,
            State.CONFIRM: yes | no | menu | goodbye,  # few words: the recognizer confuses fewer
            State.MORE: questions | menu | goodbye | yes | no,
            State.CLOSING: questions | menu | goodbye | yes | no,
            State.CUT: questions | menu | goodbye | yes | no,
            State.ENDED: {},
        }
        keys: dict[str, _Meaning] = {question.key: (Cue.ASKED, question) for question in agent.questions}
        keys |= {MENU_KEY: (Cue.MENU, None), GOODBYE_KEY: (Cue.GOODBYE, None)}
        self._keys = keys
        self._confirm_keys = keys | {YES_KEY: (Cue.YES, None), NO_KEY: (Cue.NO, None)}

    @property
    def memory(self) -> DialogMemory:
        """All that another dialog of the same agent needs to go on."""
        return DialogMemory(
            self.state,
            "" if self._asked is None else self._asked.id,
            None if self._pending is None else (self._pending.action, self._pending.to),
            _said.dump_json(self._said),
            self._cut,
            self._cut_unheard,
            self._resumes,
            self._failures,
            self._nudges,
            self._time_is_up,
        )

    def recall(self, memory: DialogMemory) -> None:
        """Go on where another dialog was. Raises ValueError when that was of another agent, or another version."""
        asked = next((question for question in self._agent.questions if question.id == memory.asked), None)
        if memory.asked and asked is None:
            raise ValueError("the agent has no such question")
        self._asked = asked
        self._said = _said.validate_json(memory.said)
        self.state = memory.state
        self._pending = None if memory.pending is None else Act(*memory.pending)
        self._cut, self._cut_unheard = memory.cut, memory.cut_unheard
        self._resumes, self._failures, self._nudges = memory.resumes, memory.failures, memory.nudges
        self._time_is_up = memory.time_is_up

    def receive(self, given: Input) -> tuple[Output, ...]:
        """Take one input. A ``Say`` in the answer comes before the ``Act`` that follows it."""
        self._time_is_up = self._time_is_up or isinstance(given, TimeUp)
        cue, question = self._understand(given)
        step = TABLE[self.state][cue]
        if isinstance(given, Heard | NotUnderstood | Key):
            self._nudges = 0
        if cue in (Cue.ASKED, Cue.YES, Cue.NO, Cue.MENU, Cue.GOODBYE) and step is not Step.REPROMPT:
            self._failures = self._resumes = 0
        return self._take(step, given, question)

    def _understand(self, given: Input) -> _Meaning:
        match given:
            case Heard() | Key() if self._time_is_up:
                return Cue.UNCLEAR, None  # nothing leads back from the last words any more
            case Heard(text=text):
                return match(text, self._phrases[self.state]) or (Cue.UNCLEAR, None)
            case Key(digit=digit):
                keys = self._confirm_keys if self.state is State.CONFIRM else self._keys
                return keys.get(digit, (Cue.UNCLEAR, None))
            case _:
                return _PLAIN_CUES[type(given)], None

    def _take(self, step: Step, given: Input, question: Question | None) -> tuple[Output, ...]:
        match step:
            case Step.GREET:
                menu = (menu_prompt(self._agent),) if self._agent.menu.after_greeting else ()
                return self._say(State.MENU, self._agent.greeting, *menu)
            case Step.ANSWER:
                assert question is not None, "only a question is answered"
                return self._answer(question)
            case Step.CONFIRMED:
                assert self._asked is not None, "CONFIRM is entered with a question"
                return self._conclude(self._asked)
            case Step.DECLINED:
                return self._say(State.MORE, self._agent.anything_else)
            case Step.OFFER_MENU:
                return self._say(State.MENU, menu_prompt(self._agent))
            case Step.ASK_AGAIN:
                assert self._asked is not None, "CONFIRM is entered with a question"
                return self._say(State.CONFIRM, *confirmation(self._agent, self._asked))
            case Step.PART:
                return self._leave(Ending.HANGUP, self._agent.goodbye.say)
            case Step.REPROMPT:
                return self._reprompt()
            case Step.NUDGE:
                assert isinstance(given, Silence), "only silence nudges"
                return self._nudge(given.seconds)
            case Step.NOTE_CUT:
                assert isinstance(given, BargedIn), "only a barge-in cuts"
                self._cut, self._cut_unheard = True, not given.text
                return ()
            case Step.LEAVE_OPEN:
                self.state = State.CUT
                return (Expect(self.expected),)
            case Step.ACT_NOW:
                return self._act()
            case Step.ACT_IF_QUIET:
                assert isinstance(given, Silence), "only silence is quiet"
                return self._act() if given.seconds >= RESUME_AFTER_S else ()
            case Step.RUN_OUT:
                return self._leave(Ending.HANGUP, self._agent.time_up)
            case Step.GIVE_UP:
                self._pending = self._action(self._agent.failures.then)
                return self._act()
            case Step.NOTE_PLAYED:
                self._cut = False
                return ()
            case Step.DONE:
                self.state = State.ENDED
                return (Expect(()),)
            case Step.IGNORE:
                return ()

    @property
    def expected(self) -> tuple[str, ...]:
        """What the caller may say now, normalized."""
        return tuple(self._phrases[self.state])

    def _say(self, state: State, *texts: Spoken) -> tuple[Output, ...]:
        self.state = state
        self._pending = None
        self._said = texts
        self._cut = False
        return Say(texts), Expect(self.expected)

    def _leave(self, action: Ending, *texts: Spoken) -> tuple[Output, ...]:
        outputs = self._say(State.CLOSING, *texts)
        self._pending = self._action(action)
        return *outputs, self._pending

    def _action(self, action: Ending) -> Act:
        transfer = self._agent.transfer if action is Ending.TRANSFER else None
        return Act(action, transfer.to if transfer else "")

    def _act(self) -> tuple[Output, ...]:
        assert self._pending is not None, "CLOSING and CUT are entered with an action"
        self.state = State.ENDED
        return Expect(()), self._pending

    def _answer(self, question: Question) -> tuple[Output, ...]:
        if question.confirm is None:
            return self._conclude(question)
        self._asked = question
        return self._say(State.CONFIRM, *confirmation(self._agent, question))

    def _conclude(self, question: Question) -> tuple[Output, ...]:
        answer = () if question.answer is None else (question.answer,)
        texts = (*answer, *closing(self._agent, question.then))
        if question.then is Then.MENU:
            return self._say(State.MORE, *texts)
        return self._leave(Ending(question.then.value), *texts)

    def _reprompt(self) -> tuple[Output, ...]:
        if self._cut and self._cut_unheard and self._resumes < MAX_RESUMES:
            return self._resume()  # who heard nothing of the prompt cannot have answered it
        self._failures += 1
        agent = self._agent
        if self._failures >= agent.failures.limit:
            return self._leave_with_notice(agent.failures.then, agent.failures.say)
        sorry = agent.not_understood[min(self._failures, len(agent.not_understood)) - 1]
        if self.state is State.CONFIRM:
            assert self._asked is not None, "CONFIRM is entered with a question"
            return self._say(State.CONFIRM, sorry, *confirmation(agent, self._asked))
        return self._say(State.MENU, sorry, menu_prompt(agent))

    def _nudge(self, quiet_s: float) -> tuple[Output, ...]:
        if self._cut and self._resumes < MAX_RESUMES and quiet_s >= RESUME_AFTER_S:
            return self._resume()
        silence = self._agent.silence
        if quiet_s < silence.after_s:
            return ()
        if self._nudges >= len(silence.prompts):
            return self._leave_with_notice(silence.then, silence.say)
        self._nudges += 1
        return self._say(self.state, silence.prompts[self._nudges - 1])

    def _resume(self) -> tuple[Output, ...]:
        self._resumes += 1
        return self._say(self.state, *self._said)

    def _leave_with_notice(self, action: Ending, notice: Spoken) -> tuple[Output, ...]:
        further = () if action is Ending.HANGUP else closing(self._agent, Then(action.value))
        return self._leave(action, notice, *further)
