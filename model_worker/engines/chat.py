"""The chat model that finds words, from settings. Raises ConfigError."""

from pydantic import ValidationError

from model_worker.answers.openai_chat import ChatSettings
from model_worker.config import WorkerConfig
from model_worker.engines.files import read_key
from wire.settings import ConfigError


def chat_settings(config: WorkerConfig) -> ChatSettings | None:
    """None where no server was set."""
    if not config.answers_url:
        return None
    if not config.answers_model:
        raise ConfigError("TWOWIRE_ANSWERS_MODEL: name the model that the server at TWOWIRE_ANSWERS_URL shall use")
    try:
        return ChatSettings(
            base_url=config.answers_url,
            model=config.answers_model,
            max_tokens=config.answers_max_tokens,
            api_key=read_key(config.answers_key_file, "TWOWIRE_ANSWERS_KEY_FILE"),
        )
    except ValidationError as error:
        raise ConfigError(f"TWOWIRE_ANSWERS_URL: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
