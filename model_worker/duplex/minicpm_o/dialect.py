"""MiniCPM-o's servers as engines."""

from collections.abc import Callable

from model_worker.dialog.brief import Brief, Mode
from model_worker.duplex.minicpm_o.backend import BackendSession
from model_worker.duplex.minicpm_o.realtime_v2 import RealtimeV2Session
from model_worker.duplex.minicpm_o.units import FIRST_UNIT_MS, IN_HZ, OUT_HZ, UNIT_MS
from model_worker.duplex.minicpm_o.vllm_omni import VllmOmniSession
from model_worker.duplex.remote.seam import Dialect, Opening, ServerSession
from model_worker.duplex.remote.settings import ServerSettings
from model_worker.seams import Capabilities

SESSION_LIMIT_S = 420.0  # 600 s, or 8,192 tokens, which a talkative call fills in some eight minutes


def dialect(settings: ServerSettings) -> Dialect:
    """By ``settings.flavour``: one of ``_FLAVOURS``. Raises ValueError for another.

    vLLM-Omni begins no session without a voice to copy: without one it is a ValueError, too.
    """
    flavour = settings.flavour or "vllm-omni"
    make = _FLAVOURS.get(flavour)
    if make is None:
        raise ValueError(f"flavour {flavour!r}, expected one of {', '.join(_FLAVOURS)}")

    if flavour == "vllm-omni" and not settings.voice:
        raise ValueError("vllm-omni speaks with a voice of yours: name a WAV file of it in TWOWIRE_SERVER_VOICE_FILE")
    native = flavour == "vllm-omni"  # it cuts the stream into units itself
    return Dialect(
        Capabilities(
            engine="minicpm-o",
            chunk_ms=UNIT_MS,
            first_chunk_ms=UNIT_MS if native else FIRST_UNIT_MS,
            input_rate_hz=IN_HZ,
            output_rate_hz=OUT_HZ,
            explicit_decision=True,
            hears_while_speaking=True,
            # A server carries as many as it has GPUs, vLLM-Omni four on one; the operator knows.
            sessions=settings.sessions if "sessions" in settings.model_fields_set else 4 if native else 1,
            context_s=SESSION_LIMIT_S,
            languages=("en", "zh"),
            licence_note="weights and code: Apache-2.0",
        ),
        lambda _: settings.request(),
        lambda opening: make(opening, settings),
        SESSION_LIMIT_S,
        cannot=_cannot,
    )


def _cannot(brief: Brief) -> str:
    return "" if brief.mode is Mode.DIALOG else f"mode {brief.mode}: this engine holds dialogs only"


_FLAVOURS: dict[str, Callable[[Opening, ServerSettings], ServerSession]] = {
    "vllm-omni": lambda opening, settings: VllmOmniSession(opening, settings.model, settings.voice),
    "realtime-v2": lambda opening, settings: RealtimeV2Session(opening, settings.voice),
    "gateway": lambda opening, settings: BackendSession(opening, settings.voice, queues=True),
    "llama-cpp-omni": lambda opening, settings: BackendSession(opening, settings.voice),
}
