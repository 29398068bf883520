"""The playback ledger: how much of one turn exists, left, and was heard, to the sample."""

from dataclasses import dataclass

from wire.ids import TurnId


@dataclass(frozen=True, slots=True)
class NewestTurn:
    """The newest turn as the gateway has it. ``open``: more of it is awaited; ``checksum``: CRC-32 of what came."""

    turn: TurnId
    generated: int
    open: bool
    checksum: int


@dataclass(slots=True)
class Ledger:
    """Counts of one turn in samples of the leg: ``generated >= sent >= played >= 0``.

    ``generated`` arrived from the worker, ``sent`` was handed to the leg, ``played`` is what the
    caller has heard. ``heard`` is ``played`` frozen at the moment the turn ended, None before.
    Every count only grows, except by ``rewind``, and none passes the one before it.
    """

    turn: TurnId
    generated: int = 0
    sent: int = 0
    played: int = 0
    heard: int | None = None

    def generate(self, samples: int) -> None:
        self.generated += samples

    def send(self, samples: int) -> None:
        assert self.sent + samples <= self.generated, "a leg cannot be given what was never generated"
        self.sent += samples

    def play_to(self, samples: int) -> None:
        """The caller has heard ``samples`` of the turn; earlier or impossible reports change nothing."""
        if self.heard is None:
            self.played = max(self.played, min(samples, self.sent))

    def rewind(self, samples: int) -> None:
        """The leg dropped what came after ``samples``; from there it will be given the turn again."""
        assert self.heard is None, "the turn is over"
        assert samples <= self.sent, "what was not sent cannot be sent again"
        self.sent = samples
        self.played = min(self.played, samples)

    def close(self) -> int:
        """The turn is over: what was played is what was heard."""
        if self.heard is None:
            self.heard = self.played
        return self.heard
