"""One call, composed and pure: media, events and ``now`` in, effects out.

Every input is followed by draining ``poll()`` to None. A call never sleeps, logs or reads a
clock, which makes an hour-long call a test of seconds and a recorded one replayable.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from gateway.echo.guard import EchoGuard
from gateway.effects import (
    ClearAudio,
    Effect,
    EndLeg,
    NoteAlarm,
    NoteDecision,
    NoteDropped,
    NoteDucked,
    NoteEcho,
    NoteEnded,
    NoteFirstAudio,
    NoteKey,
    NoteMissing,
    NoteMuted,
    NoteOverlap,
    NoteReply,
    NoteTranscript,
    NoteTurnEnded,
    NoteTurnOpened,
    OverlapEnd,
    ReplyTrace,
    SendAudio,
    SendKeys,
    SendMark,
    SendUp,
    TurnEnd,
)
from gateway.events import (
    CallEvent,
    GatewayStopping,
    KeyPressed,
    LegAway,
    LegBack,
    LegEnded,
    LegMeasured,
    MarkPlayed,
    OperatorEnded,
    OperatorMuted,
    OperatorSaid,
    WorkerSaid,
    is_keys,
)
from gateway.seams import CallSetup
from gateway.turn.chunk_speech import ChunkSpeech
from gateway.turn.chunker import Chunk, Chunker
from gateway.turn.floor import FloorAction
from gateway.turn.ledger import Ledger
from gateway.turn.machine import TurnEvent, TurnMachine
from gateway.turn.overlap import OverlapWatch
from gateway.turn.playout import BadPositionError, Playout
from gateway.turn.reply_trace import ReplyStamps
from gateway.turn.text_spans import TextSpans
from gateway.turn.watchdog import Alarm, WatchdogLimits, Watchdogs
from wire.bus.seam import Lease
from wire.ids import NO_TURN, GatewayId, TurnId
from wire.messages import (
    MAX_SAY_CHARS,
    AudioChunk,
    CallClosed,
    CallFailed,
    CallOpened,
    CallRules,
    Decision,
    DecisionKind,
    DownMessage,
    Dtmf,
    Floor,
    OverlapRules,
    Playback,
    Say,
    SoundEvent,
    SpeechChunk,
    ToolCall,
    Transcript,
    TurnCancelled,
    TurnDone,
    UpMessage,
    WorkerDraining,
)

MARK_EVERY_S = 0.4  # one per chunk: the worker learns the position once per chunk anyway
MARK_GRACE_S = 2.0  # a completed turn whose last mark never returns counts as played this long after the clock says so
MAX_MARK_CHARS = 32  # of ours: a turn and a count of samples
_ENDS_TURN = {
    Alarm.NEVER_YIELDS: TurnEnd.BARGED_IN,
    Alarm.TOO_LONG: TurnEnd.RUNAWAY,
    Alarm.LOOPS: TurnEnd.RUNAWAY,
}
"""What becomes of the turn a watchdog barks at. Dead air is counted; an engine that never speaks fails the call."""
AGENT_ACTIONS = frozenset({"hangup", "transfer", "voicemail"})
MAX_UNDECIDED = 256  # chunks whose decision is awaited; older ones count as missing


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds of one call.

    ``media_timeout_s``: without audio for this long the leg counts as dead. ``decision_timeout_s``:
    without the decision on a chunk for this long the worker does, and the caller is told rather
    than left in silence. ``watchdogs``: of engines that decide, and yet do a caller no good.
    """

    media_timeout_s: float = 4.5  # noticed within 5 s: media is looked at once per chunk
    max_duration_s: float = 3_600.0
    decision_timeout_s: float = 10.0  # 25 chunks; nobody waits longer for an answer
    watchdogs: WatchdogLimits = field(default_factory=WatchdogLimits)


@dataclass(slots=True)
class _Overlap:
    """The caller sounds over the open turn; seconds into the call."""

    onset_at_s: float
    ducked_at_s: float
    stopped_at_s: float | None = None
    restored_at_s: float | None = None
    """The voice is back, though the engine may yet stop it."""
    asked_from: int | None = None
    """The first chunk with which the engine was asked what it makes of it."""


class Call:
    """A call from the moment its leg has media until it ends."""

    def __init__(
        self,
        lease: Lease,
        gateway: GatewayId,
        setup: CallSetup,
        now: float,
        limits: CallLimits | None = None,
        rules: OverlapRules | None = None,
        echo: EchoGuard | None = None,
    ) -> None:
        self.id = lease.call
        self.setup = setup
        self.epoch = 0
        self.ended = False
        self._bytes_per_sample = setup.codec.bytes_per_sample
        self._limits = limits or CallLimits()
        self._started_at = now
        self._media_at = now
        self._seq = 0
        self._effects: deque[Effect] = deque()
        self._chunker = Chunker(setup.codec, lease.chunk_ms, lease.first_chunk_ms)
        self._turns = TurnMachine()
        self._playout = Playout(setup.codec, setup.playout, began_at=now)
        self._watch = OverlapWatch(setup.codec, rules or OverlapRules())
        self._overlap: _Overlap | None = None
        self._echo = echo
        self._chunk_speech = ChunkSpeech(setup.codec)
        self._watchdogs = Watchdogs(self._limits.watchdogs)
        self._replies = ReplyStamps(setup.codec, lease.chunk_ms, began_at=now)
        self._muted = False
        self._away = False
        self._newest_turn = NO_TURN
        self._played_turn = NO_TURN
        self._spans = TextSpans()
        self._marked_samples = 0
        self._mark_round = 0  # grows when the leg drops what it has: the marks of that come back too
        self._undecided: deque[tuple[int, float]] = deque()  # (chunk index, complete at), oldest first
        self._turn_cause_at: float | None = None  # completion of the chunk that opened the turn; None once audible
        self._after_turn: EndLeg | None = None
        self._received_samples = 0
        self._missing_decisions = 0
        self._up(
            CallOpened(
                self.id,
                self.epoch,
                self._next_seq(),
                gateway,
                setup.codec,
                setup.agent,
                setup.caller,
                setup.callee,
                dict(setup.variables),
            )
        )

    @property
    def wanted_bytes(self) -> int:
        """How much media makes a wake-up worthwhile: some frames while the agent is audible, else a whole chunk."""
        missing_bytes = self._chunker.missing_bytes
        if self._turns.has_floor:
            overlap_bytes = self._watch.wanted_bytes
            return overlap_bytes if overlap_bytes < missing_bytes else missing_bytes
        return missing_bytes

    def receive_media(self, payload: bytes | bytearray, now: float) -> None:
        """Take what the caller said since the last time, any number of bytes in the leg's codec."""
        if self.ended:
            return
        self._media_at = now
        self._received_samples += len(payload) // self._bytes_per_sample
        if self._echo is not None:
            payload = self._echo.clean(payload, now - self._started_at)
        if self._turns.has_floor:
            self._watch_overlap(payload, now)
        for chunk in self._chunker.push(payload):
            self._send_chunk(chunk, now)

    def receive(self, event: CallEvent, now: float) -> None:
        """Take one event."""
        if self.ended:
            return
        match event:
            case WorkerSaid(message):
                self._receive_worker(message, now)
            case MarkPlayed(name):
                self._receive_mark(name, now)
            case KeyPressed(digit):
                self._effects.append(NoteKey(digit, now - self._started_at))
                self._up(Dtmf(self.id, self.epoch, self._next_seq(), digit, self._received_samples))
            case LegAway():
                self._away = True
                if self._turns.has_floor:
                    self._cancel(TurnEnd.LEG_LOST, now)
            case LegBack():
                self._away = False
            case LegEnded(reason):
                self._end(reason, now)
            case GatewayStopping(reason):
                self._effects.append(EndLeg("hangup"))
                self._end(reason, now)
            case LegMeasured(round_trip_s):
                self._replies.measure(round_trip_s)
            case OperatorSaid(text):
                self._say(text)
            case OperatorMuted(on):
                self._mute(on, now)
            case OperatorEnded():
                self._end_as_told(event, now)
            case _:
                assert_never(event)

    def handle_deadline(self, now: float) -> None:
        """Do what is due: feed the leg, notice the end of a turn, a dead leg, an endless call."""
        if self.ended:
            return
        if now >= self._media_at + self._limits.media_timeout_s:
            self._effects.append(EndLeg("dead"))
            self._end("media_timeout", now)
        elif now >= self._started_at + self._limits.max_duration_s:
            self._effects.append(EndLeg("hangup"))
            self._end("max_duration", now)
        elif self._undecided and now >= self._undecided[0][1] + self._limits.decision_timeout_s:
            self._effects.append(EndLeg("failed"))
            self._end("worker_lost", now)
        elif self._bark(self._watchdogs.bark(now), now):
            pass
        elif self._turns.has_floor:
            if self._replies.wanted and not self.setup.playout.marks:
                self._note_reply(self._replies.tick(now))
            self._feed_leg(now)
            self._finish_if_played(now)

    def next_deadline(self) -> float | None:
        """When ``handle_deadline`` has something to do; None once the call has ended."""
        if self.ended:
            return None
        due = min(self._media_at + self._limits.media_timeout_s, self._started_at + self._limits.max_duration_s)
        if self._undecided:
            due = min(due, self._undecided[0][1] + self._limits.decision_timeout_s)
        bark = self._watchdogs.next_deadline()
        if bark is not None:
            due = min(due, bark)
        if self._turns.has_floor:
            take = self._playout.next_take()
            if take is not None:
                due = min(due, take)
            elif self._playout.all_sent():
                due = min(due, self._played_out_at())
        return due

    def poll(self) -> Effect | None:
        """The next effect, None when all are drained."""
        return self._effects.popleft() if self._effects else None

    def stats(self) -> dict[str, float]:
        """Plain counts since the call began."""
        return {
            "received_samples": self._received_samples,
            "undecided_chunks": len(self._undecided),
            "missing_decisions": self._missing_decisions,
            "underruns": self._playout.underruns,
            "underrun_s": self._playout.underrun_s,
            "lost_speech_samples": self._playout.lost_samples,
        }

    def abandon(self) -> CallClosed:
        """Give the call up after a fault of ours; returns the worker's notice. Nothing else of it can be trusted."""
        self.ended = True
        self._effects.clear()
        return CallClosed(self.id, self.epoch, self._next_seq(), "fault")

    def _next_seq(self) -> int:
        seq = self._seq
        self._seq += 1
        return seq

    def _up(self, message: UpMessage) -> None:
        self._effects.append(SendUp(message))

    def _send_chunk(self, chunk: Chunk, now: float) -> None:
        if len(self._undecided) == MAX_UNDECIDED:
            self._miss_decision(now)
        self._undecided.append((chunk.index, now))
        self._replies.hear(chunk, now)
        chunk_s = len(chunk.payload) / self._bytes_per_sample / self.setup.codec.sample_rate_hz
        self._watchdogs.hear(speech=self._chunk_speech.is_in(chunk.payload), begin_at=now - chunk_s, now=now)
        overlap = self._overlap
        if overlap is not None and overlap.asked_from is None and self._watch.undecided:
            overlap.asked_from = chunk.index
        self._up(
            AudioChunk(
                self.id,
                self.epoch,
                self._next_seq(),
                chunk.index,
                chunk.start_samples,
                0.0,
                chunk.payload,
                self._playback(now),
                self._watch.overlap_s if overlap is not None else 0.0,
            )
        )

    def _playback(self, now: float) -> Playback | None:
        ledger = self._playout.ledger
        if ledger is None:
            return None
        if self._turns.has_floor:
            self._playout.advance(now)
        return Playback(ledger.turn, ledger.generated, ledger.sent, ledger.played)

    def _receive_worker(self, message: DownMessage, now: float) -> None:
        if message.epoch != self.epoch:
            self._effects.append(NoteDropped("epoch"))
            return
        match message:
            case Decision():
                self._receive_decision(message, now)
            case SpeechChunk():
                if self._open_turn(message.turn, now):
                    self._receive_speech(message, now)
            case TurnDone():
                if self._open_turn(message.turn, now):
                    self._turns.apply(TurnEvent.COMPLETED)
                    self._playout.complete(message.total_samples)
                    self._feed_leg(now)
                    self._finish_if_played(now)
            case Transcript():
                self._effects.append(NoteTranscript(message, now - self._started_at))
            case ToolCall():
                self._receive_tool_call(message, now)
            case CallFailed():
                self._effects.append(EndLeg("failed"))
                self._end("worker_failed", now)
            case CallRules(overlap=rules):
                self._watch.follow(rules)
            case SoundEvent() | WorkerDraining():
                pass  # for the console and for hand-over; neither changes who speaks
            case _:
                assert_never(message)

    def _receive_speech(self, speech: SpeechChunk, now: float) -> None:
        try:
            self._playout.submit(speech.start_samples, speech.payload)
        except BadPositionError:
            self._effects.append(NoteDropped("bad_position"))
            return
        self._spans.add(speech.start_samples, speech.text, speech.word_starts)
        self._replies.voice(now)
        self._feed_leg(now)
        self._bark(self._watchdogs.say(speech.text), now)

    def _receive_tool_call(self, call: ToolCall, now: float) -> None:
        if call.name == "send_keys" and is_keys(call.arguments.get("keys", "")):
            self._effects.append(SendKeys(call.arguments["keys"]))
        elif call.name not in AGENT_ACTIONS or (call.name == "transfer" and not call.arguments.get("to")):
            self._effects.append(NoteDropped("unknown_action"))
        elif call.turn != NO_TURN and call.turn == self._newest_turn and self._turns.has_floor:
            self._after_turn = EndLeg(call.name, call.arguments)
        elif call.turn == NO_TURN or call.turn == self._played_turn:
            self._after_turn = EndLeg(call.name, call.arguments)
            self._leave(now)
        else:
            self._effects.append(NoteDropped("old_turn"))

    def _receive_decision(self, decision: Decision, now: float) -> None:
        while self._undecided and self._undecided[0][0] < decision.index:
            self._miss_decision(now)
        if not self._undecided or self._undecided[0][0] != decision.index:
            self._effects.append(NoteDropped("unexpected_decision"))
            return
        _, complete_at = self._undecided.popleft()
        self._effects.append(NoteDecision(decision, now - complete_at, now - self._started_at))
        if decision.kind is DecisionKind.SPEAK:
            if decision.turn > self._newest_turn:
                self._open_turn(decision.turn, now)
                self._turn_cause_at = complete_at
            self._replies.decide(decision, complete_at, now)
        if decision.floor is not None:
            self._receive_judgement(decision.index, decision.floor, now)

    def _receive_judgement(self, index: int, floor: Floor, now: float) -> None:
        overlap = self._overlap
        if overlap is not None and overlap.asked_from is not None and index >= overlap.asked_from:
            self._act(self._watch.judge(floor), now)
        # else it is about an overlap that was decided without waiting

    def _bark(self, alarms: Sequence[Alarm], now: float) -> bool:
        """Do what belongs to each alarm; True when there was one."""
        for alarm in alarms:
            self._effects.append(NoteAlarm(alarm.value, now - self._started_at))
            if alarm is Alarm.NEVER_SPEAKS:
                self._effects.append(EndLeg("failed"))
                self._end("never_spoke", now)
            elif alarm in _ENDS_TURN and self._turns.has_floor:
                self._cancel(_ENDS_TURN[alarm], now)
        return bool(alarms)

    def _miss_decision(self, now: float) -> None:
        index, _ = self._undecided.popleft()
        self._missing_decisions += 1
        self._effects.append(NoteMissing(index, now - self._started_at))

    def _open_turn(self, turn: TurnId, now: float) -> bool:
        """Make sure ``turn`` is the open one; False, and a counted drop, when it is over already."""
        if turn > self._newest_turn:
            if self._turns.has_floor:
                self._cancel(TurnEnd.SUPERSEDED, now)
            self._newest_turn = turn
            self._turns.apply(TurnEvent.OPENED)
            self._playout.open(turn)
            self._replies.open(turn)
            self._spans = TextSpans()
            self._marked_samples = self._mark_round = 0
            self._turn_cause_at = now
            self._watch.reset()
            self._watchdogs.open_turn(now)
            self._effects.append(NoteTurnOpened(turn, now - self._started_at))
            if self._muted or self._away:
                self._cancel(TurnEnd.MUTED if self._muted else TurnEnd.LEG_LOST, now)
                return False
            return True
        if turn == self._newest_turn and self._turns.has_floor and not self._playout.completed:
            return True
        self._effects.append(NoteDropped("old_turn"))
        return False

    def _feed_leg(self, now: float) -> None:
        rate_hz = self.setup.codec.sample_rate_hz
        while (piece := self._playout.take(now)) is not None:
            if self._turn_cause_at is not None:
                self._replies.send(self._started_at + piece.plays_at / rate_hz, now)
                self._effects.append(
                    NoteFirstAudio(self._newest_turn, now - self._turn_cause_at, now - self._started_at)
                )
                self._turn_cause_at = None
            self._effects.append(SendAudio(piece.payload, piece.heard_at / rate_hz))
            if self._echo is not None:
                self._echo.play(piece.payload, piece.heard_at / rate_hz)
            due_samples = self._marked_samples + MARK_EVERY_S * rate_hz
            if self.setup.playout.marks and (piece.last or piece.sent_samples >= due_samples):
                self._marked_samples = piece.sent_samples
                self._effects.append(SendMark(f"{self._newest_turn}:{self._mark_round}:{piece.sent_samples}"))

    def _receive_mark(self, name: str, now: float) -> None:
        numbers = name.split(":")
        if len(name) > MAX_MARK_CHARS or len(numbers) != 3 or not all(n.isdecimal() for n in numbers):
            self._effects.append(NoteDropped("foreign_mark"))
            return
        turn, mark_round, samples = map(int, numbers)
        if turn == self._newest_turn and mark_round == self._mark_round and self._turns.has_floor:
            delay_s = self._playout.acknowledge(samples, now)
            if delay_s is not None and self._replies.wanted:
                self._note_reply(self._replies.played(delay_s, self._playout.ear_delay_s))
            self._finish_if_played(now, acked_samples=samples)
        # else a mark of what was cleared: Twilio echoes it, but it was not played

    def _played_out_at(self) -> float:
        grace_s = MARK_GRACE_S if self.setup.playout.marks else 0.0
        return self._playout.audible_until() + grace_s

    def _finish_if_played(self, now: float, acked_samples: int = 0) -> None:
        """Close a completed turn once its last sample was heard, by its last mark or, much later, by the clock."""
        if not self._playout.all_sent():
            return
        ledger = self._playout.ledger
        assert ledger is not None, "a completed turn has a ledger"
        if acked_samples >= ledger.sent > 0 or now >= self._played_out_at():
            self._close_turn(TurnEvent.PLAYED_OUT, TurnEnd.PLAYED, now)
            if self._after_turn is not None:
                self._leave(now)

    def _watch_overlap(self, payload: bytes | bytearray, now: float) -> None:
        """Listen for the caller while the agent is audible, or may go on."""
        if self._overlap is None and now > self._playout.audible_until():
            self._watch.reset()  # nothing to be talked over yet, or any more
            return
        ends_at_s = self._received_samples / self.setup.codec.sample_rate_hz
        for action in self._watch.push(payload, ends_at_s):
            self._act(action, now)
            if not self._turns.has_floor:
                return
        if self._echo is not None and self._watch.undecided and self._echo.look(now - self._started_at):
            assert self._echo.return_loss_db is not None, "an echo that was found has a level"
            self._effects.append(NoteEcho(self._echo.return_loss_db, now - self._started_at))
            self._act(self._watch.judge(Floor.KEEP), now)

    def _clear(self, now: float, samples: int | None = None) -> None:
        """The leg drops what it has not played: all of the turn, or ``samples`` that it will be given anew."""
        self._effects.append(ClearAudio() if samples is None else ClearAudio(samples))
        if self._echo is not None:
            self._echo.clear(now - self._started_at + self._playout.ear_delay_s)

    def _act(self, action: FloorAction, now: float) -> None:
        """Do to the agent's voice what the floor asks for."""
        at_s = now - self._started_at
        match action:
            case FloorAction.NOTHING:
                pass
            case FloorAction.LOWER:
                if self._overlap is None:
                    self._overlap = _Overlap(at_s - self._watch.overlap_s, at_s)
                    self._effects.append(NoteDucked(self._newest_turn, self._overlap.onset_at_s, at_s))
                self._overlap.restored_at_s = None
                self._take_back(self._playout.lower(self._watch.rules.duck_db, now), now)
                self._feed_leg(now)
            case FloorAction.STOP:
                assert self._overlap is not None, "only a voice that was lowered is stopped"
                self._overlap.stopped_at_s = at_s
                self._take_back(self._playout.hold(now), now)
            case FloorAction.RESTORE:
                assert self._overlap is not None, "only a voice that was lowered is restored"
                self._overlap.restored_at_s = at_s
                self._take_back(self._playout.restore(now), now)
                if not self._watch.undecided:
                    self._note_overlap(OverlapEnd.KEPT, at_s)
                self._feed_leg(now)
            case FloorAction.SETTLE:
                self._note_overlap(OverlapEnd.KEPT, at_s)
            case FloorAction.RESUME:
                ledger = self._playout.ledger
                assert ledger is not None, "a held turn has a ledger"
                self._playout.resume(self._spans.word_at(ledger.played, ledger.generated), now)
                self._note_overlap(OverlapEnd.RESUMED, at_s)
                self._feed_leg(now)
            case FloorAction.GIVE:
                self._cancel(TurnEnd.BARGED_IN, now)
            case _:
                assert_never(action)

    def _take_back(self, samples: int, now: float) -> None:
        """The leg drops what it has not played; it will be given it anew."""
        self._mark_round += 1
        ledger = self._playout.ledger
        assert ledger is not None, "an open turn has a ledger"
        self._marked_samples = ledger.sent
        self._clear(now, samples)

    def _note_overlap(self, end: OverlapEnd, at_s: float) -> None:
        overlap, self._overlap = self._overlap, None
        assert overlap is not None, "an overlap has one end"
        if end is OverlapEnd.KEPT and overlap.restored_at_s is not None:
            at_s = overlap.restored_at_s
        self._effects.append(
            NoteOverlap(self._newest_turn, end, overlap.onset_at_s, overlap.ducked_at_s, overlap.stopped_at_s, at_s)
        )

    def _cancel(self, end: TurnEnd, now: float) -> None:
        """Stop the open turn now: the leg drops it, the worker learns what was heard."""
        ledger = self._playout.ledger
        if ledger is not None and ledger.sent and not self._playout.held:
            self._clear(now)
        ledger = self._close_turn(TurnEvent.CANCELLED, end, now)
        self._up(TurnCancelled(self.id, self.epoch, self._next_seq(), ledger.turn, ledger.played, end.value))

    def _close_turn(self, event: TurnEvent, end: TurnEnd, now: float) -> Ledger:
        self._turns.apply(event)
        self._watchdogs.end_turn()
        ledger = self._playout.close(now, played_out=event is TurnEvent.PLAYED_OUT)
        if self._replies.wanted:
            self._note_reply(self._replies.close(self._playout.ear_delay_s, audible=ledger.played > 0))
        if end is TurnEnd.PLAYED:
            self._played_turn = ledger.turn
        else:
            self._after_turn = None
        at_s = now - self._started_at
        stop_s, onset_at_s = self._end_overlap(end, at_s)
        words = self._spans.split(ledger.played, ledger.generated)
        totals = Playback(ledger.turn, ledger.generated, ledger.sent, ledger.played)
        self._effects.append(
            NoteTurnEnded(totals, end, words.heard, words.unheard, at_s, stop_s, onset_at_s, words.estimated)
        )
        return ledger

    def _end_overlap(self, end: TurnEnd, at_s: float) -> tuple[float | None, float | None]:
        """The turn ends. Of a barge-in: how long the voice took to stop, and when the caller began."""
        overlap = self._overlap
        if overlap is None:
            return None, None
        if end in (TurnEnd.BARGED_IN, TurnEnd.SUPERSEDED):
            self._note_overlap(OverlapEnd.YIELDED, at_s)
        else:
            self._note_overlap(OverlapEnd.PASSED if overlap.restored_at_s is None else OverlapEnd.KEPT, at_s)
        self._watch.reset()
        if end is not TurnEnd.BARGED_IN:
            return None, None
        stopped_at_s = at_s if overlap.stopped_at_s is None else overlap.stopped_at_s
        return stopped_at_s - overlap.onset_at_s, overlap.onset_at_s

    def _note_reply(self, trace: ReplyTrace | None) -> None:
        if trace is not None:
            self._effects.append(NoteReply(trace))

    def _say(self, text: str) -> None:
        """Have the worker speak an operator's words; what cannot be written as UTF-8, or spoken, is left out."""
        words = " ".join(text.encode(errors="ignore").decode().split())[:MAX_SAY_CHARS]
        if self._muted:
            self._effects.append(NoteDropped("muted"))
        elif words:
            self._up(Say(self.id, self.epoch, self._next_seq(), words))

    def _mute(self, on: bool, now: float) -> None:
        if on is self._muted:
            return
        self._muted = on
        self._effects.append(NoteMuted(on, now - self._started_at))
        if on and self._turns.has_floor:
            self._cancel(TurnEnd.MUTED, now)

    def _end_as_told(self, wish: OperatorEnded, now: float) -> None:
        if wish.action == "transfer" and not wish.arguments.get("to"):
            self._effects.append(NoteDropped("unknown_action"))
            return
        if self._turns.has_floor:
            self._effects.append(ClearAudio())
        self._effects.append(EndLeg(wish.action, wish.arguments))
        self._end(f"operator_{wish.action}", now)

    def _leave(self, now: float) -> None:
        assert self._after_turn is not None, "something to do after the turn"
        self._effects.append(self._after_turn)
        self._end(f"agent_{self._after_turn.action}", now)

    def _end(self, reason: str, now: float) -> None:
        if self._turns.has_floor:
            self._close_turn(TurnEvent.CANCELLED, TurnEnd.CALL_ENDED, now)
        self._up(CallClosed(self.id, self.epoch, self._next_seq(), reason))
        self._effects.append(NoteEnded(reason, now - self._started_at))
        self.ended = True
