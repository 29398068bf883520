"""Settings come from the environment, and a wrong one is named."""

import pytest

from model_worker.config import load_worker_config
from model_worker.engines.cards import build_engine
from wire.settings import ConfigError


def test_settings_come_from_the_environment_and_options_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOWIRE_SLOTS", "12")
    monkeypatch.setenv("TWOWIRE_ENGINE", "receptionist")
    config = load_worker_config(engine="scripted", redis_url=None)
    assert (config.slots, config.engine, config.redis_url) == (12, "scripted", "redis://127.0.0.1:6379/0")


def test_every_process_has_a_name_of_its_own() -> None:
    assert load_worker_config().worker_id != load_worker_config().worker_id


def test_a_wrong_setting_is_named_and_its_value_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOWIRE_SLOTS", "many-secrets")
    with pytest.raises(ConfigError, match="TWOWIRE_SLOTS: ") as failed:
        load_worker_config()
    assert "many-secrets" not in str(failed.value)


def test_an_unknown_engine_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"TWOWIRE_ENGINE: no engine 'oracle'; choose one of .*scripted"):
        build_engine(load_worker_config(engine="oracle"))


def test_a_missing_script_names_the_setting() -> None:
    with pytest.raises(ConfigError, match="TWOWIRE_SCRIPT: cannot read script"):
        build_engine(load_worker_config(engine="scripted", script="/nowhere/script.yaml"))


def test_the_scripted_engine_plays_any_agent_when_there_is_a_default() -> None:
    built = build_engine(load_worker_config(engine="scripted"))
    assert built.agents == ()
    assert built.engine.capabilities.engine == "scripted"
