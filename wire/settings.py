"""How settings are read on both sides: once, from ``TWOWIRE_*`` in the environment."""

import os
import secrets
import socket
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

ENV_PREFIX = "TWOWIRE_"

S = TypeVar("S", bound=BaseSettings)


class ConfigError(Exception):
    """A setting is missing or wrong; the text names it and says what to do."""


def process_id() -> str:
    """A name for this process that no other has, readable in a log: host, pid, chance."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def load_settings(kind: type[S], overrides: dict[str, Any]) -> S:
    """Read ``kind`` from the environment.

    ``overrides`` are options of the command line, None where not given. Raises ConfigError with one
    line per wrong setting that names its environment variable, and never its value.
    """
    try:
        return kind(**{key: value for key, value in overrides.items() if value is not None})
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_input=False, include_url=False):
            name = ENV_PREFIX + "_".join(str(part) for part in fault["loc"]).upper()
            lines.append(f"{name}: {'set it in the environment' if fault['type'] == 'missing' else fault['msg']}")
        raise ConfigError("\n".join(lines)) from None
