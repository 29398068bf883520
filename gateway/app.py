"""The gateway's composition root: configuration in, a running gateway out."""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from gateway.call import CallLimits
from gateway.config import GatewayConfig
from gateway.config.fallback import load_ladder
from gateway.config.sip import SipConfig
from gateway.config.webrtc import WebRtcConfig
from gateway.echo.guard import EchoGuard
from gateway.events import CallEvent
from gateway.fallback import Ladder
from gateway.metrics import GatewayMetrics
from gateway.runner.archive import PastCalls
from gateway.runner.call_log import CallLog
from gateway.runner.call_recorder import CallRecorder, Recordings
from gateway.runner.decision_log import DecisionLog
from gateway.runner.fallback_desk import FallbackDesk
from gateway.runner.feed import LiveFeed
from gateway.runner.hub import CallHub
from gateway.runner.keeper import CallKeeper
from gateway.runner.outbound import DialOrder, Fault, NotDialledError
from gateway.runner.recording import RecordingWriter, find_recording
from gateway.runner.shadow import ShadowPolicy
from gateway.runner.state_keeper import StateKeeper
from gateway.sdp.formats import MediaCodec
from gateway.transports.front_door import FrontDoor, one_request
from gateway.transports.sip_door import SipDoor
from gateway.transports.twilio_hooks import TwilioHooks
from gateway.turn.watchdog import WatchdogLimits
from gateway.web.bearer import BearerToken
from gateway.web.console import Console
from gateway.web.console_guard import ConsoleGuard
from gateway.web.dialling import Dialling
from gateway.web.operations import Operations
from gateway.web.origins import Origins
from gateway.web.pages import Pages, read_static
from gateway.web.tokens import PageTokens
from gateway.web.whip import Whip
from wire.audio.codecs import Codec
from wire.audio.g711 import encode
from wire.audio.opus import OpusMissingError, require_libopus
from wire.audio.resample import Resampler
from wire.audio.wav import WavError, read_wav
from wire.bus.archive import CallArchive
from wire.bus.call_states import CallStates, LocalStates
from wire.bus.seam import Bus, OneTimeTokens, Placement, Wish
from wire.bus.waiting_line import WaitingLine
from wire.ids import CallId, GatewayId
from wire.settings import ConfigError

if TYPE_CHECKING:  # an extra: installed where browsers call
    from gateway.transports.webrtc_door import WebRtcDoor

log = structlog.get_logger()

MAX_BODY_BYTES = 64 * 1024
_ONE_MOMENT = Path(__file__).parent / "clips" / "one-moment.wav"
_SHUTDOWN_S = 5.0  # for consoles that are still connected


class Gateway:
    """One gateway process: listen, serve, drain."""

    def __init__(
        self,
        config: GatewayConfig,
        bus: Bus,
        placement: Placement,
        tokens: OneTimeTokens,
        line: WaitingLine,
        *,
        sip: SipConfig | None = None,
        webrtc: WebRtcConfig | None = None,
        archive: CallArchive | None = None,
        states: CallStates | None = None,
        recordings: Recordings | None = None,
    ) -> None:
        """``archive`` keeps calls that are over for the console, ``states`` those that live for other gateways.

        ``recordings`` keep what workers hear.
        """
        self._config = config
        self._call_states = states or LocalStates()
        self._state_keeper: StateKeeper | None = None
        self._recordings = recordings
        self._recorder: CallRecorder | None = None
        self._archive = archive
        self._keeper: CallKeeper | None = None
        self._sip_config = sip
        self._webrtc_config = webrtc
        self._bus = bus
        self._placement = placement
        self._tokens = tokens
        self._line = line
        self._decision_log: DecisionLog | None = None
        self._hub: CallHub | None = None
        self._http: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self.sip: SipDoor | None = None
        """The SIP door, when there is one."""
        self.webrtc: WebRtcDoor | None = None
        """The browser door, when there is one."""
        self._feed: LiveFeed | None = None
        self.base_url = config.base_url

    async def start(self) -> None:
        """Listen and receive. Raises ConfigError (port taken, log unwritable) and BusUnavailableError."""
        config = self._config
        ladder = _ladder(config)
        listener = self._listen()
        if not config.public_url:
            self.base_url = f"http://{config.host}:{listener.getsockname()[1]}"
        if config.decision_log is not None:
            try:
                self._decision_log = DecisionLog(config.decision_log)
            except OSError as error:
                raise ConfigError(
                    f"TWOWIRE_DECISION_LOG: cannot write {config.decision_log}: {error.strerror}"
                ) from None
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        metrics = GatewayMetrics(registry, lambda: self._bus.stats)
        self._hub = CallHub(
            GatewayId(config.gateway_id),
            self._bus,
            self._placement,
            metrics,
            call_limits(config),
            self._decision_log.write if self._decision_log else lambda _note: None,
            _echo_guard() if config.echo_guard else None,
            Wish(language=config.language, zone=config.zone),
            _hold_clips(config.hold_clip),
            config.farewell,
            (config.line_engine, *ladder.engines_at_once),
        )
        desk = FallbackDesk(ladder, self._hub, self._line, metrics)
        if config.shadow_engine:
            self._hub.shadow(ShadowPolicy(config.shadow_engine, config.shadow_share))
        self._keeper = self._keep_calls(self._hub)
        metrics.show_kept(self._keeper.counts)
        self._feed = feed = LiveFeed(self._hub.records, self._hub.quality)
        self._hub.observers.append(feed.observe)
        self._state_keeper = StateKeeper(self._call_states, self._hub.live)
        self._hub.observers.append(self._state_keeper.observe)
        if self._recordings is not None and config.record_calls_s:
            self._recorder = CallRecorder(self._recordings, config.record_calls_s, metrics.replays_truncated)
            self._hub.observers.append(self._recorder.observe)
        hooks = TwilioHooks(config, self._hub, self._tokens, self._state_keeper, desk, metrics, self.base_url)
        token = BearerToken(config.api_token.get_secret_value())
        pages = Pages(read_static())
        operations = Operations(self._hub, registry, token, self.base_url, pages if self._webrtc_config else None)
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(one_request)
        app.add_routes(hooks.routes() + operations.routes() + Dialling(token, self._dial).routes())
        if self._webrtc_config is not None:
            self.webrtc = _browser_door(self._webrtc_config, config.agent, self._hub, metrics, feed, ladder)
            origins = Origins(self.base_url, self._webrtc_config.allowed_origins)
            app.add_routes(Whip(self._webrtc_config, self.webrtc, origins, metrics).routes())
            app.add_routes(PageTokens(self._webrtc_config, token, origins).routes())
        if config.console_token is not None:
            guard = ConsoleGuard(config.console_token.get_secret_value(), self.base_url)
            past = None if self._archive is None else PastCalls(self._archive)
            app.add_routes(Console(self._hub, feed, guard, past, self._recording_of).routes())
        app.add_routes(pages.routes(console=config.console_token is not None))
        self._http = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._http.setup()
        http_server = self._http.server
        assert http_server is not None, "a runner that was set up has its server"
        await self._hub.start()
        self._keeper.start()
        self._state_keeper.start()
        if self._recorder is not None:
            self._recorder.start()
        if self._sip_config is not None:
            self.sip = SipDoor(self._sip_config, config.agent, self._hub, desk, metrics)
            await self.sip.start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: FrontDoor(http_server, hooks.upgrade), sock=listener, backlog=1024
        )
        log.info("gateway.ready", url=self.base_url, gateway=config.gateway_id)

    def post(self, call: CallId, event: CallEvent) -> bool:
        """Tell a live call what happened; False when there is none of that name."""
        assert self._hub is not None, "a started gateway"
        return self._hub.post(call, event)

    async def drain(self) -> None:
        """Refuse new calls, let the live ones end, up to the drain limit."""
        assert self._hub is not None, "a started gateway"
        await self._hub.drain(self._config.drain_limit_s)

    async def stop(self) -> None:
        """End what is left and close everything."""
        if self._server is not None:
            self._server.close()
        if self._hub is not None:
            await self._hub.stop()
        if self.sip is not None:
            await self.sip.stop()
        if self.webrtc is not None:
            await self.webrtc.stop()
        if self._feed is not None:
            self._feed.close()
        if self._http is not None:
            await self._http.cleanup()
        if self._keeper is not None:
            await self._keeper.close()
        if self._state_keeper is not None:
            await self._state_keeper.close()
        if self._recorder is not None:
            await self._recorder.close()
        if self._decision_log is not None:
            self._decision_log.close()
        log.info("gateway.stopped")

    def _keep_calls(self, hub: CallHub) -> CallKeeper:
        """Raises ConfigError when a file or a folder cannot be written."""
        config = self._config
        try:
            log_file = None if config.call_log is None else CallLog(config.call_log)
            recordings = None
            if config.recording and config.recording_dir is not None:
                recordings = RecordingWriter(config.recording_dir)
        except OSError as error:
            raise ConfigError(f"TWOWIRE_CALL_LOG, TWOWIRE_RECORDING_DIR: {error.filename}: {error.strerror}") from None
        keeper = CallKeeper(self._archive, log_file, recordings, config.max_call_s)
        hub.observers.append(keeper.observe)
        hub.on_ended = keeper.ended
        return keeper

    def _recording_of(self, call: CallId) -> Path | None:
        """The finished recording of a call; looks at the disk."""
        directory = self._config.recording_dir
        if directory is None or (self._hub is not None and self._hub.is_live(call)):
            return None
        return find_recording(directory, call)

    async def _dial(self, order: DialOrder) -> CallId:
        if self.sip is None:
            raise NotDialledError(Fault.UNKNOWN_TRUNK, "this gateway has no SIP door; open one with TWOWIRE_SIP_FILE")
        return await self.sip.dial(order)

    def _listen(self) -> socket.socket:
        config = self._config
        try:
            return socket.create_server((config.host, config.port), backlog=1024)
        except OSError as error:
            raise ConfigError(
                f"TWOWIRE_HOST/TWOWIRE_PORT: cannot listen on {config.host}:{config.port}: {error.strerror}; "
                "end the other program or choose another --port"
            ) from None


def call_limits(config: GatewayConfig) -> CallLimits:
    """The bounds of every call."""
    watchdogs = WatchdogLimits(never_speaks_s=config.never_speaks_s or inf, reply_s=config.longest_reply_s)
    return CallLimits(config.media_timeout_s, config.max_call_s, log_s=config.replay_s, watchdogs=watchdogs)


def _ladder(config: GatewayConfig) -> Ladder:
    """What happens to callers for whom there is no slot. Raises ConfigError."""
    if config.fallback_file is None:
        return Ladder()
    ladder = load_ladder(config.fallback_file)
    if ladder.engines and not config.line_engine:
        raise ConfigError("set TWOWIRE_LINE_ENGINE: which engine is the one that others stand in for?")
    return ladder


def _hold_clips(path: Path | None) -> dict[Codec, bytes]:
    """The hold clip in every codec. Raises ConfigError when it cannot be read."""
    try:
        recording = read_wav(path or _ONE_MOMENT)
    except WavError as error:
        raise ConfigError(f"TWOWIRE_HOLD_CLIP: {error}") from None
    clips = {}
    for codec in Codec:
        resampler = Resampler(recording.sample_rate_hz, codec.sample_rate_hz)
        clips[codec] = encode(codec, np.concatenate((resampler.push(recording.pcm), resampler.flush())))
    return clips


def _echo_guard() -> Callable[[Codec], EchoGuard] | None:
    """What makes the echo guards of phone calls; None, and a line in the log, where the extra is not installed."""
    try:
        from gateway.echo.aec3 import Aec3  # now: a quarter of a second that no call should wait
    except ImportError:
        log.info("gateway.no_echo_guard", reason="not installed", needs="pip install 'twowire[echo]'")
        return None
    return partial(EchoGuard, make=Aec3)


def _browser_door(
    config: WebRtcConfig, agent: str, hub: CallHub, metrics: GatewayMetrics, feed: LiveFeed, ladder: Ladder
) -> "WebRtcDoor":
    """Raises ConfigError where aiortc or libopus is not installed: they are an extra."""
    try:
        if MediaCodec.OPUS in config.media_codecs:
            require_libopus()
        from gateway.transports.webrtc_door import WebRtcDoor
    except OpusMissingError as error:
        raise ConfigError(str(error)) from None
    except ImportError as error:
        raise ConfigError(f"browser calls need more packages ({error.name}): pip install 'twowire[webrtc]'") from None
    return WebRtcDoor(config, agent, hub, metrics, feed, ladder)


async def run_gateway(
    config: GatewayConfig,
    bus: Bus,
    placement: Placement,
    tokens: OneTimeTokens,
    line: WaitingLine,
    *,
    sip: SipConfig | None = None,
    webrtc: WebRtcConfig | None = None,
    archive: CallArchive | None = None,
    states: CallStates | None = None,
    recordings: Recordings | None = None,
    on_ready: Callable[[Gateway], None] = lambda gateway: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the drain.

    ``on_ready`` is told once calls are taken.
    """
    gateway = Gateway(
        config,
        bus,
        placement,
        tokens,
        line,
        sip=sip,
        webrtc=webrtc,
        archive=archive,
        states=states,
        recordings=recordings,
    )
    await gateway.start()
    on_ready(gateway)
    gc.collect()
    gc.freeze()  # a full collection over all imports takes 40 ms, two ticks; what lives for ever need not be visited
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    hurry = asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await stop.wait()
    drain = asyncio.create_task(gateway.drain())
    hurried = asyncio.create_task(hurry.wait())
    await asyncio.wait((drain, hurried), return_when=asyncio.FIRST_COMPLETED)
    for task in (drain, hurried):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await gateway.stop()
