"""Engines that are servers of others: settings, agent files and links in, an engine out. All raise ConfigError."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from pydantic import ValidationError

from model_worker.config import WorkerConfig
from model_worker.duplex.remote.engine import RemoteEngine
from model_worker.duplex.remote.seam import Dialect
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.engines.built import BuiltEngine
from model_worker.engines.files import load_lines, read_key, read_voice
from model_worker.links.web_sockets import WebSocketLinks
from wire.settings import ConfigError


def build_server(config: WorkerConfig) -> BuiltEngine:
    """A protocol of ``model_worker.duplex.<engine>.dialect`` over WebSockets."""
    briefs = load_lines(config)
    settings = server_settings(config)
    try:
        dialect = dialect_of(config.engine)(settings)
    except ValueError as error:
        raise ConfigError(f"TWOWIRE_SERVER_FLAVOUR: {error}") from None
    for name, brief in briefs.items():
        if problem := dialect.cannot(brief):
            raise ConfigError(f"TWOWIRE_AGENTS_DIR: agent {name!r}: {problem}")
    links = WebSocketLinks()
    return BuiltEngine(RemoteEngine(briefs, dialect, links), tuple(sorted(briefs)), links.shutdown)


def dialect_of(engine: str) -> Callable[[ServerSettings], Dialect]:
    """The module of one engine; imported when it is asked for."""
    module = import_module(f"model_worker.duplex.{engine.replace('-', '_')}.dialect")
    return cast(Callable[[ServerSettings], Dialect], module.dialect)


def server_settings(config: WorkerConfig) -> ServerSettings:
    """What was set of the server. Raises ConfigError."""
    if not config.server_url:
        raise ConfigError("TWOWIRE_SERVER_URL: name the server (docs/ENGINES.md has the form for each engine)")
    fields: dict[str, Any] = {
        "url": config.server_url,
        "model": config.server_model,
        "second_model": config.server_second_model,
        "key": read_key(config.server_key_file, "TWOWIRE_SERVER_KEY_FILE"),
        "flavour": config.server_flavour,
        "audio": config.server_audio,
        "voice": read_voice(config.server_voice_file, "TWOWIRE_SERVER_VOICE_FILE"),
    }
    if config.slots is not None:
        fields["sessions"] = config.slots
    try:
        return ServerSettings(**fields)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"]).upper()
        raise ConfigError(f"TWOWIRE_SERVER_{name}: {problem['msg'].removeprefix('Value error, ')}") from None
