"""What is kept of a call for its owner: decisions, turns, words, levels, as the API and the console show them."""

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from gateway.effects import (
    ClearAudio,
    Effect,
    NoteAlarm,
    NoteDecision,
    NoteEcho,
    NoteEnded,
    NoteFirstAudio,
    NoteKey,
    NoteMissing,
    NoteMoved,
    NoteMuted,
    NoteOverlap,
    NoteReply,
    NoteSound,
    NoteTranscript,
    NoteTranslation,
    NoteTurnEnded,
    NoteTurnOpened,
    SendAudio,
    SendUp,
    TurnEnd,
)
from gateway.runner.decision_tape import DecisionTape
from gateway.runner.levels import STEP_S, LevelTape
from gateway.runner.media_clock import MediaClock
from gateway.seams import CallSetup, LegQuality
from wire.ids import CallId, TurnId, WorkerId
from wire.messages import AudioChunk, Voice

MAX_ENTRIES = 2_000
_LATENCIES_KEPT = 200  # replies; what the percentile of a live call is drawn from


@dataclass(frozen=True, slots=True)
class Turn:
    """How one turn of the agent went; counts in samples of the leg, times in seconds of the call."""

    turn: TurnId
    generated_samples: int
    sent_samples: int
    heard_samples: int
    end: str
    first_audio_s: float | None
    stop_s: float | None
    ended_at_s: float = 0.0
    opened_at_s: float | None = None
    audible_at_s: float | None = None
    onset_at_s: float | None = None
    """Of a barge-in: when the caller began."""


@dataclass(frozen=True, slots=True)
class Words:
    """One entry of the transcript. Of the agent's turns ``heard`` is what the caller heard, ``cut`` what he did not."""

    voice: str
    text: str
    turn: TurnId
    at_s: float
    heard: str | None = None
    cut: str | None = None
    began_at_s: float | None = None
    """Of the agent's turns: when they became audible; ``at_s`` is their end."""
    estimated: bool = False
    """The voice did not tell where its words are: ``heard`` may be off by a word or two."""


@dataclass(slots=True)
class OpenTurn:
    """The turn that has the floor."""

    turn: TurnId
    opened_at_s: float | None = None
    audible_at_s: float | None = None
    first_audio_s: float | None = None
    sent_samples: int = 0
    sent_until_s: float = 0.0
    """When the caller will have heard all that the leg was given."""
    text: str | None = None
    """All that the turn will say, once the worker has told."""

    @property
    def began_at_s(self) -> float | None:
        """When the caller began to hear it, or before that when it was opened."""
        return self.opened_at_s if self.audible_at_s is None else self.audible_at_s


@dataclass(frozen=True, slots=True)
class ShadowDecision:
    """What an engine that listened along would have done after chunk ``index``, and what was done."""

    index: int
    at_s: float
    kind: str
    shadow_kind: str


@dataclass(slots=True)
class CallRecord:
    """Grows while the call lives; bounded, so that an endless call cannot fill the memory."""

    call: CallId
    setup: CallSetup
    worker: WorkerId
    engine: str
    started_unix_s: float
    state: str = "live"
    chunk_ms: tuple[int, int] = (400, 400)
    """Lengths of the engine's chunks, and of the first one."""
    direction: str = "inbound"
    answered_by: str | None = None
    """Of a call that we placed: human, machine or unknown, as far as its first words tell."""
    outcome: str | None = None
    duration_s: float | None = None
    alarms: list[str] = field(default_factory=list)
    """What watchdogs barked at, in order."""
    echo_return_loss_db: float | None = None
    """How far the echo of the agent's voice lay below it; None where the line sent none back."""
    after: tuple[str, dict[str, str]] = ("hangup", {})
    recorded: bool = False
    """Its sound is being kept, or was."""
    muted: bool = False
    chunk_s: float = 0.4
    """Length of the last chunk: a decision that is older than this when it comes is late."""
    interruptions: int = 0
    p95_first_audio_s: float | None = None
    decisions: DecisionTape = field(default_factory=DecisionTape)
    turns: deque[Turn] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    words: deque[Words] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    overlaps: deque[NoteOverlap] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    replies: deque[NoteReply] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    missing: deque[NoteMissing] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    moves: deque[NoteMoved] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    """Other workers that took the call over."""
    shadow_engine: str = ""
    """The engine that listened along; empty for none."""
    shadow_decisions: int = 0
    shadow_differences: deque[ShadowDecision] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    translations: deque[NoteTranslation] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    sounds: deque[NoteSound] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    mutes: deque[NoteMuted] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    keys: deque[NoteKey] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    qualities: deque[tuple[float, LegQuality]] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    """What the leg measured, and when."""
    open_turn: OpenTurn | None = None
    levels: dict[Voice, LevelTape] = field(init=False)
    """On the clock of the call, as everything else here."""
    _media_clock: MediaClock = field(init=False)
    _media_offset_s: float = 0.0
    _latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES_KEPT))

    def __post_init__(self) -> None:
        codec = self.setup.codec
        self.levels = {voice: LevelTape(codec) for voice in (Voice.CALLER, Voice.AGENT)}
        self._media_clock = MediaClock(codec.sample_rate_hz)

    def note(self, effect: Effect) -> None:
        """Keep what is worth keeping of an effect."""
        take = _NOTES.get(type(effect))
        if take is not None:
            take(self, effect)

    def note_quality(self, at_s: float, quality: LegQuality) -> None:
        self.qualities.append((at_s, quality))

    def note_shadow(self, both: ShadowDecision) -> None:
        """Two engines decided on the same chunk."""
        self.shadow_decisions += 1
        if both.kind != both.shadow_kind:
            self.shadow_differences.append(both)

    def as_json(self) -> dict[str, Any]:
        """The body of ``GET /api/calls/{call}``."""
        return {
            "call": self.call,
            "door": self.setup.door,
            "direction": self.direction,
            "state": self.state,
            "answered_by": self.answered_by,
            "outcome": self.outcome,
            "agent": self.setup.agent,
            "engine": self.engine,
            "worker": self.worker,
            "started_unix_s": self.started_unix_s,
            "duration_s": self.duration_s,
            "transcript": [asdict(words) for words in self.words],
            "translations": [
                {"at_s": note.at_s, "text": note.translation.text, "language": note.translation.language}
                for note in self.translations
            ],
            "sounds": [
                {"at_s": note.at_s, "name": note.sound.name, "probability": note.sound.probability}
                for note in self.sounds
            ],
            "turns": [asdict(turn) for turn in self.turns],
            "moves": [asdict(move) for move in self.moves],
            "shadow": {
                "engine": self.shadow_engine,
                "decisions": self.shadow_decisions,
                "differences": [asdict(difference) for difference in self.shadow_differences],
            }
            if self.shadow_engine
            else None,
            "alarms": self.alarms,
            "echo_return_loss_db": self.echo_return_loss_db,
            "overlaps": [asdict(overlap) for overlap in self.overlaps],
            "decisions": list(self.decisions),
        }

    def _note_up(self, effect: SendUp) -> None:
        chunk = effect.message
        if isinstance(chunk, AudioChunk):
            codec = self.setup.codec
            samples = len(chunk.payload) // codec.bytes_per_sample
            self.chunk_s = samples / codec.sample_rate_hz
            self._media_clock.chunk_sent(chunk.index, chunk.start_samples + samples)
            offset_s = self._media_clock.offset_s
            if abs(offset_s - self._media_offset_s) > STEP_S / 2:  # not with every millisecond of jitter
                self._media_offset_s = offset_s
            start_samples = chunk.start_samples + round(self._media_offset_s * codec.sample_rate_hz)
            self.levels[Voice.CALLER].push(max(0, start_samples), chunk.payload)
            self._measure()

    def _measure(self) -> None:
        for tape in self.levels.values():
            tape.measure()

    def _note_decision(self, note: NoteDecision) -> None:
        self.decisions.append(note)
        self._media_clock.chunk_complete(note.decision.index, note.at_s - note.latency_s)

    def _note_audio(self, effect: SendAudio) -> None:
        rate_hz = self.setup.codec.sample_rate_hz
        start = round(effect.at_s * rate_hz)
        self.levels[Voice.AGENT].push(start, effect.payload)
        turn = self.open_turn
        if turn is not None:
            samples = len(effect.payload) // self.setup.codec.bytes_per_sample
            turn.sent_samples += samples
            turn.sent_until_s = effect.at_s + samples / rate_hz

    def _note_cleared(self, effect: ClearAudio) -> None:
        turn = self.open_turn
        if turn is not None and effect.taken_back_samples:
            rate_hz = self.setup.codec.sample_rate_hz
            turn.sent_samples -= effect.taken_back_samples
            turn.sent_until_s -= effect.taken_back_samples / rate_hz
            self.levels[Voice.AGENT].cut(round(turn.sent_until_s * rate_hz))

    def _note_opened(self, note: NoteTurnOpened) -> None:
        self.open_turn = OpenTurn(note.turn, note.at_s)

    def _note_first_audio(self, note: NoteFirstAudio) -> None:
        turn = self.open_turn
        if turn is not None and turn.turn == note.turn:
            turn.audible_at_s = note.at_s
            turn.first_audio_s = note.latency_s
        self._latencies_s.append(note.latency_s)
        self.p95_first_audio_s = percentile(self._latencies_s, 0.95)

    def _note_turn_ended(self, note: NoteTurnEnded) -> None:
        ledger = note.ledger
        turn = self.open_turn
        if turn is None or turn.turn != ledger.turn:
            turn = OpenTurn(ledger.turn)
        self.open_turn = None
        self.turns.append(
            Turn(
                ledger.turn,
                ledger.generated,
                ledger.sent,
                ledger.played,
                note.end.value,
                turn.first_audio_s,
                note.stop_s,
                note.at_s,
                turn.opened_at_s,
                turn.audible_at_s,
                note.onset_at_s,
            )
        )
        self.interruptions += note.end is TurnEnd.BARGED_IN
        heard = note.text_heard
        said = f"{heard} {note.text_unheard}".strip()
        cut = note.text_unheard if note.end is not TurnEnd.PLAYED else ""
        self.words.append(
            Words(Voice.AGENT.value, said, ledger.turn, note.at_s, heard, cut, turn.began_at_s, note.estimated)
        )
        if ledger.played < ledger.sent and turn.sent_samples > 0:
            rate_hz = self.setup.codec.sample_rate_hz
            self.levels[Voice.AGENT].cut(round(turn.sent_until_s * rate_hz) - (ledger.sent - ledger.played))

    def _note_transcript(self, note: NoteTranscript) -> None:
        """The agent's words are kept when his turn ends, with what was heard of them."""
        transcript = note.transcript
        if transcript.voice is Voice.CALLER:
            self.words.append(Words(Voice.CALLER.value, transcript.text, transcript.turn, note.at_s))
        elif self.open_turn is not None and self.open_turn.turn == transcript.turn:
            self.open_turn.text = transcript.text

    def _note_alarm(self, note: NoteAlarm) -> None:
        if len(self.alarms) < MAX_ENTRIES:
            self.alarms.append(note.alarm)

    def _note_echo(self, note: NoteEcho) -> None:
        self.echo_return_loss_db = round(note.return_loss_db, 1)

    def _note_moved(self, note: NoteMoved) -> None:
        self.worker = note.worker
        self.moves.append(note)

    def _note_muted(self, note: NoteMuted) -> None:
        self.muted = note.on
        self.mutes.append(note)


def percentile(values_s: deque[float], share: float) -> float:
    """The smallest of the values that at least ``share`` of them do not exceed."""
    ordered = sorted(values_s)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


_NOTES: dict[type[Any], Callable[[CallRecord, Any], None]] = {
    SendAudio: CallRecord._note_audio,
    ClearAudio: CallRecord._note_cleared,
    SendUp: CallRecord._note_up,
    NoteDecision: CallRecord._note_decision,
    NoteTurnOpened: CallRecord._note_opened,
    NoteFirstAudio: CallRecord._note_first_audio,
    NoteTurnEnded: CallRecord._note_turn_ended,
    NoteTranscript: CallRecord._note_transcript,
    NoteTranslation: lambda record, note: record.translations.append(note),
    NoteSound: lambda record, note: record.sounds.append(note),
    NoteOverlap: lambda record, note: record.overlaps.append(note),
    NoteEcho: CallRecord._note_echo,
    NoteAlarm: CallRecord._note_alarm,
    NoteReply: lambda record, note: record.replies.append(note),
    NoteMissing: lambda record, note: record.missing.append(note),
    NoteMoved: CallRecord._note_moved,
    NoteMuted: CallRecord._note_muted,
    NoteKey: lambda record, note: record.keys.append(note),
    NoteEnded: lambda record, note: record._measure(),
}
