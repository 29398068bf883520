"""The file of the browser door."""

from pathlib import Path

import pytest

from gateway.config.webrtc import MAX_FILE_BYTES, OWN_TURN_LIFE_S, WebRtcConfig, load_webrtc, loopback_webrtc
from gateway.sdp.formats import MediaCodec
from wire.settings import ConfigError

SECRET = "a-secret-of-the-tests"
WHOLE = """
ice_servers:
  - urls: [stun:stun.example.com:3478]
  - urls: ["turn:turn.example.com:3478?transport=udp", "turns:turn.example.com:5349?transport=tcp"]
    secret: {env: TEST_TURN_SECRET}
turn_ttl_s: 600
codecs: [PCMU, opus]
allowed_origins: ["https://shop.example.com", "http://localhost:3000", "http://[::1]:3000"]
page_token_ttl_s: 30
token_secret: {file: SECRET_FILE}
reattach_s: 20
max_half_open: 8
max_sessions: 40
public_hosts: [203.0.113.7]
"""


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("TEST_TURN_SECRET", SECRET)


def load(tmp_path: Path, text: str) -> WebRtcConfig:
    path = tmp_path / "webrtc.yaml"
    path.write_text(text)
    return load_webrtc(path)


def test_a_whole_file_is_read(tmp_path):
    (tmp_path / "key").write_text("a-key-of-the-tests\n")
    config = load(tmp_path, WHOLE.replace("SECRET_FILE", str(tmp_path / "key")))
    assert config.media_codecs == (MediaCodec.PCMU, MediaCodec.OPUS)
    assert config.token_key == b"a-key-of-the-tests"
    assert config.public_hosts == ("203.0.113.7",)
    assert (config.reattach_s, config.max_half_open, config.max_sessions) == (20.0, 8, 40)
    stun, turn = config.browser_ice_servers("page7", 1_000.9)
    assert (stun.username, stun.credential) == (None, None)
    assert turn.username == "1600:page7"
    assert turn.credential is not None


def test_an_empty_file_is_a_line_that_is_not_open(tmp_path):
    config = load(tmp_path, "")
    assert not config.open_page
    assert config.media_codecs == (MediaCodec.OPUS, MediaCodec.PCMU, MediaCodec.PCMA)
    assert (config.page_token_ttl_s, config.reattach_s, config.max_half_open) == (60, 15.0, 64)
    assert config.own_ice_servers() == ()


def test_without_a_secret_each_start_has_a_key_of_its_own():
    first, second = loopback_webrtc(), loopback_webrtc()
    assert first.open_page
    assert len(first.token_key) == 64
    assert first.token_key != second.token_key


def test_our_own_credentials_last_for_weeks(monkeypatch):
    monkeypatch.setattr("gateway.config.webrtc.time", lambda: 1_000.0)
    servers = [{"urls": ["turn:turn.example.com"], "secret": {"env": "TEST_TURN_SECRET"}}]
    [turn] = WebRtcConfig.model_validate({"ice_servers": servers}).own_ice_servers()
    assert turn.username == f"{1_000 + OWN_TURN_LIFE_S}:gateway"


def test_no_secret_shows():
    servers = [{"urls": ["turn:turn.example.com"], "secret": {"env": "TEST_TURN_SECRET"}}]
    config = WebRtcConfig.model_validate({"ice_servers": servers, "token_secret": {"env": "TEST_TURN_SECRET"}})
    [turn] = config.browser_ice_servers("page7", 0.0)
    assert SECRET not in repr(config) + str(config.model_dump())
    assert turn.credential is not None
    assert turn.credential not in repr(turn)


TURN = "ice_servers: [{urls: ['turn:h'], secret: "


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("open_pages: true", "open_pages: Extra inputs"),
        ("[1, 2]", "file: Input should be"),
        ("a: [", "is not YAML"),
        ("codecs: [G729]", "codecs.0"),
        ("codecs: []", "codecs"),
        ("codecs: [opus, opus]", "named twice"),
        ("allowed_origins: ['*']", "expected an origin"),
        ("allowed_origins: ['https://shop.example.com/']", "expected an origin"),
        ("allowed_origins: ['HTTPS://Shop.example.com']", "expected an origin"),
        ("ice_servers: [{urls: ['http://x']}]", "expected stun:host:port"),
        ("ice_servers: [{urls: []}]", "urls"),
        ("ice_servers: [{urls: ['stun:a', 'turn:b'], secret: {env: TEST_TURN_SECRET}}]", "both"),
        ("ice_servers: [{urls: ['turn:a']}]", "needs one"),
        ("ice_servers: [{urls: ['stun:a'], secret: {env: TEST_TURN_SECRET}}]", "takes none"),
        (TURN + "{}}]", "name either env or file"),
        (TURN + "{env: A, file: b}}]", "name either env or file"),
        (TURN + "{env: TEST_UNSET_SECRET}}]", "TEST_UNSET_SECRET"),
        (TURN + "{file: /nowhere/at/all}}]", "cannot read /nowhere/at/all"),
        (TURN + "{file: /dev/null}}]", "at least 16 characters"),
        ("public_hosts: [here]", "public_hosts.0"),
        ("relay_only: true", "name a turn: server"),
        ("page_token_ttl_s: 1", "page_token_ttl_s"),
        ("max_half_open: 0", "max_half_open"),
    ],
)
def test_a_fault_is_told_by_its_place(tmp_path, text, told):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith("TWOWIRE_WEBRTC_FILE: ")
    assert told in str(caught.value)


def test_a_short_secret_is_refused_and_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_TURN_SECRET", "hunter2")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "token_secret: {env: TEST_TURN_SECRET}")
    assert "at least 16 characters" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_there_or_too_large_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_webrtc(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="larger than"):
        load(tmp_path, "#" * (MAX_FILE_BYTES + 1))
