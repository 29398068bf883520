"""Moshi and PersonaPlex as engines."""

from model_worker.dialog.brief import Brief, Mode
from model_worker.duplex.moshi import persona
from model_worker.duplex.moshi.session import MoshiSession
from model_worker.duplex.moshi.voice import RATE_HZ
from model_worker.duplex.remote.effects import Request
from model_worker.duplex.remote.seam import READY_WITHIN_S, Dialect, Opening
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.seams import Capabilities
from wire.audio.opus import OpusMissingError, require_libopus
from wire.settings import ConfigError

CHUNK_MS = 80
CONTEXT_S = 240.0  # 3,000 steps of 80 ms
SESSION_LIMIT_S = 230.0  # beyond, servers forget the begin or end the session; theirs is no help to us
PERSONA_WITHIN_S = 12.0  # the model is stepped through voice and persona first, faster than they would be spoken
MOSHI, PERSONAPLEX = "moshi", "personaplex"


def dialect(settings: ServerSettings) -> Dialect:
    """By ``settings.flavour``, ``moshi`` or ``personaplex``.

    Raises ValueError for another flavour, ConfigError where libopus is not installed.
    """
    flavour = settings.flavour or MOSHI
    if flavour not in (MOSHI, PERSONAPLEX):
        raise ValueError(f"flavour {flavour!r}, expected one of {MOSHI}, {PERSONAPLEX}")
    try:
        require_libopus()
    except OpusMissingError as error:
        raise ConfigError(f"TWOWIRE_ENGINE: {error}") from None
    has_persona = flavour == PERSONAPLEX

    def request(opening: Opening) -> Request:
        if not has_persona:
            return settings.request()
        return settings.request(f"{settings.url}{'&' if '?' in settings.url else '?'}{persona.query(opening)}")

    def session(_: Opening) -> MoshiSession:
        return MoshiSession()

    def cannot(brief: Brief) -> str:
        if brief.mode is not Mode.DIALOG:
            return f"mode {brief.mode}: this engine holds dialogs only"
        return persona.too_long(brief) if has_persona else ""

    return Dialect(
        Capabilities(
            engine="moshi",
            chunk_ms=CHUNK_MS,
            first_chunk_ms=CHUNK_MS,
            input_rate_hz=RATE_HZ,
            output_rate_hz=RATE_HZ,
            explicit_decision=False,
            hears_while_speaking=True,
            # A server process carries one conversation, unless the operator knows of one that carries more.
            sessions=settings.sessions if "sessions" in settings.model_fields_set else 1,
            context_s=CONTEXT_S,
            languages=("en",),
            licence_note="Moshi weights: CC-BY-4.0; PersonaPlex weights: NVIDIA Open Model License",
        ),
        request,
        session,
        SESSION_LIMIT_S,
        cannot=cannot,
        yields_by_itself=True,
        ready_within_s=PERSONA_WITHIN_S if has_persona else READY_WITHIN_S,
        one_session_a_call=True,
    )
