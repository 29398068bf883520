"""What is kept of calls is said in the configuration."""

from pathlib import Path

import pytest

from gateway.config import GatewayConfig, load_config
from wire.settings import ConfigError

SECRETS = {"twilio_auth_token": "x" * 16, "api_token": "y" * 16}


def config(**settings: object) -> GatewayConfig:
    return load_config(**SECRETS, **settings)


def test_by_default_calls_are_kept_for_a_week_and_not_recorded():
    kept = config()
    assert kept.archive_retention_s == 7 * 24 * 3_600
    assert (kept.call_log, kept.recording, kept.recording_dir) == (None, False, None)


def test_recording_needs_a_place():
    with pytest.raises(ConfigError, match="TWOWIRE_RECORDING_DIR"):
        config(recording=True)
    assert config(recording=True, recording_dir="/srv/calls").recording_dir == Path("/srv/calls")


def test_a_place_alone_records_nothing():
    assert not config(recording_dir="/srv/calls").recording
