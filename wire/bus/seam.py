"""What a gateway and a worker ask of the bus."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from wire.ids import CallId, GatewayId, WorkerId
from wire.messages import AnyMessage

Deliver = Callable[[AnyMessage, float], None]
"""Called on the event loop for every message that arrives, in order, with its bus lag in seconds."""


BEAT_S = 0.2
"""A worker that serves calls of a gateway tells it something at least this often, if only that it lives."""


@dataclass(slots=True)
class BusStats:
    """Counters since start; read by the metrics, never reset."""

    sent_messages: int = 0
    sent_superframes: int = 0
    received_messages: int = 0
    damaged_frames: dict[str, int] | None = None
    """Frames that could not be read, by ``WireError.reason``."""
    stale_messages: int = 0
    """Audio that was older than its time to live when it arrived, and was dropped."""
    unsent_messages: int = 0
    """Messages dropped because the outbound buffer was full while Redis was away."""
    repeated_superframes: int = 0
    """Super-frames that were written twice, because the first answer got lost, and dropped once."""
    lost_superframes: int = 0
    """Super-frames that a peer wrote and that never arrived: the stream was trimmed or the server lost it."""
    failed_deliveries: int = 0
    """Messages whose receiver raised; the bus goes on with the next."""


class Bus(Protocol):
    """Carries messages to and from one process, in order per destination."""

    stats: BusStats

    def send(self, to: WorkerId | GatewayId, message: AnyMessage) -> None:
        """Queue a message; it leaves with the next flush, at most a few milliseconds later. Never blocks.

        Raises ValueError for a message larger than any may be (``wire.codec.encode``).
        """

    def away_s(self) -> float:
        """For how long what was sent has been waiting for an answer of the server; 0 while all is well."""

    async def start(self, deliver: Deliver) -> None:
        """Begin to receive what is addressed to this process. Raises BusUnavailableError."""

    async def close(self) -> None:
        """Flush what is queued and stop receiving."""


class BusUnavailableError(Exception):
    """The bus cannot be reached; the text names the address and the setting that holds it."""


class WorkerAdvert(Struct, frozen=True):
    """What a worker offers, renewed with every heartbeat."""

    worker: WorkerId
    engine: str
    slots: int
    chunk_ms: int
    first_chunk_ms: int
    languages: tuple[str, ...] = ("en",)
    agents: tuple[str, ...] = ()
    """Names of the agents it can play; empty means any."""
    zone: str = ""
    """Where it runs: gateways of the same zone come to it first."""


class Wish(Struct, frozen=True):
    """What a call asks of the worker that shall serve it; empty fields ask for nothing."""

    agent: str = ""
    engine: str = ""
    language: str = ""
    chunk_ms: int = 0
    first_chunk_ms: int = 0
    zone: str = ""
    """Workers of this zone are preferred, not required."""
    instead_of: WorkerId = WorkerId("")
    """The call's worker, which will not do any more; the call keeps its slot there until another has one."""
    suspect: bool = False
    """``instead_of`` shows no sign of life: it is offered to nobody until its next heartbeat."""


class Lease(Struct, frozen=True):
    """One slot of one worker, held for one call."""

    call: CallId
    worker: WorkerId
    engine: str
    chunk_ms: int
    first_chunk_ms: int


ANYTHING = Wish()


class Placement(Protocol):
    """Who serves which call. Leases are atomic: no two gateways can fill the same slot."""

    async def advertise(self, advert: WorkerAdvert, ttl_s: float) -> None:
        """Offer slots for ``ttl_s`` seconds; repeat as a heartbeat."""

    async def withdraw(self, worker: WorkerId) -> None:
        """Offer no more slots. Leases that are held stay valid."""

    async def lease(self, call: CallId, ttl_s: float, wish: Wish = ANYTHING) -> Lease | None:
        """Hold a slot of the live worker with the most free ones that can do what is wished; None when there is none.

        Idempotent: a call that already holds a lease on a live worker gets the same one, renewed, unless it wishes
        for another one ``instead_of`` that.
        """

    async def renew(self, calls: Iterable[CallId], ttl_s: float) -> list[CallId]:
        """Hold the leases of these calls for another ``ttl_s`` seconds; returns those that others hold by now."""

    async def release(self, call: CallId) -> None:
        """Give the slot back. Unknown calls are ignored."""


class OneTimeTokens(Protocol):
    """Remembers which one-time tokens were used, across gateways."""

    async def spend(self, nonce: str, ttl_s: float) -> bool:
        """True for the first caller with this nonce, False for every later one within ``ttl_s``."""
