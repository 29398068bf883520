"""One call, composed and pure: media, events and ``now`` in, effects out.

Every input is followed by draining ``poll()`` to None. A call never sleeps, logs or reads a
clock, which makes an hour-long call a test of seconds and a recorded one replayable.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from gateway.agent_voice import AgentVoice
from gateway.echo.guard import EchoGuard
from gateway.effects import (
    ClearAudio,
    Effect,
    EndLeg,
    NoteAlarm,
    NoteDecision,
    NoteDropped,
    NoteEnded,
    NoteKey,
    NoteMuted,
    NoteSound,
    NoteTranscript,
    NoteTranslation,
    SendKeys,
    TurnEnd,
)
from gateway.events import (
    BusAway,
    BusBack,
    CallEvent,
    GatewayStopping,
    KeyPressed,
    LegAway,
    LegBack,
    LegEnded,
    LegMeasured,
    MarkPlayed,
    Moved,
    OperatorEnded,
    OperatorMuted,
    OperatorSaid,
    WorkerGone,
    WorkerSaid,
    is_keys,
)
from gateway.resumption import VERSION, Resumption
from gateway.seams import CallSetup
from gateway.serving import DRAINING, Patience, Serving
from gateway.turn.chunk_speech import ChunkSpeech
from gateway.turn.chunker import Chunk, Chunker
from gateway.turn.playout import BadPositionError
from gateway.turn.recap import Recap
from gateway.turn.watchdog import Alarm, WatchdogLimits, Watchdogs
from wire.bus.seam import Lease
from wire.ids import NO_TURN, GatewayId, TurnId, WorkerId
from wire.messages import (
    MAX_SAY_CHARS,
    AudioChunk,
    CallClosed,
    CallFailed,
    CallRules,
    Decision,
    DecisionKind,
    DownMessage,
    Dtmf,
    OverlapRules,
    Say,
    Snapshot,
    SoundEvent,
    SpeechChunk,
    ToolCall,
    Transcript,
    Translation,
    TurnCancelled,
    TurnDone,
    Voice,
    WorkerBeat,
    WorkerDraining,
)

_ENDS_TURN = {
    Alarm.NEVER_YIELDS: TurnEnd.BARGED_IN,
    Alarm.TOO_LONG: TurnEnd.RUNAWAY,
    Alarm.LOOPS: TurnEnd.RUNAWAY,
}
"""What becomes of the turn a watchdog barks at. Dead air is counted; an engine that never speaks fails the call."""
AGENT_ACTIONS = frozenset({"hangup", "transfer", "voicemail"})
_FAILS_ANYWHERE = frozenset({"unknown_agent"})
"""Why a worker may refuse a call that no other worker would serve either."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds of one call.

    ``media_timeout_s``: without audio for this long the leg counts as dead. ``patience_s``: without a worker for this
    long, or without a bus for ``away_patience_s``, the caller is told rather than left in silence; after
    ``hold_after_s`` of it the hold clip is played. ``log_s``: so much of the call can be replayed to another worker.
    ``watchdogs``: of engines that decide, and yet do a caller no good.
    """

    media_timeout_s: float = 4.5  # noticed within 5 s: media is looked at once per chunk
    max_duration_s: float = 3_600.0
    patience_s: float = 10.0  # nobody waits longer for an answer
    away_patience_s: float = 60.0  # every call would end at once: who hangs up is the caller's choice
    hold_after_s: float = 2.0  # shorter than the silence after which callers ask whether anybody is there
    log_s: float = 60.0  # half a megabyte of a telephone's sound, where an engine takes no snapshots
    watchdogs: WatchdogLimits = field(default_factory=WatchdogLimits)


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
        resumed: Resumption | None = None,
        hold_clip: bytes = b"",
    ) -> None:
        """``resumed``: what is known of the call from the gateway that had it before.

        ``hold_clip``: what the caller hears, in the leg's codec, when nobody serves the call for a while.
        """
        self.id = lease.call
        self.setup = setup
        self.ended = False
        self._bytes_per_sample = setup.codec.bytes_per_sample
        self._limits = limits or CallLimits()
        self._started_at = now
        self._media_at = now
        self._effects: deque[Effect] = deque()
        self._chunker = Chunker(setup.codec, lease.chunk_ms, lease.first_chunk_ms)
        self._echo = echo
        self._voice = AgentVoice(setup, lease.chunk_ms, now, rules or OverlapRules(), echo, self._effects.append)
        self._chunk_speech = ChunkSpeech(setup.codec)
        self._watchdogs = Watchdogs(self._limits.watchdogs)
        self._muted = False
        self._away = False
        self._after_turn: EndLeg | None = None
        self._received_samples = 0
        self._recap = Recap()
        self._serving = Serving(
            lease,
            gateway,
            setup,
            now,
            Patience(self._limits.patience_s, self._limits.away_patience_s),
            self._limits.log_s,
            self._effects.append,
            resumed,
        )
        self._turn_text = ""
        self._hold_clip = hold_clip
        self._held_since: float | None = None
        """Of the last time that nobody served the call, and the caller was told so."""
        if resumed is not None:
            self._resume(resumed, now)

    @property
    def epoch(self) -> int:
        """Grows with every worker that takes the call over."""
        return self._serving.epoch

    @property
    def worker(self) -> WorkerId:
        """Who serves the call now."""
        return self._serving.worker

    @property
    def seeking(self) -> bool:
        """Whether another worker is wanted."""
        return self._serving.seeking

    @property
    def speaking(self) -> bool:
        """Whether a turn of the agent is open."""
        return self._voice.speaking

    def resumption(self, now: float) -> Resumption:
        """What another gateway would need to go on with the call."""
        setup, unsaid = self.setup, ""
        if self._voice.speaking:
            heard = len(self._voice.heard_so_far(now).split())
            unsaid = " ".join(self._turn_text.split()[heard:])
        return Resumption(
            VERSION,
            self._serving.epoch,
            self._voice.newest_turn,
            self._serving.state,
            self._recap.lines,
            unsaid,
            setup.agent,
            setup.caller,
            setup.callee,
            dict(setup.variables),
        )

    def _resume(self, resumed: Resumption, now: float) -> None:
        """Go on with the words that the caller had not heard when the other gateway went away."""
        self._voice.newest_turn = TurnId(resumed.turn)
        for line in resumed.said:
            self._recap.add(line.voice, line.text)
        self._say(resumed.unsaid, now)

    @property
    def wanted_bytes(self) -> int:
        """How much media makes a wake-up worthwhile: some frames while the agent is audible, else a whole chunk."""
        missing_bytes = self._chunker.missing_bytes
        if self._voice.speaking:
            overlap_bytes = self._voice.wanted_bytes
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
        ends_at_s = self._received_samples / self.setup.codec.sample_rate_hz
        if self._voice.speaking and self._voice.listen(payload, ends_at_s, now):
            self._cancel(TurnEnd.BARGED_IN, now)
        for chunk in self._chunker.push(payload):
            self._send_chunk(chunk, now)

    def receive(self, event: CallEvent, now: float) -> None:
        """Take one event."""
        if self.ended:
            return
        match event:
            case WorkerSaid(message):
                self._receive_worker(message, now)
            case WorkerGone(reason):
                self._seek(reason, now)
            case Moved(lease):
                self._move(lease, now)
            case BusAway():
                self._serving.suspend(now)
            case BusBack():
                self._serving.resume(now)
            case MarkPlayed(name):
                if self._voice.receive_mark(name, now):
                    self._note_played(now)
            case KeyPressed(digit):
                self._effects.append(NoteKey(digit, now - self._started_at))
                self._serving.send(Dtmf(*self._serving.stamp(), digit, self._received_samples), now)
            case LegAway():
                self._away = True
                if self._voice.speaking:
                    self._cancel(TurnEnd.LEG_LOST, now)
            case LegBack():
                self._away = False
            case LegEnded(reason):
                self._end(reason, now)
            case GatewayStopping(reason):
                self._effects.append(EndLeg("hangup"))
                self._end(reason, now)
            case LegMeasured(round_trip_s):
                self._voice.measure(round_trip_s)
            case OperatorSaid(text):
                self._say(text, now)
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
        elif self._serving.hopeless(now):
            self._give_up(now)
        elif self._bark(self._watchdogs.bark(now), now):
            pass
        else:
            self._serving.handle_deadline(now)
            hold_at = self._hold_at()
            if hold_at is not None and now >= hold_at:
                self._held_since = self._serving.waiting_since
                self._voice.interject(self._hold_clip, now)
            if self._voice.speaking and self._voice.handle_deadline(now):
                self._note_played(now)

    def next_deadline(self) -> float | None:
        """When ``handle_deadline`` has something to do; None once the call has ended."""
        if self.ended:
            return None
        due = min(self._media_at + self._limits.media_timeout_s, self._started_at + self._limits.max_duration_s)
        owed = self._serving.next_deadline()
        if owed is not None:
            due = min(due, owed)
        hold_at = self._hold_at()
        if hold_at is not None:
            due = min(due, hold_at)
        bark = self._watchdogs.next_deadline()
        if bark is not None:
            due = min(due, bark)
        voice = self._voice.next_deadline()
        return due if voice is None else min(due, voice)

    def poll(self) -> Effect | None:
        """The next effect, None when all are drained."""
        return self._effects.popleft() if self._effects else None

    def stats(self) -> dict[str, float]:
        """Plain counts since the call began."""
        return {
            "received_samples": self._received_samples,
            "undecided_chunks": self._serving.undecided,
            "missing_decisions": self._serving.missing_decisions,
            **self._voice.stats(),
        }

    def abandon(self) -> CallClosed:
        """Give the call up after a fault of ours; returns the worker's notice. Nothing else of it can be trusted."""
        self.ended = True
        self._effects.clear()
        return CallClosed(*self._serving.stamp(), "fault")

    def _send_chunk(self, chunk: Chunk, now: float) -> None:
        chunk_s = len(chunk.payload) / self._bytes_per_sample / self.setup.codec.sample_rate_hz
        self._watchdogs.hear(speech=self._chunk_speech.is_in(chunk.payload), begin_at=now - chunk_s, now=now)
        overlap_s = self._voice.hear(chunk, now)
        playback = self._voice.playback(now)
        stamp = self._serving.stamp()
        self._serving.send_chunk(
            AudioChunk(*stamp, chunk.index, chunk.start_samples, 0.0, chunk.payload, playback, overlap_s), now
        )

    def _receive_worker(self, message: DownMessage, now: float) -> None:
        if message.epoch != self._serving.epoch:
            self._effects.append(NoteDropped("epoch"))
            return
        match message:
            case Decision():
                self._receive_decision(message, now)
            case SpeechChunk():
                if self._open_turn(message.turn, now):
                    self._receive_speech(message, now)
            case TurnDone():
                if self._open_turn(message.turn, now) and self._voice.complete(message.total_samples, now):
                    self._note_played(now)
            case Transcript():
                self._serving.told()
                if message.voice is Voice.CALLER:
                    self._recap.add(message.voice, message.text)
                else:
                    self._turn_text = message.text
                self._effects.append(NoteTranscript(message, now - self._started_at))
            case ToolCall():
                self._serving.told()
                self._receive_tool_call(message, now)
            case CallFailed(reason=reason):
                if reason in _FAILS_ANYWHERE:
                    self._give_up(now, "worker_failed")
                else:
                    self._seek(reason, now)
            case Snapshot():
                self._serving.keep(message)
            case WorkerDraining():
                self._seek(DRAINING, now)
            case CallRules(overlap=rules):
                self._voice.follow(rules)
            case Translation():
                self._serving.told()
                self._effects.append(NoteTranslation(message, now - self._started_at))
            case SoundEvent():
                self._serving.told()
                self._effects.append(NoteSound(message, now - self._started_at))
            case WorkerBeat():
                pass  # for the hub; it does not change who speaks
            case _:
                assert_never(message)

    def _receive_speech(self, speech: SpeechChunk, now: float) -> None:
        try:
            self._voice.submit(speech, now)
        except BadPositionError:
            self._effects.append(NoteDropped("bad_position"))
            return
        self._bark(self._watchdogs.say(speech.text), now)

    def _receive_tool_call(self, call: ToolCall, now: float) -> None:
        if call.name == "send_keys" and is_keys(call.arguments.get("keys", "")):
            self._effects.append(SendKeys(call.arguments["keys"]))
        elif call.name not in AGENT_ACTIONS or (call.name == "transfer" and not call.arguments.get("to")):
            self._effects.append(NoteDropped("unknown_action"))
        elif call.turn != NO_TURN and call.turn == self._voice.newest_turn and self._voice.speaking:
            self._after_turn = EndLeg(call.name, call.arguments)
        elif call.turn == NO_TURN or call.turn == self._voice.played_turn:
            self._after_turn = EndLeg(call.name, call.arguments)
            self._leave(now)
        else:
            self._effects.append(NoteDropped("old_turn"))

    def _receive_decision(self, decision: Decision, now: float) -> None:
        complete_at = self._serving.answered(decision, now)
        if complete_at is None:
            return
        self._effects.append(NoteDecision(decision, now - complete_at, now - self._started_at))
        if decision.kind is DecisionKind.SPEAK:
            if decision.turn > self._voice.newest_turn:
                self._open_turn(decision.turn, now, complete_at)
            self._voice.decide(decision, complete_at, now)
        if decision.floor is not None and self._voice.judge(decision.index, decision.floor, now):
            self._cancel(TurnEnd.BARGED_IN, now)

    def _bark(self, alarms: Sequence[Alarm], now: float) -> bool:
        """Do what belongs to each alarm; True when there was one."""
        for alarm in alarms:
            self._effects.append(NoteAlarm(alarm.value, now - self._started_at))
            if alarm is Alarm.NEVER_SPEAKS:
                self._give_up(now, "never_spoke")
            elif alarm in _ENDS_TURN and self._voice.speaking:
                self._cancel(_ENDS_TURN[alarm], now)
        return bool(alarms)

    def _open_turn(self, turn: TurnId, now: float, cause_at: float | None = None) -> bool:
        """Make sure ``turn`` is the open one; False, and a counted drop, when it is over already."""
        voice = self._voice
        if turn > voice.newest_turn:
            if voice.speaking:
                self._cancel(TurnEnd.SUPERSEDED, now)
            voice.open(turn, now if cause_at is None else cause_at, now)
            self._watchdogs.open_turn(now)
            if self._muted or self._away:
                self._cancel(TurnEnd.MUTED if self._muted else TurnEnd.LEG_LOST, now)
                return False
            return True
        if voice.takes(turn):
            return True
        self._effects.append(NoteDropped("old_turn"))
        return False

    def _cancel(self, end: TurnEnd, now: float) -> None:
        """Stop the open turn now: the leg drops it, the worker learns what was heard."""
        ledger = self._voice.cancel(end, now)
        self._after_turn = None
        self._end_turn()
        self._serving.send(TurnCancelled(*self._serving.stamp(), ledger.turn, ledger.played, end.value), now)

    def _note_played(self, now: float) -> None:
        """The open turn was heard to its end."""
        self._end_turn()
        if self._after_turn is not None:
            self._leave(now)

    def _end_turn(self) -> None:
        self._watchdogs.end_turn()
        self._recap.add(Voice.AGENT, self._voice.heard_text)

    def _hold_at(self) -> float | None:
        """When the caller is to be told that it takes a moment; None when there is no reason, or he was told."""
        since = self._serving.waiting_since
        if since is None or since == self._held_since or not self._hold_clip or self._voice.speaking:
            return None
        return since + self._limits.hold_after_s

    def _seek(self, reason: str, now: float) -> None:
        """Another worker is wanted; the caller is told when that is in vain."""
        self._serving.seek(reason, now)
        if self._serving.hopeless(now):
            self._give_up(now)

    def _move(self, lease: Lease, now: float) -> None:
        self._serving.move(lease, self._voice.newest(), self._recap.lines, now)

    def _give_up(self, now: float, reason: str = "worker_lost") -> None:
        self._effects.append(EndLeg("failed"))
        self._end(reason, now)

    def _say(self, text: str, now: float) -> None:
        """Have the worker speak an operator's words; what cannot be written as UTF-8, or spoken, is left out."""
        words = " ".join(text.encode(errors="ignore").decode().split())[:MAX_SAY_CHARS]
        if self._muted:
            self._effects.append(NoteDropped("muted"))
        elif words:
            self._serving.send(Say(*self._serving.stamp(), words), now)

    def _mute(self, on: bool, now: float) -> None:
        if on is self._muted:
            return
        self._muted = on
        self._effects.append(NoteMuted(on, now - self._started_at))
        if on and self._voice.speaking:
            self._cancel(TurnEnd.MUTED, now)

    def _end_as_told(self, wish: OperatorEnded, now: float) -> None:
        if wish.action == "transfer" and not wish.arguments.get("to"):
            self._effects.append(NoteDropped("unknown_action"))
            return
        if self._voice.speaking:
            self._effects.append(ClearAudio())
        self._effects.append(EndLeg(wish.action, wish.arguments))
        self._end(f"operator_{wish.action}", now)

    def _leave(self, now: float) -> None:
        assert self._after_turn is not None, "something to do after the turn"
        self._effects.append(self._after_turn)
        self._end(f"agent_{self._after_turn.action}", now)

    def _end(self, reason: str, now: float) -> None:
        if self._voice.speaking:
            self._voice.close(TurnEnd.CALL_ENDED, now)
        self._serving.send(CallClosed(*self._serving.stamp(), reason), now)
        self._effects.append(NoteEnded(reason, now - self._started_at))
        self.ended = True
