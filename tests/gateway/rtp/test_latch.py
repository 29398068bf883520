import random

from gateway.rtp.latch import HANDSHAKE_S, Latch
from gateway.rtp.packet import build_header

SDP = ("192.0.2.10", 40_000)
NAT = ("198.51.100.7", 61_234)
MALLORY = ("203.0.113.66", 5_555)


def rtp(sequence: int, ssrc: int = 1) -> bytes:
    return build_header(0, sequence, sequence * 160, ssrc) + bytes(160)


def feed(latch: Latch, source, sequences, start: float = 0.0, ssrc: int = 1) -> int:
    """How many of a stream are admitted."""
    return sum(latch.admits(source, rtp(n, ssrc), start + 0.02 * i) for i, n in enumerate(sequences))


def test_the_address_of_the_sdp_is_believed_at_once():
    latch = Latch(SDP)
    assert latch.admits(SDP, rtp(1), 0.0)
    assert latch.source == SDP


def test_another_port_of_the_same_host_is_believed_with_its_second_packet():
    latch = Latch(SDP)
    assert feed(latch, (SDP[0], 9), range(100, 110)) == 9


def test_another_host_is_believed_with_its_fifth_packet_in_sequence():
    latch = Latch(SDP)
    assert feed(latch, NAT, range(65_533, 65_543)) == 6
    assert latch.source == NAT
    assert latch.refused == 4


def test_a_spray_at_random_never_gets_in():
    rng = random.Random(7)
    latch = Latch(SDP)
    admitted = 0
    for n in range(5_000):
        source = (f"203.0.113.{rng.randrange(256)}", rng.randrange(1_024, 65_536))
        datagram = rng.randbytes(172) if n % 2 else rtp(rng.randrange(65_536), rng.getrandbits(32))
        admitted += latch.admits(source, datagram, n * 0.001)
    assert admitted == 0
    assert latch.source is None


def test_a_spray_from_one_address_never_gets_in_before_or_after_the_peer():
    rng = random.Random(8)
    latch = Latch(SDP)
    admitted = 0
    for n in range(2_000):
        if n >= 500 and n % 20 == 0:
            assert latch.admits(SDP, rtp(n // 20), n * 0.001)
        admitted += latch.admits(MALLORY, rtp(rng.randrange(65_536), rng.getrandbits(32)), n * 0.001)
    assert admitted == 0


def test_the_address_of_the_sdp_takes_over_within_the_handshake():
    latch = Latch(SDP)
    assert feed(latch, MALLORY, range(10)) == 6
    assert latch.admits(SDP, rtp(900, 2), 0.3)
    assert feed(latch, MALLORY, range(10, 200), start=0.32) == 0
    assert latch.source == SDP


def test_after_the_handshake_the_source_is_fixed():
    latch = Latch(SDP)
    feed(latch, (SDP[0], 9), range(100), start=0.0)
    assert not latch.admits(SDP, rtp(900, 2), HANDSHAKE_S + 1.0)
    assert feed(latch, NAT, range(100), start=HANDSHAKE_S + 1.0, ssrc=3) == 0
    assert latch.source == (SDP[0], 9)


def test_a_caller_who_begins_late_gets_the_call_back_from_a_stranger():
    latch = Latch(SDP)
    assert feed(latch, MALLORY, range(100)) == 96
    assert latch.admits(SDP, rtp(900, 2), 2.0)
    assert feed(latch, MALLORY, range(100, 200), start=2.02) == 0
    assert (latch.source, latch.rebound) == (SDP, 1)


def test_a_late_caller_on_another_port_of_the_same_host_proves_itself_first():
    latch = Latch(SDP)
    feed(latch, MALLORY, range(100))
    assert feed(latch, (SDP[0], 9), range(900, 910), start=2.0, ssrc=2) == 9
    assert feed(latch, (SDP[0], 7), range(900, 910), start=2.2, ssrc=3) == 0, "no other of its host does"
    assert latch.source == (SDP[0], 9)


def test_a_stranger_in_sequence_with_himself_does_not_get_in_after_the_handshake():
    latch = Latch(SDP)
    feed(latch, SDP, range(200))
    assert feed(latch, MALLORY, range(1_000), start=4.0, ssrc=2) == 0


def test_a_new_port_of_the_nat_is_followed_when_the_old_one_is_silent():
    latch = Latch(SDP)
    feed(latch, SDP, range(200))  # until 3.98
    moved = (SDP[0], 50_001)
    assert not latch.admits(moved, rtp(200), 4.10)
    assert latch.admits(moved, rtp(205), 4.19)
    assert (latch.source, latch.rebound) == (moved, 1)
    assert not latch.admits(SDP, rtp(201), 4.2)


def test_a_new_address_with_numbers_of_its_own_is_not_followed():
    latch = Latch(SDP)
    feed(latch, SDP, range(200))
    assert not latch.admits(MALLORY, rtp(40_000), 5.0)
    assert not latch.admits(MALLORY, rtp(150), 5.0)  # an old packet sent again
    assert not latch.admits(MALLORY, rtp(201, ssrc=9), 5.0)


def test_a_new_description_opens_a_new_handshake_and_the_old_source_stays_audible():
    latch = Latch(SDP)
    feed(latch, SDP, range(200))
    latch.expect(NAT)
    assert latch.admits(SDP, rtp(200), 4.0)
    assert latch.admits(NAT, rtp(7, 3), 4.01)
    assert not latch.admits(SDP, rtp(201), 4.02)


def test_the_same_description_again_opens_nothing():
    latch = Latch(SDP)
    feed(latch, SDP, range(200))
    latch.expect(SDP)
    assert feed(latch, MALLORY, range(100), start=4.0, ssrc=2) == 0


def test_what_is_no_rtp_proves_nothing():
    latch = Latch(SDP)
    for datagram in (b"", b"\x80", bytes(172), b"\x80\xc8" + bytes(26)):
        assert not latch.admits(SDP, datagram, 0.0)
    assert latch.source is None
