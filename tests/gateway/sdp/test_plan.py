from dataclasses import replace

import pytest

from gateway.sdp.description import Direction
from gateway.sdp.dtls import DtlsRole, Fingerprint
from gateway.sdp.formats import MediaCodec
from gateway.sdp.offer_answer import answer_offer
from gateway.sdp.parser import parse_sdp
from gateway.sdp.plan import Change, MediaPlan, Reach, changes
from gateway.sdp.security import DtlsSetup, SdesKeys
from tests.gateway.sdp.exchange import answer, local, no_key

PLAN = MediaPlan(
    codec=MediaCodec.PCMU,
    payload_type_out=0,
    payload_type_in=0,
    remote=("192.0.2.9", 4_000),
    remote_rtcp=("192.0.2.9", 4_001),
    direction=Direction.SENDRECV,
)
SDES = SdesKeys("AES_CM_128_HMAC_SHA1_80", b"l" * 30, b"r" * 30)
DTLS = DtlsSetup(DtlsRole.CLIENT, (Fingerprint("sha-256", bytes(32)),))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Change.NOTHING),
        ({"remote": ("192.0.2.10", 4_000)}, Change.ADDRESS),
        ({"remote_rtcp": ("192.0.2.9", 4_003)}, Change.ADDRESS),
        ({"rtcp_mux": True}, Change.ADDRESS),
        ({"codec": MediaCodec.PCMA, "payload_type_out": 8}, Change.CODEC),
        ({"payload_type_out": 97}, Change.CODEC),
        ({"dtmf_in": 101}, Change.CODEC),
        ({"cn_out": 13}, Change.CODEC),
        ({"ptime_ms": 30}, Change.PTIME),
        ({"direction": Direction.RECVONLY}, Change.DIRECTION),
        ({"security": SDES}, Change.SECURITY),
        ({"other_codecs": (MediaCodec.PCMA,)}, Change.NOTHING),
    ],
)
def test_what_changed_is_named(change, expected):
    assert changes(PLAN, replace(PLAN, **change)) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (SDES, SDES, Change.NOTHING),
        (SDES, replace(SDES, local_key=b"x" * 30), Change.LOCAL_KEY),
        (SDES, replace(SDES, remote_key=b"x" * 30), Change.REMOTE_KEY),
        (SDES, replace(SDES, suite="AES_CM_128_HMAC_SHA1_32"), Change.SECURITY),
        (SDES, DTLS, Change.SECURITY),
        (SDES, None, Change.SECURITY),
        (DTLS, DTLS, Change.NOTHING),
        (DTLS, replace(DTLS, role=DtlsRole.SERVER), Change.REMOTE_KEY),
        (DTLS, replace(DTLS, remote=(Fingerprint("sha-256", b"x" * 32),)), Change.REMOTE_KEY),
    ],
)
def test_changes_of_keys_are_told_apart(old, new, expected):
    found = changes(replace(PLAN, security=old), replace(PLAN, security=new))
    assert found == expected
    assert bool(found & Change.KEYS) == (old != new)


def test_several_changes_are_named_together():
    moved = replace(PLAN, remote=("192.0.2.10", 1_024), direction=Direction.INACTIVE)
    assert changes(PLAN, moved) == Change.ADDRESS | Change.DIRECTION


@pytest.mark.parametrize(
    ("connection", "reach"),
    [
        ("IN IP4 198.51.100.7", Reach.UNICAST),
        ("IN IP4 10.1.2.3", Reach.UNICAST),
        ("IN IP6 198.51.100.7", Reach.UNICAST),
        ("IN IP6 ::ffff:198.51.100.7", Reach.UNICAST),
        ("IN IP4 127.0.0.1", Reach.LOOPBACK),
        ("IN IP4 0.0.0.0", Reach.HELD),
        ("IN IP6 ::", Reach.HELD),
        ("IN IP4 media.example.com", Reach.NAME),
        ("IN IP6 2001:db8::1", Reach.OTHER_FAMILY),
        ("IN IP4 224.2.36.42/127", Reach.UNSAFE),
        ("IN IP4 255.255.255.255", Reach.UNSAFE),
        ("IN IP4 0.1.2.3", Reach.UNSAFE),
        ("IN IP4 169.254.169.254", Reach.UNSAFE),
        ("IN IP4 240.0.0.1", Reach.UNSAFE),
        ("IN IP4 127.1", Reach.UNSAFE),
        ("IN IP4 2130706433", Reach.UNSAFE),
        ("IN IP4 0x7f000001", Reach.UNSAFE),
        ("IN IP4 a;b", Reach.UNSAFE),
        ("ATM NSAP 47.0091", Reach.UNSAFE),
    ],
)
def test_places_for_media_are_told_apart(connection, reach):
    plan = answer("m=audio 4000 RTP/AVP 0", connection=connection).plan
    assert plan.reach is reach
    assert plan.may_send == (reach in (Reach.UNICAST, Reach.LOOPBACK))


@pytest.mark.parametrize(
    ("connection", "reach"),
    [
        ("IN IP6 2001:db8::9", Reach.UNICAST),
        ("IN IP6 ::1", Reach.LOOPBACK),
        ("IN IP6 fe80::1", Reach.UNSAFE),
        ("IN IP6 fe80::1%eth0", Reach.UNSAFE),
        ("IN IP6 ff15::101/3", Reach.UNSAFE),
        ("IN IP4 198.51.100.7", Reach.OTHER_FAMILY),
    ],
)
def test_places_of_ipv6_are_told_apart(connection, reach):
    ours = replace(local(), address="2001:db8::1")
    assert answer("m=audio 4000 RTP/AVP 0", ours, connection=connection).plan.reach is reach


def test_privileged_ports_are_not_sent_to():
    assert answer("m=audio 53 RTP/AVP 0").plan.reach is Reach.UNSAFE
    assert answer("m=audio 1023 RTP/AVP 0").plan.reach is Reach.UNSAFE
    assert answer("m=audio 1024 RTP/AVP 0").plan.reach is Reach.UNICAST


def test_a_stream_without_any_address_is_sent_nothing():
    offer = parse_sdp(b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r\n")
    plan = answer_offer(offer, local(), no_key).plan
    assert (plan.reach, plan.may_send, plan.remote_rtcp) == (Reach.UNSAFE, False, ("", 0))


def test_keys_and_fingerprints_of_a_plan_never_show():
    for security in (SDES, DTLS):
        for text in (repr(replace(PLAN, security=security)), str(security), f"{security}"):
            assert "redacted" in text
            assert "llll" not in text
            assert "rrrr" not in text
            assert "\\x00" not in text
