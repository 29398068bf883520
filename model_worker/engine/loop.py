"""Drive one engine for all calls of the worker: receive, step, answer.

``receive`` sorts what gateways send into sessions; ``step`` lets the engine decide on one chunk
of every call that is due and turns its outputs into messages. What the gateway did to a turn
reaches the engine in its place between two chunks, so that a call replayed from its chunk log
goes through the same states, however the engine was behind at the time.
"""

from collections.abc import Callable, Iterable

from model_worker.engine.intake import Intake
from model_worker.engine.stats import Failure, Fault, LoopStats
from model_worker.engine.turn_voice import Piece, TurnVoice
from model_worker.scheduler import Scheduler
from model_worker.seams import Engine, StepInput, StepOutput, UnknownAgentError
from model_worker.session import Drop, DueChunk, FailedCallError, Session
from wire.ids import NO_TURN, CallId, GatewayId, TurnId
from wire.messages import (
    AnyMessage,
    AudioChunk,
    CallClosed,
    CallFailed,
    CallOpened,
    CallRules,
    Decision,
    DecisionKind,
    DownMessage,
    Dtmf,
    Say,
    SpeechChunk,
    ToolCall,
    Transcript,
    TurnCancelled,
    TurnDone,
    UpMessage,
    Voice,
    WorkerDraining,
)

Outgoing = tuple[GatewayId, DownMessage]

# A gateway that lives sends a chunk every 0.4 s and ends a call whose leg is silent for 4.5 s.
ABANDONED_AFTER_S = 30.0


class _Served:
    """A call the engine has open: its up stream, and the turn it speaks."""

    __slots__ = ("heard_at", "last_turn", "session", "voice")

    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        self.heard_at = now
        self.voice: TurnVoice | None = None
        self.last_turn = NO_TURN
        """The newest turn that is over; nothing more is said in it."""


class EngineLoop:
    """One engine and the calls it serves. ``clock`` is monotonic seconds, the one ``now`` is read from.

    One thread only. After every ``receive``, ``drain`` or ``fail_all``, while ``due`` is true,
    ``step`` has something to hand out.
    """

    def __init__(
        self, engine: Engine, clock: Callable[[], float], slots: int | None = None, max_batch: int | None = None
    ) -> None:
        capabilities = engine.capabilities
        self.slots = capabilities.sessions if slots is None else min(slots, capabilities.sessions)
        self.stats = LoopStats()
        self.last_batch = 0
        self.last_step_s = 0.0
        self._engine = engine
        self._capabilities = capabilities
        self._clock = clock
        self._scheduler = Scheduler(max_batch or self.slots)
        self._intake = Intake(capabilities.input_rate_hz)
        self._calls: dict[CallId, _Served] = {}
        self._outbox: list[Outgoing] = []
        self._faults: list[Fault] = []
        self._draining_until: float | None = None

    @property
    def due(self) -> bool:
        """True while a step would do something."""
        return bool(self._outbox) or len(self._scheduler) > 0

    def receive(self, message: AnyMessage, lag_s: float, now: float) -> None:
        """Take one message of a gateway, which was ``lag_s`` on the bus."""
        if not isinstance(message, UpMessage):
            self.stats.tally.drops[Drop.WRONG_DIRECTION] += 1
            return
        served = self._calls.get(message.call)
        if isinstance(message, CallOpened):
            self._open(message, served, now)
        elif served is None:
            self.stats.tally.drops[Drop.UNKNOWN_CALL] += 1
        elif message.epoch != served.session.epoch:
            self.stats.tally.drops[Drop.OLD_EPOCH] += 1
        elif isinstance(message, CallClosed):
            self._close(served)
        else:
            self._receive_media(served, message, lag_s, now)

    def step(self, now: float) -> list[Outgoing]:
        """Decide on one chunk of each due call, at most one batch; returns all messages that became due.

        ``last_batch`` and ``last_step_s`` tell how many calls and how long that was.
        """
        self.last_batch = 0
        batch = [self._calls[call] for call in self._scheduler.take()]
        if batch:
            self._decide([(served, served.session.take()) for served in batch])
        outgoing, self._outbox = self._outbox, []
        return outgoing

    def drain(self, deadline_s: float, now: float) -> None:
        """Tell every call, and those that still open, that service ends in ``deadline_s`` seconds."""
        self._draining_until = now + deadline_s
        for served in self._calls.values():
            self._announce_draining(served.session, now)

    def expire(self, now: float) -> None:
        """Give up calls whose gateway is gone: without it their slots would stay taken for ever."""
        for served in list(self._calls.values()):
            if now - served.heard_at > ABANDONED_AFTER_S:
                self._fail(served, Failure.ABANDONED)

    def fail_all(self) -> None:
        """Give up every call: the worker stops."""
        for served in list(self._calls.values()):
            self._fail(served, Failure.WORKER_STOPPED)

    def take_faults(self) -> list[Fault]:
        """Exceptions of the engine since the last time."""
        faults, self._faults = self._faults, []
        return faults

    def _open(self, opened: CallOpened, served: _Served | None, now: float) -> None:
        if served is not None:
            if opened.epoch <= served.session.epoch:
                same = opened.epoch == served.session.epoch
                self.stats.tally.drops[Drop.DUPLICATE if same else Drop.OLD_EPOCH] += 1
                return
            self._close(served)
        session = Session(opened, self._capabilities.chunk_ms, self._capabilities.first_chunk_ms, self.stats.tally)
        if len(self._calls) >= self.slots:
            self._refuse(session, Failure.NO_SLOT)
            return
        try:
            rules = self._engine.open(session.call, session.spec)
        except UnknownAgentError:
            self._refuse(session, Failure.UNKNOWN_AGENT)
        except Exception as error:
            self._faults.append(Fault(session.call, "open", error))
            self._refuse(session, Failure.ENGINE_FAULT)
        else:
            self._calls[session.call] = _Served(session, now)
            if rules is not None:
                self._send(session, CallRules(*session.stamp(), rules))
            self.stats.open_calls = len(self._calls)
            self._announce_draining(session, now)

    def _receive_media(
        self, served: _Served, message: AudioChunk | TurnCancelled | Dtmf | Say, lag_s: float, now: float
    ) -> None:
        session = served.session
        served.heard_at = now
        before = session.backlog
        try:
            session.receive(message, lag_s, now)
        except FailedCallError as failed:
            self._fail(served, Failure(failed.reason))
            return
        self.stats.backlog_chunks += session.backlog - before
        if session.backlog:
            self._scheduler.add(session.call, session.waiting_since)
        else:  # nothing stands before it: the history is cut at once
            self._interrupt(served, session.take_cancelled())

    def _interrupt(self, served: _Served, cancelled: tuple[TurnCancelled, ...]) -> bool:
        """Pass on which turns the gateway stopped; False when that cost the call."""
        session = served.session
        for stopped in cancelled:
            served.last_turn = max(served.last_turn, stopped.turn)
            if served.voice is not None and served.voice.turn <= stopped.turn:
                served.voice = None
            try:
                self._engine.interrupt(session.call, stopped.turn, session.heard_s(stopped.heard_samples))
            except Exception as error:
                self._faults.append(Fault(session.call, "interrupt", error))
                self._fail(served, Failure.ENGINE_FAULT)
                return False
        return True

    def _decide(self, batch: list[tuple[_Served, DueChunk]]) -> None:
        self.stats.backlog_chunks -= len(batch)
        ready = [(served, chunk) for served, chunk in batch if self._interrupt(served, chunk.cancelled)]
        if not ready:
            return
        heard = self._intake.convert([(s.session.call, s.session.codec, chunk.payload) for s, chunk in ready])
        inputs = [
            StepInput(
                call := served.session.call,
                chunk.index,
                heard[call],
                chunk.playback_s,
                chunk.dtmf,
                self._sayable(chunk.say) if chunk.say else (),
                chunk.overlap_s,
            )
            for served, chunk in ready
        ]
        started = self._clock()
        outputs = self._run_engine(inputs)
        done = self._clock()
        self.last_batch = len(inputs)
        self.last_step_s = done - started
        for served, chunk in ready:
            session = served.session
            output = outputs.get(session.call)
            if output is None or not self._answered(served, chunk, output, started, done):
                self._fail(served, Failure.ENGINE_FAULT)
                continue
            self.stats.decided_chunks += 1
            if session.backlog:
                self._scheduler.add(session.call, session.waiting_since)

    def _sayable(self, say: tuple[str, ...]) -> tuple[str, ...]:
        if self._capabilities.says_given_words:
            return say
        self.stats.ignored_says += len(say)
        return ()

    def _run_engine(self, inputs: list[StepInput]) -> dict[CallId, StepOutput]:
        """Step all calls together; if that raises, each alone once, so that the fault costs one call only."""
        try:
            return {output.call: output for output in self._engine.step(inputs)}
        except Exception as error:
            if len(inputs) == 1:
                self._faults.append(Fault(inputs[0].call, "step", error))
                return {}
        self.stats.retried_steps += 1
        outputs: dict[CallId, StepOutput] = {}
        for one in inputs:
            outputs.update(self._run_engine([one]))
        return outputs

    def _answered(self, served: _Served, chunk: DueChunk, output: StepOutput, started: float, done: float) -> bool:
        """``_answer``, with an output that cannot even be sent charged to its call alone."""
        before = len(self._outbox)
        try:
            return self._answer(served, chunk, output, started, done)
        except Exception as error:
            del self._outbox[before:]
            self._faults.append(Fault(served.session.call, "answer", error))
            return False

    def _answer(self, served: _Served, chunk: DueChunk, output: StepOutput, started: float, done: float) -> bool:
        """Send the decision and all that goes with it; False when the output breaks the engine's contract."""
        speaks = bool(output.speech)
        if output.index != chunk.index or (
            speaks and (output.turn == NO_TURN or output.decision is not DecisionKind.SPEAK)
        ):
            return False
        session = served.session
        self._send(
            session,
            Decision(
                *session.stamp(),
                chunk.index,
                output.decision,
                output.turn,
                output.p_speak,
                chunk_age_s=chunk.age_s + done - chunk.received_at,
                queue_s=started - chunk.received_at,
                step_s=done - started,
                floor=output.floor,
            ),
        )
        for said in output.said:
            turn = output.turn if said.voice is Voice.AGENT else NO_TURN
            self._send(session, Transcript(*session.stamp(), said.voice, said.text, turn, said.confidence))
        voice = self._voice_of(served, output.turn) if speaks or output.turn_done else None
        for speech in output.speech:
            if voice is None:
                self.stats.dropped_speech += 1
            else:
                self._send_pieces(session, voice, voice.speak(speech))
        for action in output.actions:
            self._send(session, ToolCall(*session.stamp(), action.name, dict(action.arguments), output.turn))
        if output.turn_done and voice is not None:
            self._send_pieces(session, voice, voice.finish())
            self._send(session, TurnDone(*session.stamp(), voice.turn, voice.total_samples))
            served.voice = None
            served.last_turn = voice.turn
        return True

    def _voice_of(self, served: _Served, turn: TurnId) -> TurnVoice | None:
        """The voice of an open turn, opened by its first output; None when the turn is over."""
        if turn <= served.last_turn or (served.voice is not None and turn < served.voice.turn):
            return None
        if served.voice is None or turn > served.voice.turn:
            served.voice = TurnVoice(turn, served.session.codec, self._capabilities.output_rate_hz)
        return served.voice

    def _send_pieces(self, session: Session, voice: TurnVoice, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            start, payload, text, word_starts = piece
            self._send(session, SpeechChunk(*session.stamp(), voice.turn, start, payload, text, word_starts))

    def _send(self, session: Session, message: DownMessage) -> None:
        self._outbox.append((session.gateway, message))

    def _announce_draining(self, session: Session, now: float) -> None:
        if self._draining_until is not None:
            left_s = max(0.0, self._draining_until - now)
            self._send(session, WorkerDraining(*session.stamp(), left_s))

    def _refuse(self, session: Session, failure: Failure) -> None:
        self.stats.failures[failure] += 1
        self._send(session, CallFailed(*session.stamp(), failure))

    def _fail(self, served: _Served, failure: Failure) -> None:
        self._close(served)
        self._refuse(served.session, failure)

    def _close(self, served: _Served) -> None:
        session = served.session
        del self._calls[session.call]
        self.stats.open_calls = len(self._calls)
        self.stats.tally.drops[Drop.CALL_OVER] += session.backlog
        self.stats.backlog_chunks -= session.backlog
        self._scheduler.remove(session.call)
        self._intake.forget(session.call)
        try:
            self._engine.close(session.call)
        except Exception as error:
            self._faults.append(Fault(session.call, "close", error))
