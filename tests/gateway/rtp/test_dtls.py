import random
from datetime import UTC, datetime
from hashlib import sha256, sha512

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from gateway.rtp.dtls import (
    FIRST_REPEAT_S,
    GIVE_UP_S,
    MTU,
    DtlsHandshake,
    DtlsState,
    HandshakeFailed,
    Keys,
    is_dtls,
)
from gateway.rtp.dtls_identity import DtlsIdentity, make_identity
from gateway.rtp.srtp import SrtpSession, Suite

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ALICE = make_identity(NOON)
BOB = make_identity(NOON)
PACKET = bytes.fromhex("8000000100000000deadbeef") + b"\xff" * 160


def sha256_of(identity: DtlsIdentity) -> list[tuple[str, bytes]]:
    return [("sha-256", identity.fingerprint)]


def pair(client_sees: DtlsIdentity = BOB, server_sees: DtlsIdentity = ALICE) -> tuple[DtlsHandshake, DtlsHandshake]:
    client = DtlsHandshake(ALICE, client=True, now=0.0, fingerprints=sha256_of(client_sees))
    server = DtlsHandshake(BOB, client=False, now=0.0, fingerprints=sha256_of(server_sees))
    return client, server


class Path:
    """Carries datagrams between two handshakes in 20 ms, loses and doubles some."""

    def __init__(self, client: DtlsHandshake, server: DtlsHandshake, seed: int = 0, loss: float = 0.0) -> None:
        self.sides = (client, server)
        self.results: tuple[list[Keys | HandshakeFailed], list[Keys | HandshakeFailed]] = ([], [])
        self.sizes: list[int] = []
        self.now = 0.0
        self._chance = random.Random(seed)
        self._loss = loss
        self._on_the_way: list[tuple[float, int, bytes]] = []

    def drain(self) -> None:
        for side, machine in enumerate(self.sides):
            while (effect := machine.poll()) is not None:
                if not isinstance(effect, bytes):
                    self.results[side].append(effect)
                    continue
                self.sizes.append(len(effect))
                for _ in range(2 if self._chance.random() < self._loss / 2 else 1):
                    if self._chance.random() >= self._loss:
                        delay_s = 0.02 + (0.03 * self._chance.random() if self._loss else 0.0)
                        self._on_the_way.append((self.now + delay_s, 1 - side, effect))

    def run(self, until: float) -> None:
        while True:
            self.drain()
            times = [at for at, _, _ in self._on_the_way]
            times += [at for side in self.sides if (at := side.next_deadline()) is not None]
            if not times or min(times) > until:
                return
            self.now = min(times)
            due = [entry for entry in self._on_the_way if entry[0] <= self.now]
            self._on_the_way = [entry for entry in self._on_the_way if entry[0] > self.now]
            for _, side, datagram in due:
                self.sides[side].receive(datagram, self.now)
            for machine in self.sides:
                if (at := machine.next_deadline()) is not None and at <= self.now:
                    machine.handle_deadline(self.now)


def agreed(path: Path) -> tuple[Keys, Keys]:
    (client,), (server,) = path.results
    assert isinstance(client, Keys)
    assert isinstance(server, Keys)
    return client, server


def test_both_sides_end_with_the_same_keys_in_two_round_trips():
    path = Path(*pair())
    path.run(until=1.0)
    client, server = agreed(path)
    assert (client.local_key, client.remote_key) == (server.remote_key, server.local_key)
    assert client.local_key != client.remote_key
    assert client.suite is server.suite is Suite.AEAD_AES_256_GCM
    assert path.now == pytest.approx(0.08)
    assert max(path.sizes) <= MTU


def test_the_keys_carry_media_both_ways():
    path = Path(*pair())
    path.run(until=1.0)
    client, server = (SrtpSession(keys.suite, keys.local_key, keys.remote_key) for keys in agreed(path))
    for sender, receiver in ((client, server), (server, client)):
        protected = sender.protect(PACKET)
        assert protected is not None
        assert receiver.unprotect(protected) == PACKET


@pytest.mark.parametrize("suite", list(Suite))
def test_each_suite_can_be_the_only_one(suite):
    picky = make_identity(NOON, (suite,))
    client = DtlsHandshake(picky, client=True, now=0.0, fingerprints=sha256_of(BOB))
    path = Path(client, DtlsHandshake(BOB, client=False, now=0.0, fingerprints=sha256_of(picky)))
    path.run(until=1.0)
    assert {keys.suite for keys in agreed(path)} == {suite}
    assert {len(keys.local_key) for keys in agreed(path)} == {suite.master_bytes}


@pytest.mark.parametrize("seed", range(40))
def test_a_handshake_survives_a_path_that_loses_doubles_and_swaps(seed):
    path = Path(*pair(), seed=seed, loss=0.3)
    path.run(until=GIVE_UP_S)
    client, server = agreed(path)
    assert (client.local_key, client.remote_key) == (server.remote_key, server.local_key), f"seed {seed}"


def test_a_lost_first_datagram_is_repeated_after_a_quarter_of_a_second():
    client, server = pair()
    first = client.poll()
    assert isinstance(first, bytes)
    assert client.next_deadline() == FIRST_REPEAT_S
    client.handle_deadline(FIRST_REPEAT_S - 0.01)
    assert client.poll() is None
    client.handle_deadline(FIRST_REPEAT_S)
    assert client.poll() == first
    assert client.next_deadline() == pytest.approx(3 * FIRST_REPEAT_S)
    assert client.stats()["repeats"] == 1
    server.receive(first, now=FIRST_REPEAT_S)
    assert isinstance(server.poll(), bytes)


def carry(sender: DtlsHandshake, receiver: DtlsHandshake, now: float = 0.0) -> list[bytes]:
    """Everything that ``sender`` has for ``receiver``; keys are left out."""
    carried = []
    while (effect := sender.poll()) is not None:
        if isinstance(effect, bytes):
            carried.append(effect)
            receiver.receive(effect, now)
    return carried


def test_the_server_repeats_its_last_flight_for_a_client_that_lost_it():
    client, server = pair()
    carry(client, server)
    carry(server, client)
    carry(client, server)
    assert server.state is DtlsState.DONE
    while server.poll() is not None:  # lost
        pass
    at = client.next_deadline()
    assert at is not None  # it still waits
    client.handle_deadline(at)
    carry(client, server, at)
    carry(server, client, at)
    assert client.state is DtlsState.DONE
    assert server.stats()["echoes"] >= 1


def test_replayed_datagrams_draw_a_bounded_number_of_answers():
    client, server = pair()
    first = carry(client, server)
    carry(server, client)
    last = carry(client, server)
    while server.poll() is not None:
        pass
    answers = 0
    for _ in range(200):
        for datagram in (*first, *last):
            server.receive(datagram, now=1.0)
        while server.poll() is not None:
            answers += 1
    assert 0 < answers <= 32


@pytest.mark.parametrize(("client_sees", "server_sees", "failing"), [(ALICE, ALICE, 0), (BOB, BOB, 1)])
def test_no_keys_for_a_certificate_that_the_sdp_does_not_name(client_sees, server_sees, failing):
    path = Path(*pair(client_sees, server_sees))
    path.run(until=GIVE_UP_S)
    assert path.results[failing] == [HandshakeFailed("fingerprint")]
    assert path.sides[failing].state is DtlsState.FAILED


def test_any_of_several_fingerprints_is_enough_and_stronger_hashes_count():
    probe = SSL.Connection(BOB.context, None)
    certificate = probe.get_certificate(as_cryptography=True)
    assert certificate is not None
    digest = sha512(certificate.public_bytes(Encoding.DER)).digest()
    client = DtlsHandshake(ALICE, client=True, now=0.0, fingerprints=[("sha-256", bytes(32)), ("sha-512", digest)])
    path = Path(client, DtlsHandshake(BOB, client=False, now=0.0, fingerprints=sha256_of(ALICE)))
    path.run(until=1.0)
    agreed(path)


def test_a_hash_that_is_not_believed_matches_nothing():
    client = DtlsHandshake(ALICE, client=True, now=0.0, fingerprints=[("md5", bytes(16))])
    path = Path(client, DtlsHandshake(BOB, client=False, now=0.0, fingerprints=sha256_of(ALICE)))
    path.run(until=GIVE_UP_S)
    assert path.results[0] == [HandshakeFailed("fingerprint")]


def test_a_handshake_may_end_before_the_sdp_comes_but_gives_no_keys_until_then():
    client = DtlsHandshake(ALICE, client=True, now=0.0, fingerprints=sha256_of(BOB))
    server = DtlsHandshake(BOB, client=False, now=0.0)
    path = Path(client, server)
    path.run(until=1.0)
    assert server.state is DtlsState.UNTRUSTED
    assert path.results[1] == []
    server.trust(sha256_of(ALICE))
    path.drain()
    agreed(path)


def test_a_late_sdp_with_another_fingerprint_gives_no_keys():
    server = DtlsHandshake(BOB, client=False, now=0.0)
    path = Path(DtlsHandshake(ALICE, client=True, now=0.0, fingerprints=sha256_of(BOB)), server)
    path.run(until=1.0)
    server.trust(sha256_of(BOB))
    path.drain()
    assert path.results[1] == [HandshakeFailed("fingerprint")]


def stranger(*, srtp: bool, certificate: bool) -> DtlsIdentity:
    """Somebody else's DTLS, with a part missing."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    if srtp:
        context.set_tlsext_use_srtp(b"SRTP_AES128_CM_SHA1_80")
    digest = bytes(32)
    if certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
        builder = x509.CertificateBuilder(name, name, key.public_key(), 7, NOON, datetime(2027, 6, 1, tzinfo=UTC))
        signed = builder.sign(key, SHA256())
        context.use_certificate(signed)
        context.use_privatekey(key)
        digest = sha256(signed.public_bytes(Encoding.DER)).digest()
    return DtlsIdentity(digest, context)


@pytest.mark.parametrize("is_client", [True, False])
def test_dtls_without_srtp_gives_no_keys(is_client):
    other = stranger(srtp=False, certificate=True)
    ours = DtlsHandshake(BOB, client=not is_client, now=0.0, fingerprints=sha256_of(other))
    theirs = DtlsHandshake(other, client=is_client, now=0.0, fingerprints=sha256_of(BOB))
    path = Path(*((theirs, ours) if is_client else (ours, theirs)))
    path.run(until=GIVE_UP_S)
    assert path.results == ([HandshakeFailed("no_srtp")], [HandshakeFailed("no_srtp")])


def test_a_client_without_a_certificate_is_refused():
    client = DtlsHandshake(stranger(srtp=True, certificate=False), client=True, now=0.0, fingerprints=sha256_of(BOB))
    path = Path(client, DtlsHandshake(BOB, client=False, now=0.0, fingerprints=sha256_of(ALICE)))
    path.run(until=GIVE_UP_S)
    assert path.results[1] == [HandshakeFailed("no_certificate")]
    assert not any(isinstance(result, Keys) for result in path.results[0])


def test_a_peer_that_never_answers_is_given_up():
    client, _ = pair()
    sent, now = 0, 0.0
    while (at := client.next_deadline()) is not None:
        now = at
        client.handle_deadline(at)
        while (effect := client.poll()) is not None:
            sent += isinstance(effect, bytes)
    assert effect is None
    assert now == GIVE_UP_S
    assert client.state is DtlsState.FAILED
    assert 8 <= sent <= 15


def test_a_server_that_hears_nothing_gives_up_too():
    _, server = pair()
    assert server.next_deadline() == GIVE_UP_S
    server.handle_deadline(GIVE_UP_S)
    assert server.poll() == HandshakeFailed("timeout")
    assert server.next_deadline() is None


def test_dtls_is_told_from_rtp_rtcp_and_stun():
    client, _ = pair()
    hello = client.poll()
    assert isinstance(hello, bytes)
    assert is_dtls(hello)
    assert not any(is_dtls(datagram) for datagram in (b"", PACKET, b"\x80\xc8" + bytes(26), b"\x00\x01" + bytes(18)))


def test_keys_never_show():
    path = Path(*pair())
    path.run(until=1.0)
    keys, _ = agreed(path)
    for text in (repr(keys), str(keys), repr(ALICE)):
        assert keys.local_key.hex() not in text
        assert repr(keys.local_key) not in text
        assert repr(ALICE.fingerprint) not in text


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=80) | st.integers(0, 1_000), max_size=8))
def test_no_datagram_raises(junk):
    client, server = pair()
    hello = client.poll()
    assert isinstance(hello, bytes)
    for piece in junk:
        if isinstance(piece, int):  # the real thing, cut or with one octet changed
            spoilt = bytearray(hello)
            spoilt[piece % len(spoilt)] ^= 1 + piece % 255
            server.receive(bytes(spoilt), now=0.1)
            server.receive(hello[: piece % len(hello)], now=0.1)
        else:
            server.receive(piece, now=0.1)
            client.receive(b"\x16\xfe\xfd" + bytes(8) + len(piece).to_bytes(2) + piece, now=0.1)
    for machine in (client, server):
        while (effect := machine.poll()) is not None:
            assert not isinstance(effect, Keys)


def test_cut_datagrams_do_not_disturb_the_handshake():
    client, server = pair()
    hello = client.poll()
    assert isinstance(hello, bytes)
    server.receive(hello[:-5], now=0.0)
    assert server.stats()["dropped"] == 1
    server.receive(hello, now=0.0)
    carry(server, client)
    carry(client, server)
    assert server.state is DtlsState.DONE
