"""One call as the worker receives it: every chunk once, in order, whatever the bus did to it.

The bus keeps order, so a message whose number is beyond the expected one tells that those
between are lost, and one whose number is below it is a copy or too late; nothing waits for a
straggler, because waiting would delay every later decision. A lost chunk becomes quiet noise, the
same whenever the call is replayed: the engine sees one chunk per index and the gateway gets one
decision for each.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from zlib import crc32

from model_worker.seams import CallSpec
from wire.audio.comfort_noise import comfort_noise
from wire.ids import NO_TURN, CallId, TurnId
from wire.messages import AudioChunk, CallOpened, Dtmf, Say, TurnCancelled

# A minute without a chunk of 0.4 s is no hiccup of the bus; a number beyond that is garbage, and would cost memory.
MAX_GAP_CHUNKS = 150
# An engine half a minute behind does not catch up: the caller is better served by another worker. The gap comes on top.
MAX_BACKLOG_CHUNKS = MAX_GAP_CHUNKS + 75


class Drop(StrEnum):
    """Why a message of a gateway was not used."""

    DUPLICATE = "duplicate"
    LATE = "late"
    """A chunk that arrived after noise had taken its place."""
    OLD_EPOCH = "old_epoch"
    UNKNOWN_CALL = "unknown_call"
    CALL_OVER = "call_over"
    """A chunk that was still waiting for the engine when its call ended."""
    WRONG_DIRECTION = "wrong_direction"


class Repair(StrEnum):
    """What was wrong with the audio of a call, and was made good with quiet noise."""

    LOST = "lost"
    """A chunk never arrived."""
    LENGTH = "length"
    """A chunk was shorter or longer than the engine's; padded, or cut at its end."""


class FailedCallError(Exception):
    """The call cannot go on here. ``reason`` is what the gateway is told; it takes few values."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Tally:
    """What went wrong on the way from the gateways, counted over all calls. Every key is always there."""

    drops: dict[Drop, int] = field(default_factory=lambda: dict.fromkeys(Drop, 0))
    repairs: dict[Repair, int] = field(default_factory=lambda: dict.fromkeys(Repair, 0))
    lost_messages: int = 0
    """Messages of any kind that the sequence numbers say are missing."""


@dataclass(frozen=True, slots=True)
class DueChunk:
    """A chunk the engine has not decided on. ``payload`` is whole, in the call's codec.

    ``age_s`` is how old it was at ``received_at``. ``cancelled`` are the turns that the gateway
    stopped before the chunk ended; the engine hears of them first. ``overlap_s``: see ``AudioChunk``.
    """

    index: int
    payload: bytes
    age_s: float
    received_at: float
    playback_s: tuple[TurnId, float]
    dtmf: str
    cancelled: tuple[TurnCancelled, ...]
    say: tuple[str, ...]
    overlap_s: float


class Session:
    """The up stream of one call at one epoch, and the numbers of its down stream."""

    def __init__(self, opened: CallOpened, chunk_ms: int, first_chunk_ms: int, tally: Tally) -> None:
        self.call = opened.call
        self.epoch = opened.epoch
        self.gateway = opened.gateway
        self.codec = opened.codec
        self.spec = CallSpec(opened.agent, opened.caller, opened.callee, opened.variables)
        bytes_per_ms = opened.codec.sample_rate_hz * opened.codec.bytes_per_sample // 1_000
        self._chunk_bytes = chunk_ms * bytes_per_ms
        self._first_chunk_bytes = first_chunk_ms * bytes_per_ms
        self._tally = tally
        self._seed = crc32(opened.call.encode())
        self._next_up_seq = opened.seq + 1
        # The log replayed after a hand-over begins somewhere in the call; a new call begins at its start.
        self._next_index: int | None = 0 if opened.epoch == 0 else None
        self._filled: deque[int] = deque(maxlen=MAX_GAP_CHUNKS)
        self._due: deque[DueChunk] = deque()
        self._dtmf = ""
        self._say: list[str] = []
        self._cancelled: list[TurnCancelled] = []
        self._playback_s = (NO_TURN, 0.0)
        self._next_down_seq = 0
        self.last_taken: int | None = None
        """Index of the newest chunk that the engine was given."""

    @property
    def backlog(self) -> int:
        """Chunks that wait for the engine."""
        return len(self._due)

    @property
    def waiting_since(self) -> float:
        """When the oldest waiting chunk was received. Ask only while there is a backlog."""
        return self._due[0].received_at

    def stamp(self) -> tuple[CallId, int, int]:
        """What every message to the gateway begins with: call, epoch and the next number."""
        seq = self._next_down_seq
        self._next_down_seq += 1
        return self.call, self.epoch, seq

    def heard_s(self, samples: int) -> float:
        """Samples of the call's codec in seconds."""
        return samples / self.codec.sample_rate_hz

    def receive(self, message: AudioChunk | TurnCancelled | Dtmf | Say, lag_s: float, now: float) -> None:
        """Take the next message. Raises FailedCallError (``gap``, ``overload``) when the call is beyond repair."""
        if message.seq < self._next_up_seq:
            late = isinstance(message, AudioChunk) and message.index in self._filled
            self._tally.drops[Drop.LATE if late else Drop.DUPLICATE] += 1
            return
        self._tally.lost_messages += message.seq - self._next_up_seq
        self._next_up_seq = message.seq + 1
        match message:
            case AudioChunk():
                self._receive_chunk(message, lag_s, now)
            case TurnCancelled():
                self._cancelled.append(message)
            case Dtmf():
                self._dtmf += message.digit
            case Say():
                self._say.append(message.text)

    def take_cancelled(self) -> tuple[TurnCancelled, ...]:
        """Turns stopped since the newest chunk; they are not reported again with the next one."""
        cancelled = tuple(self._cancelled)
        self._cancelled.clear()
        return cancelled

    def peek(self) -> DueChunk:
        """The oldest waiting chunk, which stays. Ask only while there is a backlog."""
        return self._due[0]

    def take(self) -> DueChunk:
        """The oldest waiting chunk. Ask only while there is a backlog."""
        due = self._due.popleft()
        self.last_taken = due.index
        return due

    def _receive_chunk(self, chunk: AudioChunk, lag_s: float, now: float) -> None:
        expected = chunk.index if self._next_index is None else self._next_index
        if chunk.index < expected:
            self._tally.drops[Drop.DUPLICATE] += 1
            return
        missing = chunk.index - expected
        if missing > MAX_GAP_CHUNKS:
            raise FailedCallError("gap")
        if self.backlog + missing >= MAX_BACKLOG_CHUNKS:
            raise FailedCallError("overload")
        age_s = chunk.age_s + lag_s
        for index in range(expected, chunk.index):
            self._tally.repairs[Repair.LOST] += 1
            self._filled.append(index)
            self._append(index, self._fit(index, b""), age_s, now)
        if chunk.playback is not None:
            self._playback_s = (chunk.playback.turn, self.heard_s(chunk.playback.played))
        payload = self._fit(chunk.index, chunk.payload)
        if payload is not chunk.payload:
            self._tally.repairs[Repair.LENGTH] += 1
        self._append(
            chunk.index, payload, age_s, now, self._dtmf, self.take_cancelled(), tuple(self._say), chunk.overlap_s
        )
        self._dtmf = ""
        self._say.clear()
        self._next_index = chunk.index + 1

    def _append(
        self,
        index: int,
        payload: bytes,
        age_s: float,
        now: float,
        dtmf: str = "",
        cancelled: tuple[TurnCancelled, ...] = (),
        say: tuple[str, ...] = (),
        overlap_s: float = 0.0,
    ) -> None:
        self._due.append(DueChunk(index, payload, age_s, now, self._playback_s, dtmf, cancelled, say, overlap_s))

    def _fit(self, index: int, payload: bytes) -> bytes:
        """Exactly one chunk, made whole with quiet noise."""
        wanted = self._chunk_bytes if index else self._first_chunk_bytes
        if len(payload) == wanted:
            return payload
        width = self.codec.bytes_per_sample
        whole = payload[: min(wanted, len(payload) // width * width)]
        return whole + comfort_noise(self.codec, (wanted - len(whole)) // width, (self._seed, index))
