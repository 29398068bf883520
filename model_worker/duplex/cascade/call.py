"""One call of the cascade: ear, words and voice, and the decisions between them. Pure; media time is the chunks.

An answer is begun when the caller pauses, on the words so far, and not heard before it is sure that the turn was over:
who goes on to speak makes it void. What was said over the agent counts where the gateway stopped the agent for it;
where it did not and it was no mere acknowledgement, it is answered when the agent has finished.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from model_worker.answers.seam import AnswerFault, AnswerPiece, Answers, FunctionWanted
from model_worker.dialog.brief import Brief, Mode
from model_worker.duplex.cascade.hearing import Hearing, Utterance
from model_worker.duplex.cascade.patience import same_words, sort_words
from model_worker.duplex.cascade.phrases import NO_ANSWER, NOT_HEARD, phrase
from model_worker.duplex.cascade.seam import HeardWords, VoicePiece, VoiceWish
from model_worker.duplex.cascade.speaker import PartOver, Speaker
from model_worker.duplex.cascade.talk import Talk
from model_worker.duplex.cascade.turn import SpokenTurn
from model_worker.duplex.history import Entry
from model_worker.duplex.overlap_judge import Evidence, Words, judge
from model_worker.duplex.remote.call import SessionLostError
from model_worker.duplex.remote.effects import Line, SessionFault
from model_worker.duplex.remote.prompts import instructions, keys_pressed
from model_worker.duplex.remote.tools import FunctionCall, NoSuchToolError, functions, meaning
from model_worker.seams import Action, Said, SoundHeard, StepInput, StepOutput, Translated
from wire.ids import NO_TURN, CallId, TurnId
from wire.messages import DecisionKind, Floor, Voice

MAX_FAILURES = 3  # of one part in a row; the caller was asked to say it again twice by then
KEYS_WAIT_CHUNKS = 3  # 1.2 s after the last key they are told; at once after "#"
MAX_DRAFTS = 3  # of one utterance: each costs the server the begin of an answer

_FAULTS = {
    AnswerFault.UNREACHABLE: SessionFault.UNREACHABLE,
    AnswerFault.REFUSED: SessionFault.REFUSED,
    AnswerFault.OVERLOADED: SessionFault.FULL,
    AnswerFault.BAD_REPLY: SessionFault.GARBAGE,
    AnswerFault.TOO_SLOW: SessionFault.TOO_SLOW,
    AnswerFault.CUT: SessionFault.LOST,
}


@dataclass(slots=True)
class _Answer:
    """What the model is writing. ``asked``: the caller's words that it was begun with."""

    turn: SpokenTurn
    asked: str = ""
    over: bool = False
    error: AnswerFault | None = None
    """Counts once the answer is sure to be wanted: a draft may fail unheard."""
    excused: bool = False
    """The model found no words: what is said instead is not its own."""
    functions: Sequence[FunctionWanted] = ()


@dataclass(slots=True)
class _News:
    """What there is to tell with the next output."""

    said: list[Said] = field(default_factory=list)
    translated: list[Translated] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.said or self.translated or self.actions)


class CascadeCall:
    """``listen``, ``take_...`` and ``interrupt`` in any order; ``decide`` and ``go_on`` give what came of it."""

    def __init__(
        self, call: CallId, brief: Brief, hearing: Hearing, answers: Answers, speaker: Speaker, said: Sequence[Line]
    ) -> None:
        self.call = call
        self.talk = Talk()
        self.hearing = hearing
        self.speaker = speaker
        self._brief = brief
        self._answers = answers
        self._instructions = instructions(brief)
        self._functions = [
            {name: function[name] for name in ("name", "description", "parameters")} for function in functions(brief)
        ]
        self._wish = VoiceWish(brief.voice.name, brief.into or brief.language)
        self._answer: _Answer | None = None
        """Of its turns, the speaker's ``draft`` is not sure to be said."""
        self._drafts = 0
        self._owed = False
        """The caller has asked, and nothing is under way that will answer."""
        self._questions: deque[str] = deque()  # to be translated
        self._overheard = ""  # said over the agent, and no acknowledgement: a question once the agent has stopped
        self._murmured = ""  # an acknowledgement: that, if the agent is stopped for it after all
        self._overheard_words = Words.AWAITED
        self._cut_off = False  # by what the caller is saying, whatever that will turn out to be
        self._replaced: SpokenTurn | None = None  # ended here; what was given of it may still be heard
        self._keys = ""
        self._keys_age = 0
        self._failures = {"recognizer": 0, "chat model": 0, "voice": 0}
        self.last_index = 0
        self._ended: list[TurnId] = []  # before all of their words were said; to be told
        self._turn_actions: list[Action] = []  # to be done when all that is said now has been played
        self._news = _News()
        self._fault: SessionLostError | None = None
        for line in said:
            self.talk.add(Entry(line.voice, line.text))
        if brief.greeting is not None and not said:
            self._say(brief.greeting)
        self._pump()

    @property
    def at_rest(self) -> bool:
        """Nobody speaks, and nothing is under way."""
        saying = self.speaker.turns or self._answer or self._questions or self._owed
        return not (saying or self._news or self._ended or self._keys or self._overheard or self.hearing.busy)

    def listen(self, given: StepInput) -> None:
        """The next chunk."""
        self.last_index = given.index
        self._follow(given.playback_s)
        self._press(given.dtmf)
        self._say_now(given.say)
        self.hearing.hear(given.pcm, agent_audible=self.speaker.audible)
        self._take_utterance()
        self._draft()
        self._translate()
        self._pump()

    def take_words(self, heard: HeardWords) -> None:
        """The recognizer has something."""
        if heard.fault is not None and heard.lasting:
            self._lose("recognizer", heard.fault)
            return
        self.hearing.deliver(heard)
        self._take_utterance()
        self._draft()
        self._pump()

    def take_answer(self, piece: AnswerPiece) -> None:
        """The chat model has something."""
        answer = self._answer
        if answer is None:
            return
        answer.turn.add(piece.text)
        if piece.done:
            answer.over, answer.functions, answer.error = True, piece.functions, piece.error
            if answer.turn is not self.speaker.draft:
                self._end_answer(answer)
            elif piece.error is None:
                answer.turn.finish()
        self._pump()

    def take_sound(self, piece: VoicePiece) -> None:
        """A voice has something."""
        self._note_part(self.speaker.take(piece))
        self._pump()

    def interrupt(self, turn: TurnId, heard_s: float) -> None:
        """The gateway stopped a turn: what was not heard of it, and all that was to follow it, was never said."""
        if (replaced := self._replaced) is not None and replaced.turn == turn:
            self.talk.cut(turn, replaced.heard_text(heard_s))
            self._replaced = None
            self._ended = [ended for ended in self._ended if ended != turn]
            return
        head = self.speaker.head
        if head is None or head.turn != turn or turn == NO_TURN:
            return
        self._cut_head(heard_s)
        if self._brief.mode is Mode.TRANSLATION:  # what comes next is of other words
            self._remove(head)
        else:
            self._silence()
        self.hearing.agent_stopped()
        self._cut_off = self.hearing.busy
        if not self._overheard:
            self._overheard, self._murmured = self._murmured, ""
        self._answer_overheard()
        self._translate()
        self._pump()

    def decide(self, given: StepInput) -> list[StepOutput]:
        """Answer a chunk that was listened to."""
        return self._tell(given.index, self._judge(given.overlap_s), decides=True)

    def go_on(self) -> list[StepOutput]:
        """Between two chunks: what there is to tell."""
        return self._tell(self.last_index, None, decides=False)

    def close(self) -> None:
        self._answers.cancel(self.call)
        self.speaker.close()
        self.hearing.close()

    def _follow(self, playback_s: tuple[TurnId, float]) -> None:
        """What was heard by now."""
        turn, heard_s = playback_s
        if (replaced := self._replaced) is not None and replaced.turn == turn and replaced.hear(heard_s):
            self.talk.cut(turn, replaced.heard_text(heard_s))
        self.speaker.follow(playback_s)
        if self.speaker.stalled and (head := self.speaker.head) is not None:
            self._end_head()
            self._remove(head)
        self._note_part(self.speaker.wait())
        if not self.speaker.turns:
            self._answer_overheard()

    def _press(self, keys: str) -> None:
        if self._brief.mode is not Mode.DIALOG:
            return
        self._keys_age += 1
        if keys:
            self.hearing.drop()
            self._keys += keys
            self._keys_age = 0
        if self._keys and (self._keys.endswith("#") or self._keys_age >= KEYS_WAIT_CHUNKS):
            pressed, self._keys = self._keys, ""
            self._end_head()
            self._silence()
            self._answer_to(keys_pressed(pressed))

    def _take_utterance(self) -> None:
        """What the caller said, once its words are final."""
        said = self.hearing.take()
        if said is None:
            return
        if said.fault is not None:
            self._not_heard(said, said.fault)
            return
        self._failures["recognizer"] = 0
        self._drafts = 0
        cut_off, self._cut_off = self._cut_off, False
        if not said.text:
            if cut_off and self._brief.mode is Mode.DIALOG and not self.speaker.turns:
                self._excuse(NOT_HEARD)
            return
        self._news.said.append(Said(Voice.CALLER, said.text, said.confidence))
        if said.overheard and self.speaker.audible and self._brief.mode is Mode.DIALOG:
            self._overheard_words = sort_words(said.text, still_speaking=False)
            if self._overheard_words is Words.NOTHING:
                self._murmured = f"{self._murmured} {said.text}".strip()
            else:
                self._overheard = f"{self._overheard} {said.text}".strip()
        else:
            self._answer_to(said.text)

    def _answer_overheard(self) -> None:
        words, self._overheard, self._murmured = self._overheard, "", ""
        if words:
            self._answer_to(words)

    def _answer_to(self, words: str) -> None:
        """The caller's turn is over."""
        self.talk.add(Entry(Voice.CALLER, words))
        draft, answer = self.speaker.draft, self._answer
        match self._brief.mode:
            case Mode.TRANSLATION:
                self._questions.append(words)
                self._translate()
            case Mode.DIALOG if draft is not None and answer is not None and same_words(answer.asked, words):
                self.speaker.draft = None
                self.speaker.turns.append(draft)
                self._owed = False
                if answer.over:
                    self._end_answer(answer)
            case Mode.DIALOG:
                self._ask()

    def _judge(self, overlap_s: float) -> Floor | None:
        """Who shall have the floor, where the caller has been sounding over the agent for so long."""
        if overlap_s <= 0.0:
            self._overheard_words, self._murmured = Words.AWAITED, ""
            return None
        words = self._overheard_words
        if words is Words.AWAITED and self.hearing.busy:
            words = sort_words(self.hearing.words, still_speaking=not self.hearing.awaiting)
        quiet_s = min(self.hearing.quiet_s, overlap_s)  # before it there was quiet as well
        return judge(Evidence(self.hearing.speech_s(overlap_s), quiet_s, words))

    def _ask(self) -> None:
        """Have what was said so far answered."""
        if self.speaker.draft is not None:
            self._remove(self.speaker.draft)
        self._take_back()
        self._owed = False
        self._answer = _Answer(SpokenTurn(self._wish))
        self.speaker.turns.append(self._answer.turn)
        self._answers.ask(self.call, self.talk.question(self._instructions), self._functions)

    def _draft(self) -> None:
        """The caller pauses: begin an answer that is not heard yet. The caller goes on: it is void."""
        if self._brief.mode is not Mode.DIALOG:
            return
        words = self.hearing.words.strip()
        if self.hearing.speaking and words:
            self._take_back()
        pausing = self.hearing.pausing or self.hearing.awaiting
        draft = self.speaker.draft
        if draft is not None and (not pausing or self._answer is None or not same_words(self._answer.asked, words)):
            self._remove(draft)
        if self.speaker.turns or self._answer is not None:
            return
        if pausing and words and self._drafts < MAX_DRAFTS:
            self._drafts += 1
            self._answer = _Answer(SpokenTurn(self._wish), words)
            self.speaker.draft = self._answer.turn
            self._answers.ask(self.call, self.talk.question(self._instructions, words), self._functions)
        elif self._owed and not self.hearing.busy:
            self._ask()  # what made the answer void was nothing

    def _translate(self) -> None:
        if self._answer is not None or not self._questions:
            return
        words = self._questions.popleft()
        self._answer = _Answer(SpokenTurn(self._wish), words)
        self.speaker.turns.append(self._answer.turn)
        self._answers.ask(self.call, Talk().question(self._instructions, words))

    def _end_answer(self, answer: _Answer) -> None:
        """It is whole, and is going to be heard."""
        self._answer = None
        if answer.error is None:
            self._failures["chat model"] = 0
        else:
            self._answer_failed(answer, answer.error)
        answer.turn.finish()
        for wanted in answer.functions:
            try:
                done = meaning(FunctionCall("", wanted.name, wanted.arguments), self._brief)
            except NoSuchToolError:
                continue
            if not isinstance(done, SoundHeard):
                self._turn_actions.append(done)
        text = answer.turn.text.strip()
        if text and self._brief.into is not None and not answer.excused:
            self._news.translated.append(Translated(text, self._brief.into))
        if not text and not self._turn_actions:
            self._excuse(NO_ANSWER)
        self._translate()

    def _answer_failed(self, answer: _Answer, error: AnswerFault) -> None:
        """What came of it stands; where nothing did, the caller hears an excuse."""
        self._count("chat model", _FAULTS[error])
        if not answer.turn.text.strip():
            answer.turn.spare = answer.excused = True
            answer.turn.add(phrase(NO_ANSWER, self._wish.language))

    def _not_heard(self, said: Utterance, fault: SessionFault) -> None:
        if self.speaker.draft is not None:
            self._remove(self.speaker.draft)
        self._drafts = 0
        self._cut_off = False
        self._count("recognizer", fault)
        if self._brief.mode is Mode.DIALOG and not said.overheard and not self.speaker.turns:
            self._owed = False
            self._excuse(NOT_HEARD)

    def _take_back(self) -> None:
        """The caller goes on: of an answer nothing was heard of yet, nothing is said."""
        answer = self._answer
        if answer is not None and answer.turn is self.speaker.draft:
            return
        for turn in [turn for turn in self.speaker.turns if turn.silent and not turn.fixed]:
            self._remove(turn)
            self._owed = True
            self._turn_actions.clear()

    def _remove(self, turn: SpokenTurn) -> None:
        """Say no more of a turn; what the model is writing of it is not written on."""
        if self._answer is not None and self._answer.turn is turn:
            self._answer = None
            self._answers.cancel(self.call)
        self.speaker.remove(turn)

    def _silence(self) -> None:
        if self._answer is not None:
            self._remove(self._answer.turn)
        self.speaker.silence()
        self._turn_actions.clear()  # they go with the turn; the model decides anew

    def _cut_head(self, heard_s: float = 0.0) -> None:
        """The open turn ends here: what was heard of it is what was said."""
        head = self.speaker.head
        if head is None or head.turn == NO_TURN:
            return
        heard_text = head.heard_text(max(heard_s, head.heard_s))
        if head.told_done:
            self.talk.cut(head.turn, heard_text)
        else:
            self.talk.add(Entry(Voice.AGENT, heard_text, head.turn, cut=True))

    def _end_head(self) -> None:
        """The open turn ends here by our own will; the gateway plays what it has of it, unless the next one comes."""
        head = self.speaker.head
        if head is None or head.turn == NO_TURN:
            return
        self._cut_head()
        self._replaced = head
        if not head.told_done:
            self._ended.append(head.turn)

    def _say(self, text: str, *, excuse: bool = False) -> None:
        if self._brief.mode is Mode.TRANSCRIPTION:
            return
        turn = SpokenTurn(self._wish, fixed=not excuse, spare=excuse)
        turn.add(text)
        turn.finish()
        self.speaker.turns.append(turn)

    def _excuse(self, phrases: dict[str, str]) -> None:
        self._say(phrase(phrases, self._wish.language), excuse=True)

    def _say_now(self, texts: Sequence[str]) -> None:
        """An operator's words take the floor."""
        texts = [text for text in texts if any(character.isalnum() for character in text)]
        if not texts:
            return
        self._end_head()
        self._silence()
        self._owed = False  # the operator has answered
        for text in texts:
            self._say(text)

    def _pump(self) -> None:
        self.speaker.pump(VoiceWish("", self._wish.language))

    def _note_part(self, over: PartOver | None) -> None:
        """A voice has said something, or has not."""
        if over is not None and over.fault is not None:
            self._count("voice", over.fault)
        elif over is not None and not over.spare:
            self._failures["voice"] = 0

    def _count(self, part: str, fault: SessionFault) -> None:
        self._failures[part] += 1
        if self._failures[part] >= MAX_FAILURES:
            self._lose(part, fault)

    def _lose(self, part: str, fault: SessionFault) -> None:
        """The call cannot go on here."""
        self._fault = self._fault or SessionLostError(fault, f"of the {part}")

    def _tell(self, index: int, floor: Floor | None, *, decides: bool) -> list[StepOutput]:
        if self._fault is not None:
            return [StepOutput(self.call, index, None, fault=self._fault)]
        outputs = [StepOutput(self.call, index, None, turn, turn_done=True) for turn in self._ended]
        self._ended = []
        told = self.speaker.tell(held=self.hearing.busy and self._brief.mode is Mode.DIALOG)
        if told is not None and told.done is not None and (text := told.done.said):
            self._news.said.append(Said(Voice.AGENT, text))
            self.talk.add(Entry(Voice.AGENT, text, told.turn))
        last = not self.speaker.turns or (told is not None and told.done is not None and len(self.speaker.turns) == 1)
        if self._turn_actions and last and self._answer is None:
            self._news.actions += self._turn_actions
            self._turn_actions = []
        if not decides and told is None and not self._news:
            return outputs
        news, self._news = self._news, _News()
        head = self.speaker.head
        speaking = head is not None and head.turn != NO_TURN
        return [
            *outputs,
            StepOutput(
                self.call,
                index,
                None if not decides else DecisionKind.SPEAK if speaking else DecisionKind.LISTEN,
                told.turn if told is not None else head.turn if head is not None else NO_TURN,
                () if told is None else told.speech,
                turn_done=told is not None and told.done is not None,
                said=news.said,
                translated=news.translated,
                actions=news.actions,
                floor=floor,
            ),
        ]
