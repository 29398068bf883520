"""Who serves one call, pure: what its worker was told and still owes, and how another one takes over.

A worker that misses two deadlines is given up; so is one that the hub says is gone, and one that asks to be relieved.
Until another has the call's lease the old one may still answer. From then on its epoch is over: whatever it says
late is dropped by comparison, and the new worker is told the past (``Past``) and the log since the newest snapshot.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from gateway.effects import Effect, NoteDropped, NoteMissing, NoteMoved, SeekWorker, SendAgain, SendUp
from gateway.resumption import Resumption
from gateway.seams import CallSetup
from gateway.turn.chunk_log import ChunkLog
from gateway.turn.ledger import NewestTurn
from wire.bus.seam import Lease
from wire.ids import CallId, GatewayId, TurnId
from wire.messages import AudioChunk, CallClosed, CallOpened, Decision, Dtmf, Line, Past, Say, Snapshot, TurnCancelled

MAX_UNDECIDED = 256  # chunks whose decision is awaited; older ones count as missing
MISSED_DEADLINES = 2
MIN_DEADLINE_S = 0.4  # of engines with shorter chunks: a hiccup of the bus must not cost a move
MOVES_WITHIN_S = 30.0
MAX_MOVES = 4
SOON_S = 4.0
"""Workers that fail so soon after they took the call over, more than ``MAX_MOVES`` of them within ``MOVES_WITHIN_S``,
fail of the call itself. One that served it for a while was taken away by something else."""

Up = CallOpened | AudioChunk | TurnCancelled | Dtmf | Say | CallClosed
DRAINING = "draining"
_NO_SIGN = frozenset({"missed_decisions", "silent"})
"""Why a worker is given up of which nothing came: without a bus nothing does."""
_LOGGED = (AudioChunk, TurnCancelled, Dtmf, Say)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call goes on without a worker, and without a bus."""

    worker_s: float
    bus_s: float


class Serving:
    """Epochs, numbers, deadlines. Effects go to ``emit``, in order; ``began_at`` is when the call began."""

    def __init__(
        self,
        lease: Lease,
        gateway: GatewayId,
        setup: CallSetup,
        began_at: float,
        patience: Patience,
        log_s: float,
        emit: Callable[[Effect], None],
        resumed: Resumption | None = None,
    ) -> None:
        """``log_s``: how much of the call can be replayed. ``resumed``: another gateway had the call before."""
        self.epoch = 0 if resumed is None else resumed.epoch + 1
        self.worker = lease.worker
        self.seeking = False
        """True while another worker is wanted."""
        self.missing_decisions = 0
        self._call = lease.call
        self._gateway = gateway
        self._setup = setup
        self._began_at = began_at
        self._patience = patience
        self._emit = emit
        chunk_s = lease.chunk_ms / 1_000
        self._lost_after_s = MISSED_DEADLINES * max(chunk_s, MIN_DEADLINE_S)
        self._log = ChunkLog(round(log_s / chunk_s))
        self.state = b""
        """The worker's newest snapshot."""
        self._state_ends_at = 0  # the first chunk that the snapshot does not hold
        self._seq = 0
        self._undecided: deque[tuple[int, float]] = deque()  # (chunk index, complete at), oldest first
        self._decided_below = 0
        self._told = 0
        self._served_since = began_at
        """No deadline counts from earlier: the worker was not there, or could not be reached."""
        self._seeking_since = 0.0
        self._seeks_because = ""
        self._away_since: float | None = None
        self._moves: deque[float] = deque(maxlen=MAX_MOVES)
        self._here_since = began_at
        past = None
        if resumed is not None:
            self.state, self._state_ends_at = resumed.state, -1  # what came after it is gone
            past = Past(0, turn=TurnId(resumed.turn), state=resumed.state, exact=False, said=resumed.said)
        self._open(past)

    @property
    def undecided(self) -> int:
        """Chunks whose decision is awaited."""
        return len(self._undecided)

    @property
    def waiting_since(self) -> float | None:
        """Since when nobody has served the call; None while somebody does, as far as is known."""
        if self._away_since is not None:
            return self._away_since
        return self._seeking_since if self.seeking else None

    def stamp(self) -> tuple[CallId, int, int]:
        """What every message to the worker begins with: call, epoch and the next number."""
        seq = self._seq
        self._seq += 1
        return self._call, self.epoch, seq

    def send(self, message: Up, now: float) -> None:
        """Tell the worker, and remember what another one would have to be told."""
        if isinstance(message, _LOGGED):
            self._log.add(message, now)
        self._emit(SendUp(message, self.worker))

    def send_chunk(self, chunk: AudioChunk, now: float) -> None:
        """As ``send``; a decision is owed."""
        if len(self._undecided) == MAX_UNDECIDED:
            self._miss(now)
        self._undecided.append((chunk.index, now))
        self.send(chunk, now)

    def answered(self, decision: Decision, now: float) -> float | None:
        """When the chunk was complete that ``decision`` is about; None, and a counted drop, when none awaits it."""
        while self._undecided and self._undecided[0][0] < decision.index:
            self._miss(now)
        if not self._undecided or self._undecided[0][0] != decision.index:
            self._emit(NoteDropped("unexpected_decision"))
            return None
        _, complete_at = self._undecided.popleft()
        self._decided_below = decision.index + 1
        self._told = 0
        if self._seeks_because in _NO_SIGN:
            self.seeking = False  # it lives, and is not behind by much
        return complete_at

    def told(self) -> None:
        """A transcript or a tool call came, which a replay must not bring again."""
        self._told += 1

    def keep(self, snapshot: Snapshot) -> None:
        """What came up to its chunk need not be replayed any more."""
        if snapshot.index >= self._decided_below:
            self._emit(NoteDropped("unexpected_snapshot"))
            return
        self.state = snapshot.state
        self._state_ends_at = snapshot.index + 1
        self._log.forget(snapshot.index)

    def seek(self, reason: str, now: float) -> None:
        """Ask for another worker; ``reason`` takes few values. Does nothing while one is wanted already."""
        if not self.seeking:
            self.seeking = True
            self._seeking_since = now
            self._seeks_because = reason
            self._emit(SeekWorker(reason))

    def suspend(self, now: float) -> None:
        """The bus is away: nothing that a worker owes can come."""
        if self._away_since is None:
            self._away_since = now

    def resume(self, now: float) -> None:
        """The bus is back: what the worker owes, it owes from now on."""
        self._away_since = None
        self._served_since = now
        if self._seeks_because in _NO_SIGN:
            self.seeking = False

    def move(self, lease: Lease, newest: NewestTurn, said: tuple[Line, ...], now: float) -> None:
        """Another worker has the lease: the epoch ends, and the log is told again."""
        self._emit(SendUp(CallClosed(*self.stamp(), "moved"), self.worker))
        self._emit(NoteMoved(lease.worker, self._seeks_because, now - self._seeking_since, now - self._began_at))
        if self._seeks_because != DRAINING and self._seeking_since - self._here_since < SOON_S:
            self._moves.append(now)
        self._here_since = now
        self.worker = lease.worker
        self.epoch += 1
        self._seq = 0
        self.seeking = False
        self._served_since = now
        exact = self._log.begins_at == self._state_ends_at
        self._open(
            Past(
                self._decided_below,
                self._told,
                newest.turn,
                newest.generated,
                newest.open,
                newest.checksum,
                self.state,
                exact,
                said,
            )
        )
        for message, sent_at in self._log:
            call, epoch, seq = self.stamp()
            again = replace(message, call=call, epoch=epoch, seq=seq)
            if isinstance(again, AudioChunk):
                again = replace(again, age_s=max(0.0, now - sent_at))
            self._emit(SendAgain(again, self.worker))

    def hopeless(self, now: float) -> bool:
        """No worker was to be had for too long, or none can stand the call."""
        give_up_at = self._give_up_at()
        if give_up_at is not None and now >= give_up_at:
            return True
        if not self.seeking or self._seeks_because == DRAINING or len(self._moves) < MAX_MOVES:
            return False
        return now - self._moves[0] < MOVES_WITHIN_S

    def handle_deadline(self, now: float) -> None:
        """Notice a worker that owes too much."""
        due = self._due()
        if due is not None and now >= due:
            self.seek("missed_decisions", now)

    def next_deadline(self) -> float | None:
        """When ``handle_deadline`` or ``hopeless`` has something to say."""
        give_up_at = self._give_up_at()
        return self._due() if give_up_at is None else give_up_at

    def _due(self) -> float | None:
        if self.seeking or self._away_since is not None or not self._undecided:
            return None
        complete_at = self._undecided[0][1]
        return (complete_at if complete_at > self._served_since else self._served_since) + self._lost_after_s

    def _give_up_at(self) -> float | None:
        if self._away_since is not None:
            return self._away_since + self._patience.bus_s
        return self._seeking_since + self._patience.worker_s if self.seeking else None

    def _miss(self, now: float) -> None:
        index, _ = self._undecided.popleft()
        self._decided_below = index + 1
        self.missing_decisions += 1
        self._emit(NoteMissing(index, now - self._began_at))

    def _open(self, past: Past | None) -> None:
        setup = self._setup
        opened = CallOpened(
            *self.stamp(),
            self._gateway,
            setup.codec,
            setup.agent,
            setup.caller,
            setup.callee,
            dict(setup.variables),
            past,
        )
        self._emit(SendUp(opened, self.worker))
