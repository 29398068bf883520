"""Gemini Live as an engine."""

from model_worker.dialog.brief import Brief, Mode
from model_worker.duplex.gemini_live.messages import INPUT_RATE_HZ, OUTPUT_RATE_HZ
from model_worker.duplex.gemini_live.session import GeminiSession
from model_worker.duplex.remote.effects import Request
from model_worker.duplex.remote.seam import Dialect, Opening
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.seams import Capabilities
from wire.settings import ConfigError

CHUNK_MS = 100  # a pause is found at the end of a chunk: 50 ms late on average, for ten small messages a second
LANGUAGES = ("ar", "de", "en", "es", "fr", "hi", "id", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "vi", "zh")


def dialect(settings: ServerSettings) -> Dialect:
    """Raises ConfigError where no model is named, ValueError for a flavour: there is none."""
    if settings.flavour:
        raise ValueError(f"flavour {settings.flavour!r}, Gemini Live has none")
    if not settings.model:
        raise ConfigError("TWOWIRE_SERVER_MODEL: name the model; a server of Gemini Live has no default")
    # In a header and not in the address, which servers and proxies write into their logs.
    key = () if settings.key is None else (("x-goog-api-key", settings.key.get_secret_value()),)

    def session(opening: Opening) -> GeminiSession:
        return GeminiSession(opening, settings.model)

    return Dialect(
        Capabilities(
            engine="gemini-live",
            chunk_ms=CHUNK_MS,
            first_chunk_ms=CHUNK_MS,
            input_rate_hz=INPUT_RATE_HZ,
            output_rate_hz=OUTPUT_RATE_HZ,
            explicit_decision=False,
            hears_while_speaking=False,  # over its voice it is given to hear what the overlap rules let through
            sessions=settings.sessions,
            languages=LANGUAGES,
            licence_note="a service: its provider's terms",
            says_given_words=True,
        ),
        lambda _: Request(settings.url, key),
        session,
        cannot=_cannot,
    )


def _cannot(brief: Brief) -> str:
    return "mode sound-events: this engine wakes for speech only" if brief.mode is Mode.SOUND_EVENTS else ""
