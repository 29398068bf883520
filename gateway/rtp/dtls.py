"""The DTLS handshake that agrees on SRTP keys (RFC 5763, RFC 5764, RFC 6347), over OpenSSL without a socket.

OpenSSL repeats a lost flight by a clock of its own, after a second: too long while somebody says "hello?". So the last
flight is kept and repeated as it was, on the clock of the caller, and OpenSSL does it whenever its own time is up, with
new record numbers. A peer that repeats datagrams as they were (as this does) is answered by our last flight again:
OpenSSL itself drops them as replayed.
"""

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from gateway.rtp.dtls_identity import DtlsIdentity
from gateway.rtp.srtp import DTLS_EXPORTER_LABEL, DTLS_PROFILES, Suite, exported_bytes, split_exported

FIRST_REPEAT_S = 0.25  # longer than the round trip of nearly all calls; a repeat too many does no harm
MAX_REPEAT_S = 4.0
GIVE_UP_S = 30.0
MTU = 1_200  # with UDP and IPv6 below 1,280, which every path carries
MAX_ECHOES = 16  # how often a repeated datagram is answered once our part is done
_RECORD_BYTES = 13
_HANDSHAKE_TYPES = range(20, 24)
_HASHES = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
_MAX_KEPT = 32


class DtlsState(Enum):
    """Where a handshake stands."""

    SHAKING = "shaking"
    UNTRUSTED = "untrusted"
    """Complete, but no fingerprint is known yet to hold the peer's certificate against."""
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Keys:
    """For ``srtp.SrtpSession``: master key and salt of each direction."""

    suite: Suite
    local_key: bytes = field(repr=False)
    remote_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HandshakeFailed:
    """No keys will come. ``reason``: timeout, fingerprint, no_certificate, no_srtp, closed, or protocol."""

    reason: str


def is_dtls(datagram: bytes) -> bool:
    """Tell DTLS from RTP, RTCP and STUN on one port (RFC 7983 §7)."""
    return bool(datagram) and 20 <= datagram[0] <= 63


class DtlsHandshake:
    """One handshake. Give it all datagrams that ``is_dtls``, after the end as well: the peer may have lost our last.

    ``fingerprints`` are those of the peer's SDP, as ``(hash, digest)``; keys are given out only when the certificate
    matches one. Who has sent an offer may begin without any and add them by ``trust`` (RFC 5763 §6.2).
    """

    def __init__(
        self, identity: DtlsIdentity, *, client: bool, now: float, fingerprints: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        self.state = DtlsState.SHAKING
        self._client = client
        self._fingerprints = tuple(fingerprints)
        self._effects: deque[bytes | Keys | HandshakeFailed] = deque()
        self._flight: list[bytes] = []
        self._heard: deque[bytes] = deque(maxlen=_MAX_KEPT)
        self._give_up_at = now + GIVE_UP_S
        self._repeat_at: float | None = None
        self._repeat_s = FIRST_REPEAT_S
        self._echoes = self._repeats = self._dropped = 0
        self._connection = SSL.Connection(identity.context, None)
        self._connection.set_ciphertext_mtu(MTU)
        if client:
            self._connection.set_connect_state()
            self._advance(now)
        else:
            self._connection.set_accept_state()

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram from the peer's address. Nothing it holds raises."""
        if self.state is DtlsState.FAILED:
            return
        if not _is_whole(datagram):
            self._dropped += 1
            return
        repeated = datagram in self._heard
        if not repeated:
            self._heard.append(datagram)
        self._connection.bio_write(datagram)
        self._advance(now)
        if repeated and self._repeat_at is None and self._flight and self._echoes < MAX_ECHOES:
            self._echoes += 1
            self._effects.extend(self._flight)

    def trust(self, fingerprints: Sequence[tuple[str, bytes]]) -> None:
        """The peer's SDP has come. Keys follow at once when the handshake is over and the certificate matches."""
        self._fingerprints = tuple(fingerprints)
        if self.state is DtlsState.UNTRUSTED:
            self._conclude()

    def handle_deadline(self, now: float) -> None:
        """Repeat the last flight, or give up."""
        if self.state is DtlsState.SHAKING and now >= self._give_up_at:
            self._fail("timeout")
        if self._repeat_at is None or now < self._repeat_at:
            return
        self._repeats += 1
        self._repeat_s = min(2 * self._repeat_s, MAX_REPEAT_S)
        self._repeat_at = now + self._repeat_s
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error:
            self._fail("timeout")
            return
        fresh = self._written()
        if fresh:
            self._flight = fresh
        self._effects.extend(self._flight)

    def next_deadline(self) -> float | None:
        """When to call ``handle_deadline``; None when nothing is awaited."""
        if self.state is not DtlsState.SHAKING:
            return None
        return self._give_up_at if self._repeat_at is None else min(self._repeat_at, self._give_up_at)

    def poll(self) -> bytes | Keys | HandshakeFailed | None:
        """A datagram for the peer, the keys, or the end without; None when there is no more."""
        return self._effects.popleft() if self._effects else None

    def stats(self) -> dict[str, float]:
        return {"repeats": self._repeats, "echoes": self._echoes, "dropped": self._dropped}

    def _advance(self, now: float) -> None:
        try:
            if self.state is DtlsState.SHAKING:
                self._connection.do_handshake()
                finished = True
            else:
                finished = False
                self._connection.recv(1)  # reads what the peer repeats, and answers it
        except SSL.WantReadError:
            finished = False
        except SSL.ZeroReturnError:
            finished = False
            if self.state is DtlsState.SHAKING:
                self._fail("closed")
        except SSL.Error as error:
            finished = False
            if self.state is DtlsState.SHAKING:
                self._fail("no_certificate" if "did not return a certificate" in str(error) else "protocol")
        written = self._written()
        if written:
            self._flight = written
            self._effects.extend(written)
            if self.state is DtlsState.SHAKING and not finished:
                self._repeat_s = FIRST_REPEAT_S
                self._repeat_at = now + self._repeat_s
        if finished:
            self._repeat_at = None
            if self._client:
                self._flight = []  # the peer's Finished has come, so it has all of ours
            self._conclude()

    def _conclude(self) -> None:
        """Hold the certificate against the SDP, then give out the keys."""
        if not self._fingerprints:
            self.state = DtlsState.UNTRUSTED
            return
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            self._fail("no_certificate")
            return
        der = certificate.public_bytes(Encoding.DER)
        if not any(_digest(name, der) == digest for name, digest in self._fingerprints):
            self._fail("fingerprint")
            return
        suite = DTLS_PROFILES.get(self._connection.get_selected_srtp_profile().decode())
        if suite is None:
            self._fail("no_srtp")
            return
        material = self._connection.export_keying_material(DTLS_EXPORTER_LABEL, exported_bytes(suite), None)
        local, remote = split_exported(suite, material, client=self._client)
        self.state = DtlsState.DONE
        self._effects.append(Keys(suite, local, remote))

    def _fail(self, reason: str) -> None:
        self.state = DtlsState.FAILED
        self._repeat_at = None
        self._effects.append(HandshakeFailed(reason))

    def _written(self) -> list[bytes]:
        """What OpenSSL has written, as datagrams: as many whole records in each as fit."""
        chunks = []
        while True:
            try:
                chunks.append(self._connection.bio_read(65_536))
            except SSL.WantReadError:
                break
        data = b"".join(chunks)
        datagrams = []
        start = end = 0
        while end < len(data):
            following = end + _RECORD_BYTES + int.from_bytes(data[end + 11 : end + 13])
            if following - start > MTU and end > start:
                datagrams.append(data[start:end])
                start = end
            end = following
        if end > start:
            datagrams.append(data[start:end])
        return datagrams


def _is_whole(datagram: bytes) -> bool:
    """Records of a handshake, complete: a cut one would be glued to the next datagram."""
    position = 0
    while position + _RECORD_BYTES <= len(datagram):
        if datagram[position] not in _HANDSHAKE_TYPES:
            return False
        position += _RECORD_BYTES + int.from_bytes(datagram[position + 11 : position + 13])
    return 0 < position == len(datagram)


def _digest(name: str, der: bytes) -> bytes | None:
    algorithm = _HASHES.get(name)
    return None if algorithm is None else hashlib.new(algorithm, der).digest()
