"""The agent's voice in one call, pure: the open turn from its first word to what was heard of it.

It keeps the leg fed, listens for the caller over it, lowers, stops and resumes it, and gives account of its end. Who
has the floor is decided here (``turn.floor``); what follows for the worker is the call's matter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from gateway.echo.guard import EchoGuard
from gateway.effects import (
    ClearAudio,
    Effect,
    NoteDropped,
    NoteDucked,
    NoteEcho,
    NoteFirstAudio,
    NoteOverlap,
    NoteReply,
    NoteTurnEnded,
    NoteTurnOpened,
    OverlapEnd,
    ReplyTrace,
    SendAudio,
    SendMark,
    TurnEnd,
)
from gateway.seams import CallSetup
from gateway.turn.chunker import Chunk
from gateway.turn.floor import FloorAction
from gateway.turn.ledger import Ledger, NewestTurn
from gateway.turn.machine import TurnEvent, TurnMachine
from gateway.turn.overlap import OverlapWatch
from gateway.turn.playout import Playout
from gateway.turn.reply_trace import ReplyStamps
from gateway.turn.text_spans import TextSpans
from wire.ids import NO_TURN, TurnId
from wire.messages import Decision, Floor, OverlapRules, Playback, SpeechChunk

MARK_EVERY_S = 0.4  # one per chunk: the worker learns the position once per chunk anyway
MARK_GRACE_S = 2.0  # a completed turn whose last mark never returns counts as played this long after the clock says so
MAX_MARK_CHARS = 32  # of ours: a turn, a round and a count of samples


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


class AgentVoice:
    """One turn after the other. Effects go to ``emit``, in order; ``began_at`` is when the call began."""

    def __init__(
        self,
        setup: CallSetup,
        chunk_ms: int,
        began_at: float,
        rules: OverlapRules,
        echo: EchoGuard | None,
        emit: Callable[[Effect], None],
    ) -> None:
        self.newest_turn = NO_TURN
        self.played_turn = NO_TURN
        """The last one that was heard to its end."""
        self.heard_text = ""
        """What was heard of the last turn that is over, in words."""
        self._rate_hz = setup.codec.sample_rate_hz
        self._bytes_per_sample = setup.codec.bytes_per_sample
        self._marks = setup.playout.marks
        self._began_at = began_at
        self._emit = emit
        self._echo = echo
        self._turns = TurnMachine()
        self._playout = Playout(setup.codec, setup.playout, began_at)
        self._watch = OverlapWatch(setup.codec, rules)
        self._overlap: _Overlap | None = None
        self._replies = ReplyStamps(setup.codec, chunk_ms, began_at)
        self._spans = TextSpans()
        self._marked_samples = 0
        self._mark_round = 0  # grows when the leg drops what it has: the marks of that come back too
        self._cause_at: float | None = None  # completion of the chunk that opened the turn; None once audible

    @property
    def speaking(self) -> bool:
        """True while a turn is open."""
        return self._turns.has_floor

    @property
    def wanted_bytes(self) -> int:
        """How much of the caller is worth a wake-up while a turn is open."""
        return self._watch.wanted_bytes

    def takes(self, turn: TurnId) -> bool:
        """Whether more speech of ``turn`` belongs here."""
        return turn == self.newest_turn and self.speaking and not self._playout.completed

    def follow(self, rules: OverlapRules) -> None:
        """Take other rules for overlaps from now on."""
        self._watch.follow(rules)

    def measure(self, round_trip_s: float) -> None:
        """The leg told how far away the caller is."""
        self._replies.measure(round_trip_s)

    def stats(self) -> dict[str, float]:
        """Plain counts since the call began."""
        playout = self._playout
        return {
            "underruns": playout.underruns,
            "underrun_s": playout.underrun_s,
            "lost_speech_samples": playout.lost_samples,
        }

    def open(self, turn: TurnId, cause_at: float, now: float) -> None:
        """Begin a turn; none may be open. ``cause_at``: when the chunk was complete that it answers."""
        self.newest_turn = turn
        self._turns.apply(TurnEvent.OPENED)
        self._playout.open(turn)
        self._replies.open(turn)
        self._spans = TextSpans()
        self._marked_samples = self._mark_round = 0
        self._cause_at = cause_at
        self._watch.reset()
        self._emit(NoteTurnOpened(turn, now - self._began_at))

    def decide(self, decision: Decision, complete_at: float, now: float) -> None:
        """The engine speaks after the chunk that was complete at ``complete_at``."""
        self._replies.decide(decision, complete_at, now)

    def submit(self, speech: SpeechChunk, now: float) -> None:
        """More speech of the open turn. Raises BadPositionError."""
        self._playout.submit(speech.start_samples, speech.payload)
        self._spans.add(speech.start_samples, speech.text, speech.word_starts)
        self._replies.voice(now)
        self._feed_leg(now)

    def complete(self, total_samples: int, now: float) -> bool:
        """There is no more of the open turn. True when it was heard to its end already."""
        self._turns.apply(TurnEvent.COMPLETED)
        self._playout.complete(total_samples)
        self._feed_leg(now)
        return self._finish_if_played(now)

    def hear(self, chunk: Chunk, now: float) -> float:
        """A chunk of the caller is complete. Returns for how long he has been sounding over the agent, undecided."""
        self._replies.hear(chunk, now)
        overlap = self._overlap
        if overlap is None:
            return 0.0
        if overlap.asked_from is None and self._watch.undecided:
            overlap.asked_from = chunk.index
        return self._watch.overlap_s

    def listen(self, payload: bytes | bytearray, ends_at_s: float, now: float) -> bool:
        """The caller's audio up to ``ends_at_s`` of his media time, while a turn is open. True: he takes the floor."""
        if self._overlap is None and now > self._playout.audible_until():
            self._watch.reset()  # nothing to be talked over yet, or any more
            return False
        if any(self._act(action, now) for action in self._watch.push(payload, ends_at_s)):
            return True
        if self._echo is not None and self._watch.undecided and self._echo.look(now - self._began_at):
            assert self._echo.return_loss_db is not None, "an echo that was found has a level"
            self._emit(NoteEcho(self._echo.return_loss_db, now - self._began_at))
            self._act(self._watch.judge(Floor.KEEP), now)
        return False

    def judge(self, index: int, floor: Floor, now: float) -> bool:
        """The engine says, with the decision on chunk ``index``, whose turn it is. True: the caller takes the floor."""
        overlap = self._overlap
        if overlap is None or overlap.asked_from is None or index < overlap.asked_from:
            return False  # it is about an overlap that was decided without waiting
        return self._act(self._watch.judge(floor), now)

    def receive_mark(self, name: str, now: float) -> bool:
        """The leg played a mark. True when the turn was heard to its end with it."""
        numbers = name.split(":")
        if len(name) > MAX_MARK_CHARS or len(numbers) != 3 or not all(n.isdecimal() for n in numbers):
            self._emit(NoteDropped("foreign_mark"))
            return False
        turn, mark_round, samples = map(int, numbers)
        if turn != self.newest_turn or mark_round != self._mark_round or not self.speaking:
            return False  # of what was cleared: Twilio echoes it, but it was not played
        delay_s = self._playout.acknowledge(samples, now)
        if delay_s is not None and self._replies.wanted:
            self._note_reply(self._replies.played(delay_s, self._playout.ear_delay_s))
        return self._finish_if_played(now, acked_samples=samples)

    def playback(self, now: float) -> Playback | None:
        """What was generated, sent and heard of the newest turn."""
        ledger = self._playout.ledger
        if ledger is None:
            return None
        if self.speaking:
            self._playout.advance(now)
        return Playback(ledger.turn, ledger.generated, ledger.sent, ledger.played)

    def newest(self) -> NewestTurn:
        """The newest turn, for a worker that takes the call over."""
        playout = self._playout
        generated = 0 if playout.ledger is None else playout.ledger.generated
        return NewestTurn(self.newest_turn, generated, self.takes(self.newest_turn), playout.checksum)

    def interject(self, payload: bytes, now: float) -> None:
        """Play something that is of no turn, in the leg's codec, while none is open; the next one follows it."""
        at_s = self._playout.occupy(len(payload) // self._bytes_per_sample, now) / self._rate_hz
        heard_at_s = at_s + self._playout.ear_delay_s
        self._emit(SendAudio(payload, heard_at_s))
        if self._echo is not None:
            self._echo.play(payload, heard_at_s)

    def heard_so_far(self, now: float) -> str:
        """What was heard of the open turn by now, in words."""
        ledger = self._playout.advance(now)
        return self._spans.split(ledger.played, ledger.generated).heard

    def next_deadline(self) -> float | None:
        """When ``handle_deadline`` has something to do."""
        if not self.speaking:
            return None
        take = self._playout.next_take()
        if take is None and self._playout.all_sent():
            return self._played_out_at()
        return take

    def handle_deadline(self, now: float) -> bool:
        """Feed the leg. True when the turn was heard to its end."""
        if self._replies.wanted and not self._marks:
            self._note_reply(self._replies.tick(now))
        self._feed_leg(now)
        return self._finish_if_played(now)

    def cancel(self, end: TurnEnd, now: float) -> Ledger:
        """Stop the open turn now: the leg drops it."""
        ledger = self._playout.ledger
        if ledger is not None and ledger.sent and not self._playout.held:
            self._clear(now)
        return self.close(end, now)

    def close(self, end: TurnEnd, now: float) -> Ledger:
        """The open turn is over; returns what was heard of it."""
        played = end is TurnEnd.PLAYED
        self._turns.apply(TurnEvent.PLAYED_OUT if played else TurnEvent.CANCELLED)
        ledger = self._playout.close(now, played_out=played)
        if self._replies.wanted:
            self._note_reply(self._replies.close(self._playout.ear_delay_s, audible=ledger.played > 0))
        if played:
            self.played_turn = ledger.turn
        at_s = now - self._began_at
        stop_s, onset_at_s = self._end_overlap(end, at_s)
        words = self._spans.split(ledger.played, ledger.generated)
        self.heard_text = words.heard
        totals = Playback(ledger.turn, ledger.generated, ledger.sent, ledger.played)
        self._emit(NoteTurnEnded(totals, end, words.heard, words.unheard, at_s, stop_s, onset_at_s, words.estimated))
        return ledger

    def _feed_leg(self, now: float) -> None:
        while (piece := self._playout.take(now)) is not None:
            if self._cause_at is not None:
                self._replies.send(self._began_at + piece.plays_at / self._rate_hz, now)
                self._emit(NoteFirstAudio(self.newest_turn, now - self._cause_at, now - self._began_at))
                self._cause_at = None
            heard_at_s = piece.heard_at / self._rate_hz
            self._emit(SendAudio(piece.payload, heard_at_s))
            if self._echo is not None:
                self._echo.play(piece.payload, heard_at_s)
            due_samples = self._marked_samples + MARK_EVERY_S * self._rate_hz
            if self._marks and (piece.last or piece.sent_samples >= due_samples):
                self._marked_samples = piece.sent_samples
                self._emit(SendMark(f"{self.newest_turn}:{self._mark_round}:{piece.sent_samples}"))

    def _played_out_at(self) -> float:
        return self._playout.audible_until() + (MARK_GRACE_S if self._marks else 0.0)

    def _finish_if_played(self, now: float, acked_samples: int = 0) -> bool:
        """Close a completed turn once its last sample was heard, by its last mark or, much later, by the clock."""
        if not self._playout.all_sent():
            return False
        ledger = self._playout.ledger
        assert ledger is not None, "a completed turn has a ledger"
        if not acked_samples >= ledger.sent > 0 and now < self._played_out_at():
            return False
        self.close(TurnEnd.PLAYED, now)
        return True

    def _act(self, action: FloorAction, now: float) -> bool:
        """Do to the voice what the floor asks for. True: the caller takes it."""
        at_s = now - self._began_at
        match action:
            case FloorAction.NOTHING:
                pass
            case FloorAction.LOWER:
                if self._overlap is None:
                    self._overlap = _Overlap(at_s - self._watch.overlap_s, at_s)
                    self._emit(NoteDucked(self.newest_turn, self._overlap.onset_at_s, at_s))
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
                return True
            case _:
                assert_never(action)
        return False

    def _take_back(self, samples: int, now: float) -> None:
        """The leg drops what it has not played; it will be given it anew."""
        self._mark_round += 1
        ledger = self._playout.ledger
        assert ledger is not None, "an open turn has a ledger"
        self._marked_samples = ledger.sent
        self._clear(now, samples)

    def _clear(self, now: float, taken_back_samples: int = 0) -> None:
        self._emit(ClearAudio(taken_back_samples))
        if self._echo is not None:
            self._echo.clear(now - self._began_at + self._playout.ear_delay_s)

    def _note_overlap(self, end: OverlapEnd, at_s: float) -> None:
        overlap, self._overlap = self._overlap, None
        assert overlap is not None, "an overlap has one end"
        if end is OverlapEnd.KEPT and overlap.restored_at_s is not None:
            at_s = overlap.restored_at_s
        self._emit(
            NoteOverlap(self.newest_turn, end, overlap.onset_at_s, overlap.ducked_at_s, overlap.stopped_at_s, at_s)
        )

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
            self._emit(NoteReply(trace))
