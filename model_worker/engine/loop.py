"""Drive one engine for all calls of the worker: receive, step, answer.

``receive`` sorts what gateways send into sessions; ``step`` lets the engine decide on one chunk
of every call that is due and turns its outputs into messages. What the gateway did to a turn
reaches the engine in its place between two chunks, so that a call replayed from its chunk log
goes through the same states, however the engine was behind at the time.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import inf
from types import MappingProxyType

from model_worker.engine.intake import Intake
from model_worker.engine.stats import EngineStep, Failure, Fault, LoopStats
from model_worker.engine.takeover import LoopState, Takeover, TurnNumbers, pack, unpack
from model_worker.engine.turn_voice import Piece, TurnVoice
from model_worker.scheduler import Scheduler
from model_worker.seams import BadSnapshotError, Engine, EngineLostError, Said, StepInput, StepOutput, UnknownAgentError
from model_worker.session import Drop, DueChunk, FailedCallError, Session
from wire.ids import NO_TURN, CallId, GatewayId, TurnId
from wire.messages import (
    MAX_STATE_BYTES,
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
    OverlapRules,
    Past,
    Say,
    Snapshot,
    SoundEvent,
    SpeechChunk,
    ToolCall,
    Transcript,
    Translation,
    TurnCancelled,
    TurnDone,
    UpMessage,
    Voice,
    WorkerDraining,
)

Outgoing = tuple[GatewayId, DownMessage]

# A gateway that lives sends a chunk every 0.4 s and ends a call whose leg is silent for 4.5 s.
ABANDONED_AFTER_S = 30.0
SILENT_S = 0.1  # no word is shorter
SETTLING_STEPS = 64  # a model writes some ten tokens between two chunks, one a step
SNAPSHOT_EVERY_CHUNKS = 10  # a replay of four seconds takes a worker a fraction of one


class _Served:
    """A call the engine has open: its up stream, and the turn it speaks."""

    __slots__ = (
        "awaiting",
        "heard_at",
        "last_turn",
        "newest_turn",
        "promised_turn",
        "session",
        "snapshot_from",
        "takeover",
        "turn_offset",
        "voice",
    )

    def __init__(self, session: Session, takeover: Takeover | None, numbers: TurnNumbers, now: float) -> None:
        self.session = session
        self.heard_at = now
        self.awaiting: dict[int, tuple[DueChunk, float]] = {}
        """Chunks that the engine has and did not answer yet, by index, and when it was given them."""
        self.voice: TurnVoice | None = None
        self.takeover = takeover
        """Until the call is where the worker before left it."""
        self.turn_offset, self.newest_turn = numbers
        """The engine's turn 1 is the gateway's turn ``turn_offset + 1``; its newest turn is ``newest_turn``."""
        self.last_turn = NO_TURN if takeover is None else takeover.last_turn
        """The newest turn that is over; nothing more is said in it."""
        self.promised_turn = NO_TURN
        """A turn that the engine decided to speak and of which nothing was heard so far."""
        self.snapshot_from: float = SNAPSHOT_EVERY_CHUNKS
        """The next snapshot is taken after this chunk or a later one."""

    def on_wire(self, turn: TurnId) -> TurnId:
        """A turn of the engine as the gateway numbers it."""
        return TurnId(turn + self.turn_offset) if turn else NO_TURN

    def in_engine(self, turn: TurnId) -> TurnId:
        """A turn of the gateway as the engine numbers it; 0 for one that it never said."""
        return TurnId(max(0, turn - self.turn_offset))


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
        self._engine = engine
        self._capabilities = capabilities
        self._clock = clock
        self._scheduler = Scheduler(max_batch or self.slots)
        self._intake = Intake(capabilities.input_rate_hz)
        self._calls: dict[CallId, _Served] = {}
        self._outbox: list[Outgoing] = []
        self._faults: list[Fault] = []
        self._steps: list[EngineStep] = []
        self._turns_s: list[float] = []
        self._draining_until: float | None = None

    @property
    def due(self) -> bool:
        """True while a step would do something."""
        return bool(self._outbox) or len(self._scheduler) > 0 or self._engine.busy

    def on_ready(self, wake: Callable[[], None]) -> None:
        """``wake`` is called, on any thread, when ``due`` becomes true without anything being received."""
        self._engine.on_ready(wake)

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
        """Decide on the next chunk of each due call, at most one batch; returns all messages that became due.

        Of a call that is behind an engine may take several at once. ``take_steps`` tells how many chunks and how long
        that was.
        """
        batch = [self._calls[call] for call in self._scheduler.take()]
        if batch:
            self._decide([(served, chunk) for served in batch for chunk in self._due_chunks(served)])
        elif self._engine.busy:
            self._run([])
        outgoing, self._outbox = self._outbox, []
        return outgoing

    def drain(self, deadline_s: float, now: float) -> None:
        """Tell every call, and those that still open, that service ends in ``deadline_s`` seconds."""
        self._draining_until = now + deadline_s
        for served in self._calls.values():
            if (decided := served.session.last_taken) is not None and not served.session.backlog:
                self._take_snapshot(served, decided)
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

    def take_steps(self) -> list[EngineStep]:
        """Steps that the engine made since the last time."""
        steps, self._steps = self._steps, []
        return steps

    def take_turns_s(self) -> list[float]:
        """Seconds of speech of each turn that ended since the last time."""
        turns_s, self._turns_s = self._turns_s, []
        return turns_s

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
            rules, takeover, numbers = self._begin(session, opened.past)
        except UnknownAgentError:
            self._refuse(session, Failure.UNKNOWN_AGENT)
        except Exception as error:
            self._faults.append(Fault(session.call, "open", error))
            self._refuse(session, Failure.ENGINE_FAULT)
        else:
            self._calls[session.call] = _Served(session, takeover, numbers, now)
            if rules is not None:
                self._send(session, CallRules(*session.stamp(), rules))
            self.stats.open_calls = len(self._calls)
            self._announce_draining(session, now)

    def _begin(self, session: Session, past: Past | None) -> tuple[OverlapRules | None, Takeover | None, TurnNumbers]:
        """Open a call in the engine, or go on with it where another worker was."""
        engine, call, spec = self._engine, session.call, session.spec
        if past is None:
            return engine.open(call, spec), None, TurnNumbers()
        self.stats.taken_over += 1
        said = tuple(Said(line.voice, line.text) for line in past.said)
        spec, again = replace(spec, said=said), replace(spec, replayed=said)
        exact, numbers = past.exact, TurnNumbers()
        try:
            if past.state:
                state = unpack(past.state)
                rules = engine.restore(call, spec, state.engine)
                numbers = state.turns
            else:
                rules = engine.open(call, again if exact else spec)
        except BadSnapshotError:
            self.stats.bad_snapshots += 1
            rules, exact = engine.open(call, spec), False
        takeover = Takeover(past, session.codec.bytes_per_sample, exact=exact)
        return rules, takeover, numbers if exact else TurnNumbers(past.turn)

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
        if served.awaiting:  # what came goes to the engine after its answer
            return
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
            if NO_TURN < served.promised_turn <= stopped.turn:
                self.stats.silent_turns += 1
                served.promised_turn = NO_TURN
            turn = served.in_engine(stopped.turn)
            try:
                if turn != NO_TURN:
                    self._engine.interrupt(session.call, turn, session.heard_s(stopped.heard_samples))
            except Exception as error:
                self._faults.append(Fault(session.call, "interrupt", error))
                self._fail(served, Failure.ENGINE_FAULT)
                return False
        return True

    def _due_chunks(self, served: _Served) -> list[DueChunk]:
        """The oldest waiting chunk of a call, and those after it that the engine can take in the same step.

        Nothing may have to be done between them: no turn was stopped there, no replay ends there.
        """
        session, takeover = served.session, served.takeover
        chunks = [session.take()]
        while session.backlog and len(chunks) < self._capabilities.chunks_per_step:
            upcoming = session.peek()
            if upcoming.cancelled or (takeover is not None and not takeover.covers(upcoming.index)):
                break
            chunks.append(session.take())
        return chunks

    def _decide(self, batch: list[tuple[_Served, DueChunk]]) -> None:
        self.stats.backlog_chunks -= len(batch)
        ready = [(served, chunk) for served, chunk in batch if self._serves(served) and self._prepare(served, chunk)]
        if not ready:
            return
        heard = self._intake.convert(
            [(s.session.call, s.session.codec, chunk.index, chunk.payload) for s, chunk in ready]
        )
        inputs = [
            StepInput(
                call := served.session.call,
                chunk.index,
                heard[call, chunk.index],
                (served.in_engine(chunk.playback_s[0]), chunk.playback_s[1]),
                chunk.dtmf,
                self._sayable(chunk.say) if chunk.say else (),
                chunk.overlap_s,
            )
            for served, chunk in ready
        ]
        self._run(inputs, {(served.session.call, chunk.index): chunk for served, chunk in ready})

    def _run(
        self, inputs: list[StepInput], chunks: Mapping[tuple[CallId, int], DueChunk] = MappingProxyType({})
    ) -> None:
        """One step of the engine, and all that it brought."""
        started = self._clock()
        for (call, index), chunk in chunks.items():
            self._calls[call].awaiting[index] = (chunk, started)
        outputs = self._run_engine(inputs)
        done = self._clock()
        self._steps.append(EngineStep(len(inputs), done - started))
        self._measure()
        for output in outputs:
            self._take_output(output, done)
        for call in dict.fromkeys(call for call, _ in chunks):
            served = self._calls.get(call)
            if served is not None and served.awaiting and not self._engine.busy:
                self._fail(served, Failure.ENGINE_FAULT)

    def _take_output(self, output: StepOutput, done: float) -> None:
        served = self._calls.get(output.call)
        if served is None:
            return
        session = served.session
        if output.fault is not None:
            self._faults.append(Fault(session.call, "step", output.fault))
            self._fail(served, Failure.ENGINE_FAULT)
            return
        due = None if output.decision is None else served.awaiting.pop(output.index, None)
        known = output.decision is None or due is not None
        if not known or not self._answered(served, output, due, done):
            self._fail(served, Failure.ENGINE_FAULT)
            return
        if due is None:
            return
        self.stats.decided_chunks += 1
        if served.awaiting:
            return
        if output.index >= served.snapshot_from:
            self._take_snapshot(served, output.index)
        if session.backlog:
            self._scheduler.add(session.call, session.waiting_since)
        else:
            self._interrupt(served, session.take_cancelled())

    def _measure(self) -> None:
        if (positions := self._engine.context_positions) is not None:
            self.stats.context_used, self.stats.context_room = positions

    def _prepare(self, served: _Served, chunk: DueChunk) -> bool:
        """What comes before a chunk is decided on; False when that cost the call."""
        if not self._interrupt(served, chunk.cancelled):
            return False
        takeover = served.takeover
        if takeover is None or takeover.covers(chunk.index):
            return True
        for _ in range(SETTLING_STEPS):  # the worker before had said as much as it could before this chunk
            if not self._engine.busy:
                break
            self._run([])
        if not self._serves(served):
            return False
        served.takeover = None
        saying = NO_TURN if served.voice is None else served.voice.turn
        going_on = takeover.seamless(saying) or self._end_old_turn(served, takeover, saying)
        # An engine that said fewer turns in the replay than before would number the next one as one that is over.
        served.turn_offset = max(served.turn_offset, takeover.turn - served.newest_turn)
        return going_on

    def _end_old_turn(self, served: _Served, takeover: Takeover, saying: TurnId) -> bool:
        """The engine does not go on with what the worker before was saying; False when that cost the call."""
        session = served.session
        if takeover.open:
            self.stats.diverged_turns += 1
            self._send(session, TurnDone(*session.stamp(), takeover.turn, takeover.generated))
        heard_samples = 0 if saying > takeover.turn else takeover.generated
        turn = TurnId(max(saying, takeover.turn))
        return self._interrupt(served, (TurnCancelled(session.call, session.epoch, 0, turn, heard_samples, "moved"),))

    def _take_snapshot(self, served: _Served, index: int) -> None:
        """Give the gateway what makes a replay short, as soon as the engine is between two turns."""
        session = served.session
        if served.voice is not None or served.takeover is not None:
            return
        try:
            state = self._engine.snapshot(session.call)
        except Exception as error:
            self._faults.append(Fault(session.call, "snapshot", error))
            served.snapshot_from = inf
            return
        if state is None:
            return
        packed = pack(LoopState(TurnNumbers(served.turn_offset, served.newest_turn), state))
        if len(packed) > MAX_STATE_BYTES:
            served.snapshot_from = inf
            return
        self._send(session, Snapshot(*session.stamp(), index, packed))
        served.snapshot_from = index + SNAPSHOT_EVERY_CHUNKS

    def _sayable(self, say: tuple[str, ...]) -> tuple[str, ...]:
        if self._capabilities.says_given_words:
            return say
        self.stats.ignored_says += len(say)
        return ()

    def _serves(self, served: _Served) -> bool:
        """Whether the call is still open: something earlier in the step may have cost it."""
        return self._calls.get(served.session.call) is served

    def _run_engine(self, inputs: list[StepInput]) -> list[StepOutput]:
        """Step all calls together; if that raises, each alone once, so that the fault costs one call only."""
        try:
            return self._engine.step(inputs)
        except EngineLostError:
            raise  # of what is tried next, nothing would succeed either
        except Exception as error:
            calls = dict.fromkeys(one.call for one in inputs)
            if not calls:
                raise  # nobody's fault but the engine's: the calls are better served elsewhere
            if len(calls) == 1:
                return [StepOutput(call, inputs[0].index, None, fault=error) for call in calls]
        self.stats.retried_steps += 1
        return [output for call in calls for output in self._run_engine([one for one in inputs if one.call == call])]

    def _answered(self, served: _Served, output: StepOutput, due: tuple[DueChunk, float] | None, done: float) -> bool:
        """``_answer``, with an output that cannot even be sent charged to its call alone."""
        before = len(self._outbox)
        try:
            return self._answer(served, output, due, done)
        except Exception as error:
            del self._outbox[before:]
            self._faults.append(Fault(served.session.call, "answer", error))
            return False

    def _answer(self, served: _Served, output: StepOutput, due: tuple[DueChunk, float] | None, done: float) -> bool:
        """Send the decision and all that goes with it; False when the output breaks the engine's contract."""
        speaks, index = bool(output.speech), output.index
        if speaks and (output.turn == NO_TURN or output.decision is DecisionKind.LISTEN):
            return False
        session, takeover = served.session, served.takeover
        wire_turn = served.on_wire(output.turn)
        served.newest_turn = max(served.newest_turn, output.turn)
        if due is not None and (takeover is None or not takeover.covers(index)):
            self._send_decision(session, output, wire_turn, *due, done)
            self._note_promise(served, output.decision, wire_turn)
        for said in output.said:
            if takeover is None or takeover.tells(index):
                turn = wire_turn if said.voice is Voice.AGENT else NO_TURN
                self._send(session, Transcript(*session.stamp(), said.voice, said.text, turn, said.confidence))
        for translated in output.translated:
            if takeover is None or takeover.tells(index):
                self._send(session, Translation(*session.stamp(), translated.text, translated.language))
        for sound in output.sounds:
            if takeover is None or takeover.tells(index):
                self._send(session, SoundEvent(*session.stamp(), sound.name, sound.probability))
        voice = self._voice_of(served, wire_turn) if speaks or output.turn_done else None
        for speech in output.speech:
            if voice is not None:
                served.promised_turn = NO_TURN
                self._send_pieces(served, voice, voice.speak(speech))
            elif takeover is None:
                self.stats.dropped_speech += 1
        for action in output.actions:
            if takeover is None or takeover.tells(index):
                self._send(session, ToolCall(*session.stamp(), action.name, dict(action.arguments), wire_turn))
        if output.turn_done and voice is not None:
            self._send_pieces(served, voice, voice.finish())
            if takeover is None or takeover.goes_on(voice.turn):
                self._send(session, TurnDone(*session.stamp(), voice.turn, voice.total_samples))
                self._count_turn(voice.total_samples / session.codec.sample_rate_hz)
            served.promised_turn = NO_TURN
            served.voice = None
            served.last_turn = voice.turn
        return True

    def _note_promise(self, served: _Served, decision: DecisionKind | None, turn: TurnId) -> None:
        begun = served.last_turn if served.voice is None else served.voice.turn
        if decision is DecisionKind.SPEAK and turn > begun:
            served.promised_turn = turn

    def _count_turn(self, spoken_s: float) -> None:
        self._turns_s.append(spoken_s)
        self.stats.silent_turns += spoken_s < SILENT_S

    def _send_decision(
        self, session: Session, output: StepOutput, turn: TurnId, chunk: DueChunk, started: float, done: float
    ) -> None:
        assert output.decision is not None, "a chunk is answered with a decision"
        self._send(
            session,
            Decision(
                *session.stamp(),
                chunk.index,
                output.decision,
                turn,
                output.p_speak,
                chunk_age_s=chunk.age_s + done - chunk.received_at,
                queue_s=started - chunk.received_at,
                step_s=done - started,
                floor=output.floor,
            ),
        )

    def _voice_of(self, served: _Served, turn: TurnId) -> TurnVoice | None:
        """The voice of an open turn, opened by its first output; None when the turn is over."""
        if turn <= served.last_turn or (served.voice is not None and turn < served.voice.turn):
            return None
        if served.voice is None or turn > served.voice.turn:
            served.voice = TurnVoice(turn, served.session.codec, self._capabilities.output_rate_hz)
        return served.voice

    def _send_pieces(self, served: _Served, voice: TurnVoice, pieces: Iterable[Piece]) -> None:
        session, takeover = served.session, served.takeover
        for piece in pieces:
            fresh: Piece | None = piece
            if takeover is not None:
                fresh = takeover.trim(piece) if takeover.goes_on(voice.turn) else None
            if fresh is not None:
                start, payload, text, word_starts = fresh
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
        self._measure()  # after the last call there is no step that would
