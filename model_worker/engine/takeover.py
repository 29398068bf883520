"""A call that another worker served before: its replay makes the engine what it was, and brings out nothing twice.

The engine hears the last of the call again, as fast as it can, and does what it did then. Its decisions, words and
actions up to ``Past.decided_below`` went out already; of the turn that was open, as much as the gateway has. The
checksum tells whether an engine that draws chance says the same again: if not, that turn ends where it is.
"""

from typing import NamedTuple
from zlib import crc32

from msgspec import Struct, msgpack

from model_worker.engine.turn_voice import Piece
from model_worker.seams import BadSnapshotError
from wire.ids import TurnId
from wire.messages import Past


class TurnNumbers(NamedTuple):
    """The engine's turn 1 is turn ``offset + 1`` on the wire; ``newest`` is the engine's newest one."""

    offset: int = 0
    newest: int = 0


class LoopState(Struct, frozen=True, array_like=True):
    """What a ``Snapshot`` carries: the engine's own state, and how its turns are numbered on the wire."""

    turns: TurnNumbers
    engine: bytes


def pack(state: LoopState) -> bytes:
    return msgpack.encode(state)


def unpack(state: bytes) -> LoopState:
    """Raises BadSnapshotError."""
    try:
        return msgpack.decode(state, type=LoopState)
    except Exception as error:
        raise BadSnapshotError(f"not a snapshot: {type(error).__name__}") from None


class Takeover:
    """What of the replay goes out. Samples and bytes are those of the call's codec."""

    def __init__(self, past: Past, bytes_per_sample: int, *, exact: bool) -> None:
        self.turn = past.turn
        self.generated = past.generated
        self.exact = exact
        self.open = past.open
        """More of ``turn`` is awaited."""
        self.diverged = False
        """The engine says something else than it did before."""
        self._past = past
        self._bytes_per_sample = bytes_per_sample
        self._told = 0
        self._again = 0
        self._checksum = 0

    @property
    def last_turn(self) -> TurnId:
        """The newest turn of which nothing more is said."""
        return TurnId(self.turn - 1) if self.open and self.exact else self.turn

    def seamless(self, saying: TurnId) -> bool:
        """Whether the engine, which is in the middle of turn ``saying`` (0: of none), is where the other one was."""
        if not self.exact or self.diverged or saying > self.turn:
            return False
        return not self.open or self._again == self.generated

    def goes_on(self, turn: TurnId) -> bool:
        """Whether more of ``turn`` is awaited."""
        return self.exact and self.open and turn == self.turn

    def covers(self, index: int) -> bool:
        """Whether chunk ``index`` was decided on before."""
        return index < self._past.decided_below

    def tells(self, index: int) -> bool:
        """Whether the next transcript or tool call of this chunk is news."""
        if self.exact and index == self._past.decided_below - 1:
            self._told += 1
            return self._told > self._past.told
        return not self.covers(index)

    def trim(self, piece: Piece) -> Piece | None:
        """What is news of a piece of ``turn``, while that is open; None when nothing is."""
        width = self._bytes_per_sample
        end = piece.start_samples + len(piece.payload) // width
        if self._again < self.generated:
            again = min(end, self.generated) - piece.start_samples
            self._checksum = crc32(piece.payload[: again * width], self._checksum)
            self._again += again
            self.diverged = self._again == self.generated and self._checksum != self._past.checksum
        if self.diverged or end <= self.generated:
            return None
        if piece.start_samples >= self.generated:
            return piece
        fresh = [
            (word, start)
            for word, start in zip(piece.text.split(), piece.word_starts, strict=False)
            if start >= self.generated
        ]
        payload = piece.payload[(self.generated - piece.start_samples) * width :]
        text = " ".join(word for word, _ in fresh)
        return Piece(self.generated, payload, text, tuple(start for _, start in fresh))
