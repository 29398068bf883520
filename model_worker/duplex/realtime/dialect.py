"""OpenAI Realtime and Live as engines."""

from collections.abc import Callable
from urllib.parse import quote

from model_worker.duplex.realtime.live_session import LiveSession
from model_worker.duplex.realtime.session import RealtimeSession
from model_worker.duplex.remote.effects import Request
from model_worker.duplex.remote.seam import Dialect, Opening
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.seams import Capabilities
from wire.audio.codecs import Codec

CHUNK_MS = 100  # a pause is found at the end of a chunk: 50 ms late on average, for ten small messages a second
SESSION_LIMIT_S = 3_600.0  # OpenAI ends Realtime sessions after 60 minutes
LANGUAGES = ("ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "zh")


def dialect(settings: ServerSettings) -> Dialect:
    """By ``settings.flavour``, ``realtime`` or ``live``. Raises ValueError for another one."""
    make = _FLAVOURS.get(settings.flavour or "realtime")
    if make is None:
        raise ValueError(f"flavour {settings.flavour!r}, expected one of {', '.join(_FLAVOURS)}")
    return make(settings, Codec.PCMU if settings.audio == "g711" else Codec.L16_24K)


def _capabilities(settings: ServerSettings, codec: Codec, *, says_given_words: bool) -> Capabilities:
    return Capabilities(
        engine="realtime",
        chunk_ms=CHUNK_MS,
        first_chunk_ms=CHUNK_MS,
        input_rate_hz=codec.sample_rate_hz,
        output_rate_hz=codec.sample_rate_hz,
        explicit_decision=False,
        hears_while_speaking=True,
        sessions=settings.sessions,
        languages=LANGUAGES,
        licence_note="a service: its provider's terms; on a server of your own, the model's licence",
        says_given_words=says_given_words,
    )


def _realtime(settings: ServerSettings, codec: Codec) -> Dialect:
    def request(_: Opening) -> Request:
        if not settings.model or "model=" in settings.url:
            return settings.request()
        return settings.request(f"{settings.url}{'&' if '?' in settings.url else '?'}model={quote(settings.model)}")

    return Dialect(
        _capabilities(settings, codec, says_given_words=True),
        request,
        lambda opening: RealtimeSession(opening, codec, settings.second_model),
        SESSION_LIMIT_S,
    )


def _live(settings: ServerSettings, codec: Codec) -> Dialect:
    # What is appended as commentary the model puts in words of its own: an operator's would not be given words. And
    # that it fell silent is all that is known of it, not that it did so for the caller: our own rules decide.
    return Dialect(
        _capabilities(settings, codec, says_given_words=False),
        lambda _: settings.request(),
        lambda opening: LiveSession(opening, codec, settings.model, settings.second_model),
        SESSION_LIMIT_S,
    )


_FLAVOURS: dict[str, Callable[[ServerSettings, Codec], Dialect]] = {"realtime": _realtime, "live": _live}
