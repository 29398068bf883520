"""The timers of RFC 3261 table 4 as values: what runs, for how long."""

from dataclasses import dataclass
from enum import Enum


class Timer(Enum):
    """Letters as in RFC 3261 §17 and RFC 6026 §7.1; the words are waits without a letter."""

    A = "A"
    """Retransmit the INVITE."""
    B = "B"
    """Give up an INVITE that nobody answers."""
    D = "D"
    """Absorb retransmissions of a final response to INVITE."""
    E = "E"
    """Retransmit another request."""
    F = "F"
    """Give up another request."""
    G = "G"
    """Retransmit a response of 300 or more to INVITE."""
    H = "H"
    """Give up waiting for its ACK."""
    I = "I"  # noqa: E741 - the letter of the RFC
    """Absorb retransmissions of the ACK."""
    J = "J"
    """Answer retransmissions of another request."""
    K = "K"
    """Absorb retransmissions of the response to it."""
    L = "L"
    """Absorb retransmissions of an INVITE that was accepted."""
    M = "M"
    """Take the 2xx of every fork, and their retransmissions."""
    TRYING = "trying"
    """Send 100 unless something else was said (RFC 3261 §17.2.1)."""
    LATE_TRYING = "late_trying"
    """The same for other requests (RFC 4320 §4.1)."""
    CANCELLED = "cancelled"
    """Give up an INVITE that was cancelled and is not answered (RFC 3261 §9.1)."""
    EXPIRED = "expired"
    """Nobody waits for the response to another request any more (RFC 4320 §4.2)."""


RETRANSMIT = frozenset({Timer.A, Timer.E, Timer.G})
"""Off on reliable transports."""
ABSORB = frozenset({Timer.D, Timer.I, Timer.J, Timer.K})
"""Zero on reliable transports."""


@dataclass(frozen=True, slots=True)
class Timers:
    """Base values in seconds (RFC 3261 §17.1.1.1); everything else follows from them."""

    t1: float = 0.5
    """Estimate of the round trip; the first retransmission comes after this."""
    t2: float = 4.0
    """Longest wait between retransmissions but of INVITE."""
    t4: float = 5.0
    """Longest life of a message in the network."""
    timer_d: float = 32.0
    """At least 32 s on unreliable transports, whatever T1 is: the peer's timer H is not known."""
    trying_s: float = 0.2

    def __post_init__(self) -> None:
        for name in ("t1", "t2", "t4", "timer_d", "trying_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"expected {name} above 0 s, got {getattr(self, name)}")

    @property
    def timer_b(self) -> float:
        return 64 * self.t1

    @property
    def timer_f(self) -> float:
        return 64 * self.t1

    @property
    def timer_h(self) -> float:
        return 64 * self.t1

    @property
    def timer_i(self) -> float:
        return self.t4

    @property
    def timer_j(self) -> float:
        return 64 * self.t1

    @property
    def timer_k(self) -> float:
        return self.t4

    @property
    def timer_l(self) -> float:
        return 64 * self.t1

    @property
    def timer_m(self) -> float:
        return 64 * self.t1

    @property
    def late_trying_s(self) -> float:
        """How long timer E takes to be reset to T2: 3.5 s by default (RFC 4320 §4.1)."""
        elapsed_s = interval_s = self.t1
        while (interval_s := 2 * interval_s) < self.t2:
            elapsed_s += interval_s
        return elapsed_s

    def duration(self, timer: Timer, reliable: bool) -> float | None:
        """Seconds from the start of ``timer`` to its first firing; None when it does not run at all."""
        if reliable:
            if timer in RETRANSMIT:
                return None
            if timer in ABSORB:
                return 0.0
        match timer:
            case Timer.A | Timer.E | Timer.G:
                return self.t1
            case Timer.I | Timer.K:
                return self.t4
            case Timer.D:
                return self.timer_d
            case Timer.TRYING:
                return self.trying_s
            case Timer.LATE_TRYING:
                return self.late_trying_s
            case _:
                return 64 * self.t1
