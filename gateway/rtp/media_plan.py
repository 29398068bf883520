"""What a media stream asks of the agreement it carries out: the shape that ``gateway.sdp.plan.MediaPlan`` has."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

Address = tuple[str, int]


class Ways(Protocol):
    """The direction of media as we see it (RFC 3264 §5.1)."""

    @property
    def sends(self) -> bool: ...

    @property
    def receives(self) -> bool: ...


@runtime_checkable
class Keys(Protocol):
    """SRTP master keys with their salts, as an SDP brings them (RFC 4568)."""

    @property
    def suite(self) -> str: ...

    @property
    def local_key(self) -> bytes: ...

    @property
    def remote_key(self) -> bytes: ...


class AgreedMedia(Protocol):
    """One audio stream. Payload types ``_out`` are what the peer wants to receive, ``_in`` what it will send."""

    @property
    def codec(self) -> str: ...

    @property
    def payload_type_out(self) -> int: ...

    @property
    def payload_type_in(self) -> int: ...

    @property
    def dtmf_out(self) -> int | None: ...

    @property
    def dtmf_in(self) -> int | None: ...

    @property
    def cn_in(self) -> int | None: ...

    @property
    def ptime_ms(self) -> int: ...

    @property
    def bitrate_bps(self) -> int:
        """The most that the peer takes, where we have a choice: of Opus."""

    @property
    def fec(self) -> bool:
        """The peer can make use of Opus packets that repeat the one before."""

    @property
    def remote(self) -> Address: ...

    @property
    def remote_rtcp(self) -> Address: ...

    @property
    def rtcp_mux(self) -> bool: ...

    @property
    def direction(self) -> Ways: ...

    @property
    def may_send(self) -> bool:
        """The direction lets us, and ``remote`` is a place that one may send to."""

    @property
    def security(self) -> object:
        """None for plain RTP, ``Keys``, or anything else for a handshake that has yet to give them."""


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    """Who we are in RTP, drawn by chance once per call (RFC 3550 §8, RFC 7022).

    ``first_seq`` belongs below 2**15 when media may be encrypted (see ``sender.SenderConfig``).
    """

    ssrc: int
    first_seq: int
    first_timestamp: int
    cname: str
