"""What the agent says in one call: turns in a row, each given to a voice part by part, and to the gateway when due."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from model_worker.duplex.cascade.seam import StreamingTts, VoicePiece, VoiceWish
from model_worker.duplex.cascade.turn import SpokenTurn
from model_worker.duplex.remote.effects import SessionFault
from model_worker.seams import Speech
from wire.ids import NO_TURN, CallId, TurnId

STALLED_CHUNKS = 15  # 6 s: a turn of which nothing more is heard for so long was lost on the way
LATE_CHUNKS = 10  # 4 s without a sound of a part that a voice was asked for: the line is dead to the caller by then


@dataclass(frozen=True, slots=True)
class Told:
    """What goes out of the open turn now."""

    turn: TurnId
    speech: list[Speech]
    done: SpokenTurn | None = None
    """It is over with this."""


@dataclass(frozen=True, slots=True)
class PartOver:
    """A voice has said a part, or ``fault`` tells why not all of it."""

    spare: bool
    fault: SessionFault | None = None


@dataclass(slots=True)
class _Part:
    """What a voice is saying."""

    turn: SpokenTurn
    number: int
    spare: bool
    waited_chunks: int = 0
    """Since its last sound."""


class Speaker:
    """``spare``: the voice of this machine, for turns that ask for it and where ``tts`` has failed."""

    def __init__(self, call: CallId, tts: StreamingTts, spare: StreamingTts, newest_turn: TurnId) -> None:
        self.newest_turn = newest_turn
        self.turns: deque[SpokenTurn] = deque()
        """Sure to be said, not yet played to their end, oldest first."""
        self.draft: SpokenTurn | None = None
        """One that is prepared, and may never be said."""
        self._call = call
        self._tts = tts
        self._spare = spare
        self._part: _Part | None = None
        self._parts = 0
        self._unheard_chunks = 0

    @property
    def head(self) -> SpokenTurn | None:
        return self.turns[0] if self.turns else None

    @property
    def audible(self) -> bool:
        """The caller hears the agent, or is about to."""
        return bool(self.turns) and not self.turns[0].silent

    @property
    def stalled(self) -> bool:
        """What was given of the head is not being played: the gateway has no such turn."""
        return self._unheard_chunks >= STALLED_CHUNKS

    def follow(self, playback_s: tuple[TurnId, float]) -> None:
        """Note what was heard by the end of a chunk; a turn that was heard to its end is over."""
        head = self.head
        if head is None:
            return
        turn, heard_s = playback_s
        heard_more = head.turn == turn and turn != NO_TURN and head.hear(heard_s)
        self._unheard_chunks = 0 if heard_more or head.all_heard else self._unheard_chunks + 1
        if head.told_done and head.played:
            self.turns.popleft()
            self._unheard_chunks = 0

    def wait(self) -> PartOver | None:
        """One more chunk; a part of which nothing came for too long has failed, and the spare voice says it."""
        part = self._part
        if part is None or part.spare:
            return None
        part.waited_chunks += 1
        if part.waited_chunks < LATE_CHUNKS:
            return None
        self._tts.cancel(self._call)
        return self._part_over(part, SessionFault.TOO_SLOW)

    def remove(self, turn: SpokenTurn) -> None:
        """Say no more of it."""
        turn.cut()
        if turn is self.head:
            self._unheard_chunks = 0
        self.turns = deque(other for other in self.turns if other is not turn)
        if self.draft is turn:
            self.draft = None
        if self._part is not None and self._part.turn is turn:
            (self._spare if self._part.spare else self._tts).cancel(self._call)
            self._part = None

    def silence(self) -> None:
        """Say nothing more of anything."""
        for turn in [*self.turns, *([self.draft] if self.draft else [])]:
            self.remove(turn)

    def pump(self, spare_wish: VoiceWish) -> None:
        """Give a voice the next part that is due, if none is being said."""
        if self._part is not None:
            return
        for turn in self._in_order():
            if (text := turn.next_part()) is not None:
                self._parts += 1
                self._part = _Part(turn, self._parts, turn.spare)
                if turn.spare:
                    self._spare.ask(self._call, self._parts, text, spare_wish)
                else:
                    self._tts.ask(self._call, self._parts, text, turn.wish)
                return

    def take(self, piece: VoicePiece) -> PartOver | None:
        """A voice has something. What it has not said, where it failed, the spare voice says."""
        part = self._part
        if part is None or piece.part != part.number:
            return None
        part.waited_chunks = 0
        part.turn.sound(piece.pcm, piece.words, exact_words=piece.exact_words)
        return self._part_over(part, piece.fault) if piece.done else None

    def tell(self, *, held: bool) -> Told | None:
        """What there is to say now; nothing of a turn that has not begun while it is ``held``."""
        while (head := self.head) is not None:
            if head.told_done or (held and head.silent and not head.fixed):
                return None
            speech = head.speak()
            if head.silent and head.done:  # no voice made a sound of it
                self.turns.popleft()
                continue
            if speech and head.turn == NO_TURN:
                self.newest_turn = head.turn = TurnId(self.newest_turn + 1)
            if not speech and not head.done:
                return None
            head.told_done = head.done
            return Told(head.turn, speech, head if head.done else None)
        return None

    def close(self) -> None:
        self._tts.cancel(self._call)
        self._spare.cancel(self._call)

    def _part_over(self, part: _Part, fault: SessionFault | None) -> PartOver:
        self._part = None
        if fault is None:
            part.turn.part_over()
        elif part.spare:
            part.turn.cut()  # nobody is left who could say it
        else:
            part.turn.part_failed()
            part.turn.spare = True
        return PartOver(part.spare, fault)

    def _in_order(self) -> Iterator[SpokenTurn]:
        yield from self.turns
        if self.draft is not None:
            yield self.draft
