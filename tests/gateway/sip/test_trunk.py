"""Trunks, rate limits and keys in INFO: the small tables at the door."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.dtmf_info import key_in_info
from gateway.sip.rate_limit import MAX_SOURCES, RateLimit
from gateway.sip.trunk import Credentials, Trunk, TrunkTable

PBX = Trunk(
    "pbx", peers=(ip_network("192.0.2.0/28"), ip_network("2001:db8::/64")), agents={"100": "sales", "*": "desk"}
)
PHONE = Trunk("phone", inbound=Credentials("alice", "correct horse battery"))


@pytest.mark.parametrize("host", ["192.0.2.1", "192.0.2.15", "2001:db8::7", "::ffff:192.0.2.3", "2001:db8::1%eth0"])
def test_a_trunk_takes_calls_from_its_networks(host: str):
    assert TrunkTable([PHONE, PBX]).by_source(host) is PBX


@pytest.mark.parametrize("host", ["192.0.2.16", "127.0.0.1", "2001:db8:1::7", "::ffff:127.0.0.1"])
def test_nobody_else_gets_in_by_address(host: str):
    assert TrunkTable([PHONE, PBX]).by_source(host) is None


def test_a_user_name_opens_its_trunk_and_only_a_table_with_one_asks_for_passwords():
    table = TrunkTable([PHONE, PBX])
    assert table.by_user("alice") is PHONE
    assert table.by_user("mallory") is None
    assert table.asks_passwords
    assert not TrunkTable([PBX]).asks_passwords


def test_numbers_lead_to_agents():
    assert [PBX.agent_for("100"), PBX.agent_for("555")] == ["sales", "desk"]
    assert Trunk("any").agent_for("555") == ""
    assert Trunk("strict", agents={"100": "sales"}).agent_for("555") is None


def test_a_password_is_never_shown():
    assert "horse" not in repr(PHONE)


def test_a_burst_is_allowed_and_then_the_rate():
    limit = RateLimit(burst_s=2.0)
    assert [limit.allows("a", 2.0, now=0.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert limit.allows("b", 2.0, now=0.0)
    assert not limit.allows("a", 2.0, now=0.4)
    assert limit.allows("a", 2.0, now=0.6)
    assert [limit.allows("a", 2.0, now=1_000.0) for _ in range(5)] == [True] * 4 + [False]


def test_the_sources_that_are_remembered_are_bounded():
    limit = RateLimit()
    for number in range(3 * MAX_SOURCES):
        limit.allows(f"source {number}", 1.0, now=0.0)
    assert len(limit._buckets) == MAX_SOURCES


@pytest.mark.parametrize(
    ("content_type", "body", "key"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5"),
        ("Application/DTMF-Relay;charset=utf-8", b"Signal= * \r\nDuration=250", "*"),
        ("application/dtmf-relay", b"Signal=11\nDuration=100", "#"),
        ("application/dtmf-relay", b"Duration=100\r\nsignal=a\r\n", "A"),
        ("application/dtmf", b"7", "7"),
        ("application/dtmf", b" #\r\n", "#"),
        ("application/dtmf-relay", b"Signal=55\r\n", None),
        ("application/dtmf-relay", b"Duration=160\r\n", None),
        ("application/dtmf-relay", b"", None),
        ("application/media_control+xml", b"5", None),
        ("application/dtmf", b"5" * 300, None),
    ],
)
def test_keys_in_info(content_type: str, body: bytes, key: str | None):
    assert key_in_info(content_type, body) == key


@given(st.text(max_size=40), st.binary(max_size=300))
def test_no_info_body_raises(content_type: str, body: bytes):
    for kind in (content_type, "application/dtmf-relay", "application/dtmf"):
        key = key_in_info(kind, body)
        assert key is None or len(key) == 1
