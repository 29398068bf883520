"""The file that opens the SIP door: what it takes, and what it says when it does not."""

from pathlib import Path

import pytest

from gateway.config.sip import SipConfig, load_sip, loopback_sip
from gateway.sip.flow import Transport
from gateway.sip.trunk import MediaSecurity
from wire.settings import ConfigError

WHOLE = """
listen: ["udp:0.0.0.0:5060", "tcp:[::1]"]
advertise: 203.0.113.7
rtp_ports: [12000, 12999]
trunks:
  - name: carrier
    peers: [198.51.100.0/24, "2001:db8::/48"]
    codecs: [PCMA, PCMU]
    media_security: sdes
    agents: {"+15005550001": sales, "*": front-desk}
    outbound: {user: alice, password_env: TEST_CARRIER_PASSWORD}
    register: {registrar: "sip:pbx.example.com", address: "sip:line7@pbx.example.com", expires_s: 120}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sip.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_whole_file_becomes_plain_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TEST_CARRIER_PASSWORD", "correct horse battery")
    config = load_sip(write(tmp_path, WHOLE))
    assert [(listener.transport, listener.address) for listener in config.listen] == [
        (Transport.UDP, ("0.0.0.0", 5060)),
        (Transport.TCP, ("::1", 5060)),
    ]
    assert config.announced_host == "203.0.113.7"
    carrier = config.trunk_table().get("carrier")
    assert carrier is not None
    assert (carrier.codecs, carrier.media_security) == (("PCMA", "PCMU"), MediaSecurity.SDES)
    assert carrier.outbound is not None
    assert carrier.outbound.password == "correct horse battery"
    assert carrier.takes_from("198.51.100.200")
    assert "horse" not in repr(config) + repr(carrier)


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ("udp:0.0.0.0:5060", "sctp:0.0.0.0:5060", "expected udp:, tcp: or tls:"),
        ("udp:0.0.0.0:5060", "udp:localhost:5060", "localhost"),
        ("udp:0.0.0.0:5060", "udp:0.0.0.0:70000", "70000"),
        ("udp:0.0.0.0:5060", "tls:0.0.0.0:5061", "certificate"),
        ("advertise: 203.0.113.7", "", "advertise"),
        ("[12000, 12999]", "[12000, 12001]", "rtp_ports"),
        ("PCMA, PCMU", "G729", "codecs"),
        ("198.51.100.0/24", "198.51.100.1/24", "peers"),
        ("password_env: TEST_CARRIER_PASSWORD", "password: secret-in-the-file", "password"),
        ("TEST_CARRIER_PASSWORD", "TEST_UNSET_PASSWORD", "TEST_UNSET_PASSWORD"),
        ("trunks:", "trunk:", "trunk"),
        ("listen:", ": [", "not YAML"),
    ],
)
def test_a_fault_is_named(wrong: str, right: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TEST_CARRIER_PASSWORD", "correct horse battery")
    assert wrong in WHOLE
    with pytest.raises(ConfigError, match=r"TWOWIRE_SIP_FILE") as caught:
        load_sip(write(tmp_path, WHOLE.replace(wrong, right, 1)))
    assert words in str(caught.value)
    assert "secret-in-the-file" not in str(caught.value)
    assert "horse" not in str(caught.value)


def test_a_file_that_is_not_there_or_too_large_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_sip(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="larger than"):
        load_sip(write(tmp_path, "#" * 300_000))


def test_the_demo_takes_calls_from_this_machine_only():
    config = loopback_sip(5_070)
    assert isinstance(config, SipConfig)
    table = config.trunk_table()
    assert table.by_source("127.0.0.1") is not None
    assert table.by_source("192.0.2.1") is None
    assert {listener.address for listener in config.listen} == {("127.0.0.1", 5_070)}
