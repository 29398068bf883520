"""Encrypted media (RFC 3711, RFC 7714): one call's packets into SRTP and back, over libsrtp.

Nothing that fails to authenticate, or comes a second time, gets through; such packets are counted by reason.
Keys come from SDP (RFC 4568) or from a DTLS handshake (RFC 5764).
"""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum

from pylibsrtp import Error, Policy, Session

REPLAY_WINDOW = 128  # packets: 2.5 s at 20 ms, beyond any jitter buffer (RFC 3711 §3.3.2 asks for 64 at least)
MAX_SOURCES = 64  # each SSRC costs libsrtp a context; a peer restarts its stream a few times in a call


class Suite(StrEnum):
    """The suites we speak, by their names in SDP (RFC 4568 §6.2, RFC 7714 §14.2)."""

    AES_CM_128_HMAC_SHA1_80 = "AES_CM_128_HMAC_SHA1_80"
    AES_CM_128_HMAC_SHA1_32 = "AES_CM_128_HMAC_SHA1_32"
    AEAD_AES_128_GCM = "AEAD_AES_128_GCM"
    AEAD_AES_256_GCM = "AEAD_AES_256_GCM"

    @property
    def key_bytes(self) -> int:
        return 32 if self is Suite.AEAD_AES_256_GCM else 16

    @property
    def salt_bytes(self) -> int:
        return 12 if self in (Suite.AEAD_AES_128_GCM, Suite.AEAD_AES_256_GCM) else 14

    @property
    def master_bytes(self) -> int:
        """Master key and salt together: what ``inline:`` carries (RFC 4568 §6.1), once decoded."""
        return self.key_bytes + self.salt_bytes


DTLS_PROFILES = {
    "SRTP_AEAD_AES_256_GCM": Suite.AEAD_AES_256_GCM,
    "SRTP_AEAD_AES_128_GCM": Suite.AEAD_AES_128_GCM,
    "SRTP_AES128_CM_SHA1_80": Suite.AES_CM_128_HMAC_SHA1_80,
    "SRTP_AES128_CM_SHA1_32": Suite.AES_CM_128_HMAC_SHA1_32,
}
"""The names OpenSSL has for them in ``use_srtp`` (RFC 5764 §4.1.2, RFC 7714 §14.2), best first."""

DTLS_EXPORTER_LABEL = b"EXTRACTOR-dtls_srtp"

_PROFILES = {
    Suite.AES_CM_128_HMAC_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    Suite.AES_CM_128_HMAC_SHA1_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    Suite.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    Suite.AEAD_AES_256_GCM: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}

_REASONS = {
    "authentication failure": "auth",
    "replay check failed (bad index)": "replayed",
    "replay check failed (index too old)": "replayed",
    "packet index is too old to consider": "replayed",
    "can't use key any more": "key_used_up",
}


def exported_bytes(suite: Suite) -> int:
    """How much keying material to ask the DTLS exporter for, under ``DTLS_EXPORTER_LABEL`` (RFC 5764 §4.2)."""
    return 2 * suite.master_bytes


def split_exported(suite: Suite, material: bytes, *, client: bool) -> tuple[bytes, bytes]:
    """``(local, remote)`` master key and salt out of exported keying material; ``client``: we were the DTLS client.

    Its order is client key, server key, client salt, server salt (RFC 5764 §4.2). Raises ValueError for another length.
    """
    if len(material) != exported_bytes(suite):
        raise ValueError(f"expected {exported_bytes(suite)} bytes of keying material, got {len(material)}")
    key, salts = suite.key_bytes, 2 * suite.key_bytes
    of_client = material[:key] + material[salts : salts + suite.salt_bytes]
    of_server = material[key:salts] + material[salts + suite.salt_bytes :]
    return (of_client, of_server) if client else (of_server, of_client)


class SrtpSession:
    """Both directions of one call. No method raises for what a packet holds."""

    __slots__ = ("_inbound", "_known", "_local_key", "_outbound", "_remote_key", "errors", "suite")

    def __init__(self, suite: str, local_key: bytes, remote_key: bytes) -> None:
        """Keys are master key and salt. Raises ValueError for an unknown suite or a key of another length."""
        self.errors: Counter[str] = Counter()
        self._known: set[bytes] = set()
        self.suite = _checked_suite(suite, local_key, remote_key)
        self._local_key, self._remote_key = local_key, remote_key
        self._outbound = self._session(local_key, Policy.SSRC_ANY_OUTBOUND)
        self._inbound = self._session(remote_key, Policy.SSRC_ANY_INBOUND)

    def rekey(self, suite: str, local_key: bytes, remote_key: bytes) -> None:
        """Go on under these keys; raises as the constructor does, and then changes nothing.

        A direction whose key changes begins with a roll-over counter of 0 (RFC 4568 §6.4). One whose key stays goes on
        as it was: to begin anew under the same key would use its key stream twice.
        """
        checked = _checked_suite(suite, local_key, remote_key)
        other_suite, self.suite = checked is not self.suite, checked
        if other_suite or local_key != self._local_key:
            self._local_key = local_key
            self._outbound = self._session(local_key, Policy.SSRC_ANY_OUTBOUND)
        if other_suite or remote_key != self._remote_key:
            self._remote_key = remote_key
            self._inbound = self._session(remote_key, Policy.SSRC_ANY_INBOUND)
            self._known.clear()

    def _session(self, key: bytes, direction: int) -> Session:
        policy = Policy(bytes(key), direction, srtp_profile=_PROFILES[self.suite])
        policy.window_size = REPLAY_WINDOW
        return Session(policy)

    def __repr__(self) -> str:
        return f"SrtpSession(suite={self.suite.value!r}, keys=<redacted>)"

    def protect(self, packet: bytes | bytearray) -> bytes | None:
        """An RTP packet as SRTP; None when it could not be, which is counted."""
        return self._seal(self._outbound.protect, packet)

    def protect_rtcp(self, packet: bytes | bytearray) -> bytes | None:
        """A compound RTCP packet as SRTCP; None when it could not be, which is counted."""
        return self._seal(self._outbound.protect_rtcp, packet)

    def unprotect(self, packet: bytes) -> bytes | None:
        """The RTP packet in an SRTP one that is authentic and new; None for all others."""
        return self._open(self._inbound.unprotect, packet, packet[8:12])

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """The RTCP packet in an SRTCP one that is authentic and new; None for all others."""
        return self._open(self._inbound.unprotect_rtcp, packet, packet[4:8])

    def _seal(self, protect: Callable[[bytes], bytes], packet: bytes | bytearray) -> bytes | None:
        try:
            return protect(bytes(packet))
        except (Error, ValueError) as error:
            self._count("protect_", error)
        return None

    def _open(self, unprotect: Callable[[bytes], bytes], packet: bytes, source: bytes) -> bytes | None:
        if source not in self._known and len(self._known) >= MAX_SOURCES:
            self.errors["too_many_sources"] += 1
            return None
        try:
            plain = unprotect(packet)
        except (Error, ValueError) as error:
            self._count("", error)
            return None
        self._known.add(source)  # only now: what a stranger sends must not use up the peer's sources
        return plain

    def _count(self, direction: str, error: Exception) -> None:
        reason = "too_long" if isinstance(error, ValueError) else _REASONS.get(str(error), "malformed")
        self.errors[direction + reason] += 1


def _checked_suite(suite: str, *keys: bytes) -> Suite:
    known = Suite(suite)
    for key in keys:
        if len(key) != known.master_bytes:
            raise ValueError(f"expected {known.master_bytes} bytes of key and salt, got {len(key)}")
    return known
