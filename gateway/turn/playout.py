"""Play one turn at a time to the caller, and know what was heard of it.

Speech arrives faster than it is spoken; the leg is kept only ``lead_s`` ahead of the caller's
ear, so that a barge-in has little to take back and the heard position stays sharp. What the
leg has is played on a clock that starts when its buffer was empty (RFC 3550 calls it the
playout point). A leg that acknowledges (Twilio marks) shows how far the caller's ear is behind that
clock: the smallest delay of the last marks is taken off, so that ``played`` is rather too little than too much.
The clock counts samples since the call began, so that two pieces either meet exactly or do not meet.

While it is undecided who has the floor the voice is lowered, or held; both take back what the leg has
not played, so that they are heard at once, and neither loses or repeats a sample. What the leg was
given is kept for some seconds, so that a turn can go on from the beginning of a word.
"""

from collections import deque
from dataclasses import dataclass
from zlib import crc32

from gateway.seams import PlayoutProfile
from gateway.turn.ledger import Ledger
from wire.audio.codecs import Codec
from wire.audio.comfort_noise import comfort_noise
from wire.audio.gain import scale
from wire.ids import TurnId

MAX_HOLE_S = 10.0  # a worker that skips more than this has lost count
MAX_QUEUED_S = 120.0  # nobody listens that long; an engine paces itself by what was played
_DELAYS_KEPT = 8
_KEPT_S = 3.0  # more than what a leg has ahead of the ear and the longest word before it
_RAMP_S = 0.02  # one packet: quick enough to be heard at once, slow enough not to click


class BadPositionError(Exception):
    """Speech that does not belong where it says: far ahead of the turn, or more than is ever played."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Audio for the leg, and how much of the turn the leg has with it.

    ``plays_at`` is when the leg plays it by the playout clock, ``heard_at`` when the ear has it by what marks have
    shown until the turn began; both in samples since the call began.
    """

    payload: bytes
    sent_samples: int
    last: bool
    plays_at: int
    heard_at: int


class Playout:
    """The speech of the open turn on its way to the caller. Positions are samples of the leg's codec.

    ``began_at`` is when the call began, on the clock that ``now`` is read from.
    """

    def __init__(self, codec: Codec, profile: PlayoutProfile, began_at: float = 0.0) -> None:
        self._rate_hz = codec.sample_rate_hz
        self._bytes_per_sample = codec.bytes_per_sample
        self._began_at = began_at
        self._lead_samples = round(profile.lead_s * self._rate_hz)
        self._piece_samples = round(profile.piece_s * self._rate_hz)
        self._ramp_bytes = round(_RAMP_S * self._rate_hz) * codec.bytes_per_sample
        self._kept_bytes = round(_KEPT_S * self._rate_hz) * codec.bytes_per_sample
        self._codec = codec
        self._queue = bytearray()
        self._kept = bytearray()  # the end of what the leg was given, as loud as it came
        self._gain_db = 0.0  # of the last sample that was given
        self._wanted_db = 0.0
        self.held = False
        self._play_end: int | None = None  # when the leg runs dry; None before it was given anything
        self._delays_s: deque[float] = deque(maxlen=_DELAYS_KEPT)
        self._turn_delay_samples = 0
        self._total_samples: int | None = None
        self.ledger: Ledger | None = None
        self.checksum = 0
        """CRC-32 of all that was generated of the newest turn."""
        self.underrun_s = 0.0
        self.underruns = 0
        self.lost_samples = 0

    def open(self, turn: TurnId) -> None:
        """Begin a turn; the one before must have been closed."""
        assert self.ledger is None or self.ledger.heard is not None, "the turn before is still open"
        self.ledger = Ledger(turn)
        self.checksum = 0
        self._queue.clear()
        self._kept.clear()
        self._gain_db = self._wanted_db = 0.0
        self.held = False
        self._total_samples = None

    def submit(self, start_samples: int, payload: bytes) -> None:
        """Queue speech that begins at ``start_samples`` of the open turn.

        What was already queued is trimmed off; a hole is filled with quiet noise, so that positions
        stay the worker's own, and counted in ``lost_samples``.
        """
        ledger = self._open_ledger()
        hole = start_samples - ledger.generated
        end_samples = start_samples + len(payload) // self._bytes_per_sample
        if hole > MAX_HOLE_S * self._rate_hz or end_samples - ledger.sent > MAX_QUEUED_S * self._rate_hz:
            raise BadPositionError(f"speech at {start_samples} of a turn of {ledger.generated} samples")
        if hole < 0:
            payload = payload[-hole * self._bytes_per_sample :]
        elif hole > 0:
            self.lost_samples += hole
            self._append(comfort_noise(self._codec, hole, start_samples))
        self._append(payload)

    def _append(self, payload: bytes) -> None:
        self._queue += payload
        self.checksum = crc32(payload, self.checksum)
        self._open_ledger().generate(len(payload) // self._bytes_per_sample)

    def occupy(self, samples: int, now: float) -> int:
        """The leg is given something that belongs to no turn, while none is open: when it plays it, on the clock."""
        clock = round((now - self._began_at) * self._rate_hz)
        plays_at = clock if self._play_end is None else max(clock, self._play_end)
        self._play_end = plays_at + samples
        return plays_at

    def complete(self, total_samples: int) -> None:
        """No more speech will come for the open turn of ``total_samples``; what is missing of it was lost."""
        generated = self._open_ledger().generated
        self.lost_samples += max(0, total_samples - generated)
        self._total_samples = generated

    def take(self, now: float) -> Piece | None:
        """What the leg should be given now, or None: at least a whole piece, or the tail of the turn."""
        ledger = self._open_ledger()
        clock = round((now - self._began_at) * self._rate_hz)
        play_end = clock if self._play_end is None else self._play_end
        room_samples = clock + self._lead_samples - play_end
        queued_samples = len(self._queue) // self._bytes_per_sample
        tail = self._total_samples is not None and queued_samples <= max(room_samples, self._piece_samples)
        if self.held or queued_samples == 0 or room_samples < min(self._piece_samples, queued_samples):
            return None
        if queued_samples < self._piece_samples and not tail:
            return None  # half a piece now would only make the next one late
        samples = min(queued_samples, max(room_samples, self._piece_samples))
        if ledger.sent == 0:
            self._turn_delay_samples = round(self.ear_delay_s * self._rate_hz)
        if play_end < clock:
            if ledger.sent > 0:
                self.underruns += 1
                self.underrun_s += (clock - play_end) / self._rate_hz
            play_end = clock
        payload = bytes(self._queue[: samples * self._bytes_per_sample])
        del self._queue[: len(payload)]
        self._kept += payload
        if len(self._kept) > 2 * self._kept_bytes:
            del self._kept[: -self._kept_bytes]
        if self._gain_db or self._wanted_db:
            payload = self._at_gain(payload)
        ledger.send(samples)
        self._play_end = play_end + samples
        last = self._total_samples is not None and not self._queue
        return Piece(payload, ledger.sent, last, play_end, play_end + self._turn_delay_samples)

    def next_take(self) -> float | None:
        """When ``take`` will have something to give without further speech arriving."""
        queued_samples = len(self._queue) // self._bytes_per_sample
        if self.held or queued_samples == 0:
            return None
        if queued_samples < self._piece_samples and self._total_samples is None:
            return None
        if self._play_end is None:
            return 0.0
        wanted_samples = min(queued_samples, self._piece_samples)
        return self._began_at + (self._play_end - self._lead_samples + wanted_samples) / self._rate_hz

    def lower(self, db: float, now: float) -> int:
        """From the next sample on the voice is ``db`` quieter.

        As ``restore`` and ``hold`` it returns how many samples the leg has not played and must be told to drop.
        """
        self._wanted_db = -db
        return self._take_back(now)

    def restore(self, now: float) -> int:
        """Be as loud as ever again."""
        self._wanted_db = 0.0
        return self._take_back(now)

    def hold(self, now: float) -> int:
        """Give the leg nothing more until ``resume``."""
        self.held = True
        return self._take_back(now)

    def resume(self, from_samples: int, now: float) -> None:
        """Go on after ``hold``, from ``from_samples`` of the turn or as far back as the sound was kept."""
        self.held = False
        self._take_back(now, from_samples)
        self._gain_db, self._wanted_db = -60.0, 0.0

    def acknowledge(self, acked_samples: int, now: float) -> float | None:
        """The leg says, now, that it has played the first ``acked_samples`` of the open turn.

        Returns how far behind the playout clock the ear is by this mark; None when it tells nothing.
        """
        ledger = self._open_ledger()
        ledger.play_to(acked_samples)
        if self._play_end is None or not 0 < acked_samples <= ledger.sent:
            return None
        played_at = self._began_at + (self._play_end - ledger.sent + acked_samples) / self._rate_hz
        delay_s = max(0.0, now - played_at)
        self._delays_s.append(delay_s)
        return delay_s

    def advance(self, now: float) -> Ledger:
        """Move ``played`` to where the playout clock stands and return the open turn's ledger."""
        ledger = self._open_ledger()
        if self._play_end is not None:
            unplayed_s = max(0.0, self.audible_until() - now)
            ledger.play_to(ledger.sent - round(unplayed_s * self._rate_hz))
        return ledger

    def audible_until(self) -> float:
        """When the caller's ear has heard all that the leg has; in the past when it has."""
        if self._play_end is None:
            return float("-inf")
        return self._began_at + self._play_end / self._rate_hz + self.ear_delay_s

    @property
    def ear_delay_s(self) -> float:
        """How far behind the playout clock the ear is, as far as marks have shown."""
        return min(self._delays_s, default=0.0)

    @property
    def completed(self) -> bool:
        """True once no more speech will come for the open turn."""
        return self._total_samples is not None

    def all_sent(self) -> bool:
        """True when the whole completed turn has been handed to the leg."""
        return self._total_samples is not None and not self._queue

    def close(self, now: float, *, played_out: bool) -> Ledger:
        """End the open turn: played to its end, or cut where the clock stands. Drops what is queued."""
        ledger = self._open_ledger()
        if played_out:
            ledger.play_to(ledger.sent)
        else:
            self.advance(now)
            self._play_end = None  # the leg was told to drop what it had
        ledger.close()
        self._queue.clear()
        self._kept.clear()
        return ledger

    def _take_back(self, now: float, to_samples: int | None = None) -> int:
        """Queue again what the leg has not played by the playout clock.

        Not by the ear's: an order reaches the leg as late as its audio did.
        """
        ledger = self._open_ledger()
        at = ledger.sent
        if self._play_end is not None:
            clock = round((now - self._began_at) * self._rate_hz)
            at -= min(max(0, self._play_end - clock), at)
        unplayed = ledger.sent - at
        if to_samples is not None:
            at = min(at, max(0, to_samples))
        at = max(at, ledger.sent - len(self._kept) // self._bytes_per_sample)
        back_bytes = (ledger.sent - at) * self._bytes_per_sample
        if back_bytes:
            self._queue[:0] = self._kept[-back_bytes:]
            del self._kept[-back_bytes:]
        ledger.play_to(at)
        ledger.rewind(at)
        self._play_end = None
        return unplayed

    def _at_gain(self, payload: bytes) -> bytes:
        ramp, rest = payload[: self._ramp_bytes], payload[self._ramp_bytes :]
        was_db, self._gain_db = self._gain_db, self._wanted_db
        return scale(self._codec, ramp, was_db, self._gain_db) + scale(self._codec, rest, self._gain_db, self._gain_db)

    def _open_ledger(self) -> Ledger:
        assert self.ledger is not None, "no turn was opened"
        assert self.ledger.heard is None, "the turn is closed"
        return self.ledger
