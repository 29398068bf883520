"""Encrypted media: what gets through, and what must not."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Policy

from gateway.rtp.srtp import (
    DTLS_PROFILES,
    MAX_SOURCES,
    REPLAY_WINDOW,
    SrtpSession,
    Suite,
    exported_bytes,
    split_exported,
)

TAG_BYTES = {
    Suite.AES_CM_128_HMAC_SHA1_80: 10,
    Suite.AES_CM_128_HMAC_SHA1_32: 4,
    Suite.AEAD_AES_128_GCM: 16,
    Suite.AEAD_AES_256_GCM: 16,
}
RECEIVER_REPORT = struct.pack("!BBHI", 0x80, 201, 1, 7)


def key(suite: Suite, first: int) -> bytes:
    return bytes((first + n) % 256 for n in range(suite.master_bytes))


def pair(suite: Suite = Suite.AES_CM_128_HMAC_SHA1_80) -> tuple[SrtpSession, SrtpSession]:
    ours, theirs = key(suite, 1), key(suite, 101)
    return SrtpSession(suite, ours, theirs), SrtpSession(suite, theirs, ours)


def packet(sequence: int, ssrc: int = 9) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, sequence * 160 & 0xFFFF_FFFF, ssrc) + b"\x11" * 160


def sealed(session: SrtpSession, plain: bytes | bytearray) -> bytes:
    protected = session.protect(plain)
    assert protected is not None
    return protected


@pytest.mark.parametrize("suite", list(Suite))
def test_media_comes_back_as_it_was(suite):
    near, far = pair(suite)
    secret = sealed(near, packet(1))
    assert len(secret) == len(packet(1)) + TAG_BYTES[suite]
    assert b"\x11" * 8 not in secret
    assert far.unprotect(secret) == packet(1)
    assert near.unprotect(sealed(far, packet(4))) == packet(4)


@pytest.mark.parametrize("suite", list(Suite))
def test_control_packets_come_back_as_they_were(suite):
    near, far = pair(suite)
    secret = near.protect_rtcp(RECEIVER_REPORT)
    assert secret is not None
    tag_bytes = 10 if suite is Suite.AES_CM_128_HMAC_SHA1_32 else TAG_BYTES[suite]  # RFC 3711 §5.2: never 32 bits
    assert len(secret) == len(RECEIVER_REPORT) + 4 + tag_bytes
    assert far.unprotect_rtcp(secret) == RECEIVER_REPORT


def test_the_senders_own_buffer_can_be_protected():
    near, far = pair()
    assert far.unprotect(sealed(near, bytearray(packet(1)))) == packet(1)


@given(st.integers(0, 8 * 182 - 1))
def test_no_bit_can_be_changed(bit):
    near, far = pair()
    secret = bytearray(sealed(near, packet(1)))
    secret[bit // 8] ^= 1 << bit % 8
    assert far.unprotect(bytes(secret)) is None
    assert far.errors.total() == 1


def test_media_under_another_key_is_refused_and_counted():
    near, _ = pair()
    suite = Suite.AES_CM_128_HMAC_SHA1_80
    stranger = SrtpSession(suite, key(suite, 50), key(suite, 60))
    assert stranger.unprotect(sealed(near, packet(1))) is None
    assert stranger.errors == {"auth": 1}


def test_a_packet_passes_once():
    near, far = pair()
    secret = sealed(near, packet(1))
    assert far.unprotect(secret) == packet(1)
    assert far.unprotect(secret) is None
    assert far.errors == {"replayed": 1}


def test_packets_may_swap_within_the_replay_window_and_not_beyond():
    near, far = pair()
    secrets = [sealed(near, packet(n)) for n in range(REPLAY_WINDOW + 2)]
    assert far.unprotect(secrets[-1]) is not None
    assert far.unprotect(secrets[2]) == packet(2)
    assert far.unprotect(secrets[0]) is None
    assert far.errors == {"replayed": 1}


def test_a_repeated_control_packet_is_refused():
    near, far = pair()
    secret = near.protect_rtcp(RECEIVER_REPORT)
    assert secret is not None
    assert far.unprotect_rtcp(secret) == RECEIVER_REPORT
    assert far.unprotect_rtcp(secret) is None
    assert far.errors == {"replayed": 1}


def test_media_goes_on_over_the_wrap_of_the_sequence_even_with_the_wrap_lost():
    near, far = pair()
    for n in range(65_400, 65_700):
        secret = sealed(near, packet(n))
        if not 65_520 <= n < 65_550:
            assert far.unprotect(secret) == packet(n)
    assert not far.errors


def test_an_hour_of_media_under_one_key():
    near, far = pair()
    for n in range(30_000, 210_000):  # wraps three times
        assert far.unprotect(sealed(near, packet(n))) is not None
    assert not far.errors
    assert not near.errors


def test_a_peer_may_restart_its_stream_but_not_without_end():
    near, far = pair()
    for ssrc in range(MAX_SOURCES):
        assert far.unprotect(sealed(near, packet(1, ssrc))) is not None
    assert far.unprotect(sealed(near, packet(1, 1_000))) is None
    assert far.unprotect(sealed(near, packet(2, 3))) is not None
    assert far.errors == {"too_many_sources": 1}


def test_a_stranger_does_not_use_up_the_sources():
    near, far = pair()
    for ssrc in range(1_000, 1_000 + 2 * MAX_SOURCES):
        assert far.unprotect(packet(1, ssrc)) is None
    assert far.unprotect(sealed(near, packet(1))) is not None


@given(st.binary(max_size=60) | st.just(bytes(3_000)))
def test_no_datagram_raises(datagram):
    _, far = pair()
    assert far.unprotect(datagram) is None
    assert far.unprotect_rtcp(datagram) is None
    assert far.errors.total() == 2


def test_what_cannot_be_protected_is_counted():
    near, _ = pair()
    assert near.protect(b"short") is None
    assert near.protect(packet(1) + bytes(2_000)) is None
    assert near.errors == {"protect_malformed": 1, "protect_too_long": 1}


def test_a_direction_whose_key_stays_goes_on_where_it_was():
    near, far = pair()
    suite = near.suite
    for n in range(65_530, 65_540):
        assert far.unprotect(sealed(near, packet(n))) is not None
    replay = sealed(near, packet(65_540))
    assert far.unprotect(replay) is not None
    near.rekey(suite, key(suite, 1), key(suite, 7))  # the peer has a new key, and we have not
    far.rekey(suite, key(suite, 7), key(suite, 1))
    assert far.unprotect(sealed(near, packet(65_541))) == packet(65_541)  # with the roll-over counter at 1
    assert far.unprotect(replay) is None
    assert near.unprotect(sealed(far, packet(1))) == packet(1)


def test_a_direction_with_a_new_key_forgets_the_old_one():
    near, far = pair()
    suite = near.suite
    old = sealed(near, packet(1))
    near.rekey(suite, key(suite, 9), key(suite, 101))
    far.rekey(suite, key(suite, 101), key(suite, 9))
    assert far.unprotect(old) is None
    assert far.unprotect(sealed(near, packet(2))) == packet(2)
    with pytest.raises(ValueError, match="expected 28 bytes"):
        near.rekey(Suite.AEAD_AES_128_GCM, bytes(30), bytes(30))
    assert far.unprotect(sealed(near, packet(3))) == packet(3)


def test_keys_show_nowhere():
    near, _ = pair()
    assert "redacted" in repr(near)
    assert repr(key(near.suite, 1)) not in repr(near)


def test_unknown_suites_and_short_keys_are_refused_without_naming_the_key():
    with pytest.raises(ValueError, match="F8_128"):
        SrtpSession("F8_128_HMAC_SHA1_80", bytes(30), bytes(30))
    with pytest.raises(ValueError, match=r"^expected 30 bytes of key and salt, got 6$"):
        SrtpSession("AES_CM_128_HMAC_SHA1_80", bytes(30), b"secret")


@pytest.mark.parametrize("suite", list(Suite))
def test_exported_keys_of_both_sides_meet(suite):
    material = bytes(range(exported_bytes(suite)))
    client = SrtpSession(suite, *split_exported(suite, material, client=True))
    server = SrtpSession(suite, *split_exported(suite, material, client=False))
    assert server.unprotect(sealed(client, packet(1))) == packet(1)
    assert client.unprotect(sealed(server, packet(1))) == packet(1)


def test_exported_material_is_keys_first_and_salts_last():
    material = b"C" * 16 + b"S" * 16 + b"c" * 14 + b"s" * 14
    local, remote = split_exported(Suite.AES_CM_128_HMAC_SHA1_80, material, client=True)
    assert (local, remote) == (b"C" * 16 + b"c" * 14, b"S" * 16 + b"s" * 14)
    with pytest.raises(ValueError, match="expected 60 bytes of keying material, got 59"):
        split_exported(Suite.AES_CM_128_HMAC_SHA1_80, material[1:], client=True)


def test_every_dtls_profile_has_a_suite_and_lengths_that_libsrtp_takes():
    assert set(DTLS_PROFILES.values()) == set(Suite)
    for suite in Suite:
        with pytest.raises(ValueError, match="at least"):  # a byte less than libsrtp needs: our lengths are its own
            Policy(bytes(suite.master_bytes - 1), srtp_profile=getattr(Policy, f"SRTP_PROFILE_{libsrtp_name(suite)}"))


def libsrtp_name(suite: Suite) -> str:
    return suite.value.replace("AES_CM_128_HMAC", "AES128_CM")
