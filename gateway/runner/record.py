"""What is kept of a call for its owner: decisions, turns and words, as the API shows them."""

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from gateway.effects import (
    NoteFirstAudio,
    NoteTranscript,
    NoteTurnEnded,
    TurnEnd,
)
from gateway.runner.decision_tape import DecisionTape
from gateway.seams import CallSetup
from wire.ids import CallId, TurnId, WorkerId
from wire.messages import Voice

MAX_ENTRIES = 2_000


@dataclass(frozen=True, slots=True)
class Turn:
    """How one turn of the agent went; counts in samples of the leg."""

    turn: TurnId
    generated_samples: int
    sent_samples: int
    heard_samples: int
    end: str
    first_audio_s: float | None
    stop_s: float | None


@dataclass(frozen=True, slots=True)
class Words:
    """One entry of the transcript. Of the agent's turns ``heard`` is what the caller heard, ``cut`` what he did not."""

    voice: str
    text: str
    turn: TurnId
    at_s: float
    heard: str | None = None
    cut: str | None = None


@dataclass(slots=True)
class CallRecord:
    """Grows while the call lives; bounded, so that an endless call cannot fill the memory."""

    call: CallId
    setup: CallSetup
    worker: WorkerId
    engine: str
    started_unix_s: float
    state: str = "live"
    direction: str = "inbound"
    answered_by: str | None = None
    """Of a call that we placed: human, machine or unknown, as far as its first words tell."""
    outcome: str | None = None
    duration_s: float | None = None
    after: tuple[str, dict[str, str]] = ("hangup", {})
    decisions: DecisionTape = field(default_factory=DecisionTape)
    turns: deque[Turn] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    words: deque[Words] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    _first_audio: dict[TurnId, float] = field(default_factory=dict)

    def note_first_audio(self, note: NoteFirstAudio) -> None:
        self._first_audio[note.turn] = note.latency_s

    def note_turn(self, note: NoteTurnEnded) -> None:
        ledger = note.ledger
        first_audio_s = self._first_audio.pop(ledger.turn, None)
        self.turns.append(
            Turn(
                ledger.turn,
                ledger.generated,
                ledger.sent,
                ledger.played,
                note.end.value,
                first_audio_s,
                note.stop_s,
            )
        )
        said = f"{note.text_heard} {note.text_unheard}".strip()
        cut = note.text_unheard if note.end is not TurnEnd.PLAYED else ""
        self.words.append(Words(Voice.AGENT.value, said, ledger.turn, note.at_s, note.text_heard, cut))

    def note_transcript(self, note: NoteTranscript) -> None:
        """Keep the caller's words; the agent's are noted when its turn ends, with what was heard of them."""
        if note.transcript.voice is Voice.CALLER:
            self.words.append(Words(Voice.CALLER.value, note.transcript.text, note.transcript.turn, note.at_s))

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
            "turns": [asdict(turn) for turn in self.turns],
            "decisions": list(self.decisions),
        }
