"""Play one turn at a time to the caller, and know what was heard of it.

Speech arrives faster than it is spoken; the leg is kept only ``lead_s`` ahead of the caller's
ear, so that a barge-in has little to take back and the heard position stays sharp. What the
leg has is played on a clock that starts when its buffer was empty (RFC 3550 calls it the
playout point); a leg that acknowledges (Twilio marks) corrects the clock.
"""

from dataclasses import dataclass

from gateway.seams import PlayoutProfile
from gateway.turn.ledger import Ledger
from wire.audio.codecs import Codec
from wire.ids import TurnId


@dataclass(frozen=True, slots=True)
class Piece:
    """Audio for the leg, and how much of the turn the leg has with it."""

    payload: bytes
    sent_samples: int
    last: bool


class Playout:
    """The speech of the open turn on its way to the caller. Positions are samples of the leg's codec."""

    def __init__(self, codec: Codec, profile: PlayoutProfile) -> None:
        self._rate_hz = codec.sample_rate_hz
        self._silence = codec.silence
        self._bytes_per_sample = codec.bytes_per_sample
        self._profile = profile
        self._piece_samples = round(profile.piece_s * self._rate_hz)
        self._queue = bytearray()
        self._play_end: float | None = None  # when the leg runs dry; None before it was given anything
        self._total_samples: int | None = None
        self.ledger: Ledger | None = None
        self.underrun_s = 0.0
        self.underruns = 0
        self.lost_samples = 0

    def open(self, turn: TurnId) -> None:
        """Begin a turn; the one before must have been closed."""
        assert self.ledger is None or self.ledger.heard is not None, "the turn before is still open"
        self.ledger = Ledger(turn)
        self._queue.clear()
        self._total_samples = None

    def submit(self, start_samples: int, payload: bytes) -> None:
        """Queue speech that begins at ``start_samples`` of the open turn.

        What was already queued is trimmed off; a hole is filled with silence, so that positions
        stay the worker's own, and counted in ``lost_samples``.
        """
        ledger = self._open_ledger()
        hole = start_samples - ledger.generated
        if hole < 0:
            payload = payload[-hole * self._bytes_per_sample :]
        elif hole > 0:
            self.lost_samples += hole
            self._queue += self._silence * hole
            ledger.generate(hole)
        self._queue += payload
        ledger.generate(len(payload) // self._bytes_per_sample)

    def complete(self) -> None:
        """No more speech will come for the open turn."""
        self._total_samples = self._open_ledger().generated

    def take(self, now: float) -> Piece | None:
        """What the leg should be given now, or None: at least a whole piece, or the tail of the turn."""
        ledger = self._open_ledger()
        play_end = now if self._play_end is None else self._play_end
        room_samples = round((now + self._profile.lead_s - play_end) * self._rate_hz)
        queued_samples = len(self._queue) // self._bytes_per_sample
        tail = self._total_samples is not None and queued_samples <= max(room_samples, self._piece_samples)
        if queued_samples == 0 or room_samples < min(self._piece_samples, queued_samples):
            return None
        if queued_samples < self._piece_samples and not tail:
            return None  # half a piece now would only make the next one late
        samples = min(queued_samples, max(room_samples, self._piece_samples))
        if play_end < now:
            if ledger.sent > 0:
                self.underruns += 1
                self.underrun_s += now - play_end
            play_end = now
        payload = bytes(self._queue[: samples * self._bytes_per_sample])
        del self._queue[: len(payload)]
        ledger.send(samples)
        self._play_end = play_end + samples / self._rate_hz
        return Piece(payload, ledger.sent, last=self._total_samples is not None and not self._queue)

    def next_take(self) -> float | None:
        """When ``take`` will have something to give without further speech arriving."""
        queued_samples = len(self._queue) // self._bytes_per_sample
        if queued_samples == 0 or (queued_samples < self._piece_samples and self._total_samples is None):
            return None
        if self._play_end is None:
            return 0.0
        wanted_s = min(queued_samples, self._piece_samples) / self._rate_hz
        return self._play_end - self._profile.lead_s + wanted_s

    def acknowledge(self, sent_samples: int) -> None:
        """The leg says that it has played the first ``sent_samples`` of the open turn."""
        self._open_ledger().play_to(sent_samples)

    def advance(self, now: float) -> Ledger:
        """Move ``played`` to where the playout clock stands and return the open turn's ledger."""
        ledger = self._open_ledger()
        if self._play_end is not None:
            unplayed_s = max(0.0, self._play_end - now)
            ledger.play_to(ledger.sent - round(unplayed_s * self._rate_hz))
        return ledger

    def audible_until(self) -> float:
        """When the leg runs dry with what it has; in the past when it is dry."""
        return float("-inf") if self._play_end is None else self._play_end

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
        return ledger

    def _open_ledger(self) -> Ledger:
        assert self.ledger is not None, "no turn was opened"
        assert self.ledger.heard is None, "the turn is closed"
        return self.ledger
