"""Our certificate for DTLS-SRTP (RFC 5763 §5): self-signed, known to peers by its fingerprint alone."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from gateway.rtp.srtp import DTLS_PROFILES, Suite

_DTLS_1_2 = 0xFEFD
_LIFETIME = timedelta(days=365)
_CLOCK_SKEW = timedelta(days=1)  # some peers do look at the dates
# Forward secrecy only. Peers with RSA certificates or without AEAD are let in: their media is no weaker for it.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL"


@dataclass(frozen=True, slots=True)
class DtlsIdentity:
    """A certificate with its key, ready for handshakes; one serves all calls of a process."""

    fingerprint: bytes = field(repr=False)
    """SHA-256 of the certificate: what ``a=fingerprint:sha-256`` says."""
    context: SSL.Context = field(repr=False)


def make_identity(not_before: datetime, suites: tuple[Suite, ...] = tuple(DTLS_PROFILES.values())) -> DtlsIdentity:
    """A new ECDSA P-256 key and its certificate, good for a year; ``suites`` are those offered, best first.

    Takes the present time (with a time zone), and chance from OpenSSL: call it once when the process starts.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    # The name says nothing of the host: whoever listens on the way can read it.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "twowire")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before - _CLOCK_SKEW)
        .not_valid_after(not_before + _LIFETIME)
        .sign(key, SHA256())
    )
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)  # one version, one way to lose and repeat its messages
    context.use_certificate(certificate)
    context.use_privatekey(key)
    context.set_cipher_list(_CIPHERS)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # Each side shows a certificate. No authority vouches for it; the fingerprint is compared before keys are given out.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    profiles = [name for name, suite in DTLS_PROFILES.items() if suite in suites]
    profiles.sort(key=lambda name: suites.index(DTLS_PROFILES[name]))
    context.set_tlsext_use_srtp(":".join(profiles).encode())
    return DtlsIdentity(sha256(certificate.public_bytes(Encoding.DER)).digest(), context)
