"""One call served by sessions on a server: turns out of what a session says, and another session where one ends.

A session is over sooner than a call: servers have limits of minutes, and connections break. The next one is told what
was said so far, and hears again what the caller said since the last reply began, so that nothing has to be repeated.
Of a limit that is known it is begun before, in a moment when nobody speaks for the agent, and the caller notices
nothing. Some servers keep a session for a while whose connection broke: it goes on where it was.
"""

from collections import deque
from collections.abc import Sequence

from model_worker.dialog.brief import Brief, Mode
from model_worker.duplex.history import Entry, History
from model_worker.duplex.remote.effects import (
    Broken,
    Decided,
    Do,
    Effect,
    Expiring,
    Heard,
    Line,
    Resumable,
    SessionFault,
    Sound,
    TurnOver,
    Words,
)
from model_worker.duplex.remote.leg import Leg
from model_worker.duplex.remote.seam import Dialect, LinkEvent, LinkId, Links, Opening
from model_worker.duplex.remote.turn import RemoteTurn
from model_worker.seams import Action, Pcm, Said, SoundHeard, StepInput, StepOutput, Translated
from wire.ids import NO_TURN, CallId, TurnId
from wire.messages import DecisionKind, Floor, Voice

MAX_FAILURES = 2  # sessions in a row that were of no use; then another worker may have more luck
OF_USE_AFTER_S = 5.0  # of the call: a session that lasted so long, or said something, was of use
ROLL_AHEAD_S = 60.0  # before the server's limit: within a minute a talker pauses
ROLL_ANYHOW_S = 10.0  # one who does not is cut off by us rather than by the server
UNANSWERED_S = 15.0  # what a new session hears again; more of it would be answered late
MEMORY_LINES = 40
MAX_UNHEARD_S = 120.0  # of one turn: nobody listens that long, and it is memory


class SessionLostError(Exception):
    """No session of the server serves this call any more."""

    def __init__(self, fault: SessionFault, reason: str) -> None:
        super().__init__(f"{fault}: {reason}")
        self.fault = fault


class RemoteCall:
    """``hear``, ``take`` and ``interrupt`` in any order; ``take_outputs`` gives what came of it. No clock in here."""

    def __init__(
        self,
        call: CallId,
        brief: Brief,
        dialect: Dialect,
        links: Links,
        said: Sequence[Line] = (),
        turn: TurnId = NO_TURN,
    ) -> None:
        self.call = call
        self.history = History()
        self.newest_turn = turn
        self._brief = brief
        self._dialect = dialect
        self._links = links
        self._turns: deque[RemoteTurn] = deque()
        """Not yet played to their end, oldest first."""
        self._open: RemoteTurn | None = None
        """The last of them, while the server goes on with it."""
        self._said: list[Said] = []
        self._translated: list[Translated] = []
        self._sounds: list[SoundHeard] = []
        self._actions: list[Action] = []
        self._outputs: list[StepOutput] = []
        self._p_speak: float | None = None
        self._yielded = False
        self._failures = 0
        self._lost = False
        """No session serves the call any more, and that was told."""
        self._resume: Resumable | None = None
        self._last_index = 0
        self._leg_since = 0
        """The chunk with which the newest session was begun."""
        self._unanswered: deque[Pcm] = deque(maxlen=round(UNANSWERED_S * 1_000 / dialect.capabilities.chunk_ms))
        for line in said:
            self.history.add(Entry(line.voice, line.text))
        self._leg = self._new_leg()
        self._next: Leg | None = None

    @property
    def at_rest(self) -> bool:
        """Nothing is said, and nothing waits to be told."""
        return not self._turns and not self._outputs and not self._said and not self._actions

    @property
    def links(self) -> tuple[LinkId, ...]:
        return (self._leg.link,) if self._next is None else (self._leg.link, self._next.link)

    def hear(self, given: StepInput) -> None:
        """The next chunk; its decision comes among the outputs at once."""
        self._last_index = given.index
        self._follow(given)
        self._unanswered.append(given.pcm)
        if given.dtmf and self._leg.ready:
            self._leg.session.press(given.dtmf)
        for text in given.say:
            self._leg.session.say(text)
        effects = self._leg.hear(given.pcm)
        if self._next is not None:
            self._take_of_next(self._next, self._next.hear(given.pcm))
        self._apply(effects)
        if self._lost:
            return
        self._roll_over()
        self._decide(given)

    def take(self, link: LinkId, event: LinkEvent) -> None:
        """Something happened on one of ``links``."""
        if link == self._leg.link:
            self._apply(self._leg.take(event))
        elif self._next is not None and link == self._next.link:
            self._take_of_next(self._next, self._next.take(event))
        if not self._lost:
            self._go_on()

    def interrupt(self, turn: TurnId, heard_s: float) -> None:
        """The gateway stopped a turn: what was not heard of it, and all that was to follow it, was never said."""
        if not self._turns or self._turns[0].turn != turn:
            return
        stopped = self._turns[0]
        heard_s = max(heard_s, stopped.heard_s)
        if stopped.told_done:
            self.history.cut(stopped.turn, stopped.heard_text(heard_s))
        else:
            self.history.add(Entry(Voice.AGENT, stopped.heard_text(heard_s), stopped.turn, cut=True))
        self._turns.clear()
        self._open = None
        self._actions.clear()  # they go with the turn; the agent decides anew
        self._leg.session.interrupt(heard_s)
        self._apply(self._leg.effects())

    def close(self) -> None:
        self._leg.close()
        if self._next is not None:
            self._next.close()

    def take_outputs(self) -> list[StepOutput]:
        outputs, self._outputs = self._outputs, []
        return outputs

    def _follow(self, given: StepInput) -> None:
        turn, heard_s = given.playback_s
        if self._turns and self._turns[0].turn == turn:
            self._turns[0].hear(heard_s)
            self._leg.session.played(heard_s)
        while self._turns and self._turns[0].told_done and self._turns[0].played:
            self._turns.popleft()

    def _decide(self, given: StepInput) -> None:
        """Answer a chunk: with what is being said, if anything is."""
        floor = None
        if given.overlap_s > 0 and self._yielded:
            floor = Floor.YIELD
        elif given.overlap_s == 0:
            self._yielded = False
        kind = DecisionKind.SPEAK if self._turns else DecisionKind.LISTEN
        self._tell(given.index, kind, floor)

    def _go_on(self) -> None:
        """Between two chunks: tell what there is to tell."""
        speech_due = self._turns and not self._turns[0].told_done
        if speech_due or self._said or self._translated or self._sounds or self._actions:
            self._tell(self._last_index, None, None)

    def _tell(self, index: int, kind: DecisionKind | None, floor: Floor | None) -> None:
        head = self._turns[0] if self._turns else None
        speech = [] if head is None or head.told_done else head.speak()
        done = head is not None and head.done and not head.told_done
        if head is not None and done:
            head.told_done = True
            if text := head.text.strip():
                self._said.append(Said(Voice.AGENT, text))
                self.history.add(Entry(Voice.AGENT, text, head.turn))
        if kind is None and not (speech or done or self._said or self._translated or self._sounds or self._actions):
            return
        actions, self._actions = self._actions, []
        said, self._said = self._said, []
        translated, self._translated = self._translated, []
        sounds, self._sounds = self._sounds, []
        p_speak, self._p_speak = (self._p_speak, None) if kind is not None else (None, self._p_speak)
        turn = NO_TURN if head is None else head.turn
        self._outputs.append(
            StepOutput(
                self.call,
                index,
                kind,
                turn,
                speech,
                turn_done=done,
                said=said,
                translated=translated,
                sounds=sounds,
                actions=actions,
                p_speak=p_speak,
                floor=floor,
            )
        )

    def _apply(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Sound(pcm):
                    if (turn := self._speaking()) is not None:
                        turn.sound(pcm)
                        if turn.unheard_s > MAX_UNHEARD_S:
                            raise SessionLostError(SessionFault.GARBAGE, "the server never stops speaking")
                case Words(text):
                    if (turn := self._speaking()) is not None:
                        turn.words(text)
                case TurnOver(cut):
                    self._end_turn(cut=cut)
                case Heard(text, confidence):
                    self._said.append(Said(Voice.CALLER, text, confidence))
                    self.history.add(Entry(Voice.CALLER, text))
                case Translated():
                    self._translated.append(effect)
                case SoundHeard(name):
                    self._sounds.append(effect)
                    if (wanted := self._brief.on_sound.get(name)) is not None:
                        self._actions.append(wanted.action())
                case Decided(p_speak):
                    self._p_speak = p_speak
                case Do(action):
                    self._actions.append(action)
                case Expiring(left_s):
                    self._leg.expires_within(left_s)
                case Resumable():
                    self._resume = effect
                case Broken(fault, reason):
                    self._begin_anew(fault, reason)

    def _speaking(self) -> RemoteTurn | None:
        """The turn that the server goes on with, begun where none is; None on a line that says nothing."""
        if self._brief.mode in (Mode.TRANSCRIPTION, Mode.SOUND_EVENTS):
            return None
        if self._open is None:
            self.newest_turn = TurnId(self.newest_turn + 1)
            self._open = RemoteTurn(self.newest_turn, self._dialect.capabilities.output_rate_hz)
            self._turns.append(self._open)
            self._unanswered.clear()
            self._failures = 0
        return self._open

    def _end_turn(self, *, cut: bool) -> None:
        self._yielded = self._yielded or cut
        if cut:
            for turn in self._turns:
                turn.cut()
        if self._open is not None:
            self._open.finish()
            self._open = None

    def _new_leg(self, *, same_session: bool = False) -> Leg:
        lines = [Line(entry.voice, entry.text) for entry in self.history.last(MEMORY_LINES) if entry.text]
        begun = [turn.text.strip() for turn in self._turns if not turn.told_done]
        lines += [Line(Voice.AGENT, text) for text in begun if text]  # they play on, and are history only after that
        resume = self._resume.token if self._resume is not None and self._resume.same_session == same_session else ""
        self._leg_since = self._last_index
        opening = Opening(self.call, self._brief, lines, resume)
        if not same_session:
            return Leg(self._dialect, self._links, opening, tuple(self._unanswered))
        leg = Leg(self._dialect, self._links, opening)
        leg.goes_on_from(self._leg)
        return leg

    def _begin_anew(self, fault: SessionFault, reason: str) -> None:
        """The session is gone: what it said so far stands, and another one goes on, or the same."""
        resume = self._resume
        same_session = resume is not None and resume.same_session and fault is SessionFault.LOST and self._leg.ready
        not_resumed = resume is not None and not self._leg.ready
        if not same_session or self._next is not None:
            self._end_turn(cut=False)
            self._forget_session()
        if not_resumed:
            self._resume = None  # the server forgot it: from the words, then
        else:
            lasted_s = (self._last_index - self._leg_since) * self._dialect.capabilities.chunk_ms / 1_000
            self._failures = 1 if self._leg.ready and lasted_s >= OF_USE_AFTER_S else self._failures + 1
        if self._next is not None:
            self._leg, self._next = self._next, None
            self._apply(self._leg.effects())
        elif (fault.worth_another_try or not_resumed) and self._failures < MAX_FAILURES:
            self._leg = self._new_leg(same_session=same_session)
        else:
            error = SessionLostError(fault, reason)
            self._lost = True
            self._outputs.append(StepOutput(self.call, self._last_index, None, fault=error))

    def _roll_over(self) -> None:
        """Begin the next session in time, and go over to it when it is ready and nothing is being said."""
        if self._leg.limit_s is None:
            return
        left_s = self._leg.limit_s - self._leg.heard_s
        if self._turns and left_s >= ROLL_ANYHOW_S:
            return
        if self._next is not None and self._next.ready:
            self._leave()
            self._leg, self._next = self._next, None
        elif self._next is None and left_s < ROLL_AHEAD_S:
            if self._dialect.one_session_a_call:
                self._leave()
                self._leg = self._new_leg()
            else:
                self._next = self._new_leg()

    def _leave(self) -> None:
        """The session has served its time."""
        self._leg.close()
        self._end_turn(cut=False)
        self._forget_session()

    def _forget_session(self) -> None:
        """What was kept of the session itself is of no use any more."""
        if self._resume is not None and self._resume.same_session:
            self._resume = None

    def _take_of_next(self, leg: Leg, effects: Sequence[Effect]) -> None:
        """The next session speaks too early, or is gone before it was needed."""
        if any(isinstance(effect, Broken) for effect in effects):
            self._next = None
            if not leg.ready and self._resume is not None and not self._resume.same_session:
                self._resume = None
        elif any(isinstance(effect, Sound | Words) for effect in effects) and not self._turns and leg is self._next:
            self._leave()
            self._leg, self._next = leg, None
            self._apply(effects)
