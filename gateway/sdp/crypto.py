"""SRTP keys in the session description: ``a=crypto`` (RFC 4568, suites of RFC 7714)."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.sdp.description import Attribute, Media

SUITES = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AEAD_AES_256_GCM": 44,
    "AEAD_AES_128_GCM": 28,
    "AES_CM_128_HMAC_SHA1_32": 30,
}
"""Bytes of master key and salt together (RFC 4568 §6.2, RFC 7714 §14.2), in the order we offer them."""

MIN_LIFETIME_PACKETS = 2**20  # the least that peers write: 5.8 hours of 20 ms packets. Nothing here changes keys midway
MAX_LIFETIME_PACKETS = 2**48  # RFC 3711 §9.2
_MAX_LINES = 16
_HARMLESS = ("WSH=", "-")  # a hint for the replay window; parameters that may be ignored (RFC 4568 §6.3.6, §6.3.7)


@dataclass(frozen=True, slots=True, repr=False)
class CryptoLine:
    """One suite with the writer's master key and salt: what the writer encrypts with."""

    tag: int
    suite: str
    key: bytes

    def __repr__(self) -> str:
        return f"CryptoLine({self.tag}, {self.suite!r}, <redacted>)"

    def attribute(self) -> Attribute:
        """The wire form, without lifetime (the suite's own then holds) and without MKI."""
        return Attribute("crypto", f"{self.tag} {self.suite} inline:{b64encode(self.key).decode()}")


def read_crypto(media: Media) -> Iterator[CryptoLine]:
    """The lines of a stream that we can honour, in the writer's order of preference.

    Left out (RFC 4568 §5.1.2 lets the answerer choose) are unknown suites, keys of a wrong length, more than one key or
    an MKI (our packets have none), lifetimes shorter than a call, and session parameters that take protection away.
    """
    for value in media.get_all("crypto")[:_MAX_LINES]:
        parts = value.split()
        if len(parts) >= 3 and parts[0].isascii() and parts[0].isdigit() and len(parts[0]) <= 9:
            suite = parts[1].upper()
            key = _read_key(parts[2], SUITES.get(suite, -1))
            if key is not None and all(_is_harmless(parameter.upper()) for parameter in parts[3:]):
                yield CryptoLine(int(parts[0]), suite, key)


def _is_harmless(parameter: str) -> bool:
    return parameter.startswith(_HARMLESS) or parameter == "KDR=0"


def _read_key(parameters: str, length: int) -> bytes | None:
    method, _, info = parameters.partition(":")
    if method.lower() != "inline" or ";" in info:
        return None
    text, *rest = info.split("|")
    if len(rest) > 1 or any(":" in part or not _lives_long(part) for part in rest):
        return None
    try:
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)  # some leave the padding out
    except (Base64Error, ValueError):
        return None
    return key if len(key) == length else None


def _lives_long(lifetime: str) -> bool:
    power = lifetime.removeprefix("2^")
    if not (power.isascii() and power.isdigit() and len(power) <= 15):
        return False
    packets = int(power)
    if lifetime.startswith("2^"):
        packets = 2**packets if packets <= 48 else 0
    return MIN_LIFETIME_PACKETS <= packets <= MAX_LIFETIME_PACKETS
