"""DTLS-SRTP in the session description: ``a=fingerprint`` (RFC 8122) and ``a=setup`` (RFC 4145, RFC 5763 §5)."""

from enum import StrEnum
from typing import NamedTuple

from gateway.sdp.description import Attribute, Media, SessionDescription

HASHES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Bytes of a digest. The weaker ones of RFC 8122 §5 are not believed: what vouches for the keys must not be forged."""

_MAX_FINGERPRINTS = 8


class Fingerprint(NamedTuple):
    """Hash over the DER form of a certificate."""

    hash_name: str
    digest: bytes

    def __repr__(self) -> str:
        return f"Fingerprint({self.hash_name!r}, <redacted>)"

    def __str__(self) -> str:
        return repr(self)

    def attribute(self) -> Attribute:
        return Attribute("fingerprint", f"{self.hash_name} {self.digest.hex(':').upper()}")


class DtlsRole(StrEnum):
    """Who begins the handshake: the client does. The value is the word in ``a=setup``."""

    CLIENT = "active"
    SERVER = "passive"

    @property
    def other(self) -> "DtlsRole":
        return DtlsRole.SERVER if self is DtlsRole.CLIENT else DtlsRole.CLIENT


def read_fingerprints(description: SessionDescription, media: Media) -> tuple[Fingerprint, ...]:
    """Those of the stream, else of the session, that we believe; one that matches is enough (RFC 8122 §5)."""
    values = media.get_all("fingerprint") or description.get_all("fingerprint")
    found = []
    for value in values[:_MAX_FINGERPRINTS]:
        name, _, text = value.partition(" ")
        try:
            digest = bytes.fromhex(text.replace(":", ""))
        except ValueError:
            continue
        if HASHES.get(name.lower()) == len(digest):
            found.append(Fingerprint(name.lower(), digest))
    return tuple(found)


def read_setup(description: SessionDescription, media: Media, default: str) -> str:
    """``active``, ``passive``, ``actpass``, ``holdconn`` or another word. RFC 4145 §4 has the default of each side."""
    value = media.get("setup")
    if value is None:
        value = description.get("setup")
    return default if value is None else value.lower()
