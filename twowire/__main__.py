"""``twowire``: the command line."""

import asyncio
import os
import secrets
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from twowire.call_command import call
from twowire.dial_command import dial
from twowire.engines_command import doctor, engines
from twowire.model_command import model
from twowire.replay_command import export, replay
from wire import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="twowire")
def main() -> None:
    """Answer phone calls with full-duplex voice models.

    New here: run `twowire demo`, then, in a second terminal, `twowire call --say "What are your opening hours?"`.

    Every option that names a setting can also be given in the environment, as TWOWIRE_ and its name in capitals.
    """


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end on the fastest event loop there is."""
    if sys.platform == "win32":
        asyncio.run(work)
    else:
        import uvloop

        uvloop.run(work)


def _fail(error: Exception) -> click.ClickException:
    return click.ClickException(str(error))


host = click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
port = click.option("--port", type=click.IntRange(0, 65_535), help="Port for HTTP and media.  [default: 8080]")
redis_url = click.option("--redis", "redis_url", metavar="URL", help="The bus.  [default: redis://127.0.0.1:6379/0]")
log_level = click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[default: info]"
)
log_format = click.option("--log-format", type=click.Choice(["console", "json"]), help="[default: console]")
agents_dir = click.option(
    "--agents",
    "agents_dir",
    type=click.Path(path_type=Path),
    help="Folder of agent files.  [default: the built-in ones]",
)
decision_log = click.option(
    "--decision-log", type=click.Path(path_type=Path), help="Write one JSON line per decision to this file."
)


@main.command()
@host
@port
@click.option(
    "--bus",
    type=click.Choice(["local", "redis"]),
    default="local",
    show_default=True,
    help="In-process, or a Valkey of its own.",
)
@click.option(
    "--sip-port",
    envvar="TWOWIRE_SIP_PORT",
    type=click.IntRange(0, 65_535),
    default=5_060,
    show_default=True,
    help="Port for SIP on 127.0.0.1, UDP and TCP.",
)
@click.option("--no-sip", is_flag=True, help="Open no SIP port.")
@agents_dir
@decision_log
@log_level
def demo(bus: str, sip_port: int, no_sip: bool, agents_dir: Path | None, **settings: Any) -> None:
    """Gateway, bus and CPU worker in one go. No key, no GPU, no Redis, no root.

    Listens on 127.0.0.1 with tokens that everybody knows: not for the open network.
    """
    from gateway.config import load_config
    from gateway.config.sip import loopback_sip
    from gateway.config.webrtc import loopback_webrtc
    from model_worker.config import load_worker_config
    from twowire.demo import DEMO_API_TOKEN, DEMO_AUTH_TOKEN, run_demo
    from wire.bus.embedded import EmbeddedValkeyError
    from wire.bus.seam import BusUnavailableError
    from wire.logs import configure_logs
    from wire.settings import ConfigError

    try:
        gateway = load_config(
            twilio_auth_token=DEMO_AUTH_TOKEN,
            api_token=DEMO_API_TOKEN,
            console_token=os.environ.get("TWOWIRE_CONSOLE_TOKEN") or secrets.token_urlsafe(12),
            drain_limit_s=0.0,
            **settings,
        )
        worker = load_worker_config(engine="receptionist", agents_dir=agents_dir, metrics_port=0)
        configure_logs(gateway.log_level, gateway.log_format)
        sip = None if no_sip else loopback_sip(sip_port)
        _run(run_demo(gateway, worker, "redis" if bus == "redis" else "local", sip, loopback_webrtc()))
    except (ConfigError, BusUnavailableError, EmbeddedValkeyError) as error:
        raise _fail(error) from None


@main.command()
@host
@port
@click.option("--public-url", help="Address under which Twilio reaches this gateway, e.g. https://voice.example.com.")
@redis_url
@click.option(
    "--sip",
    "sip_file",
    type=click.Path(path_type=Path),
    help="File that opens the SIP door: listeners and trunks (docs/SIP.md).",
)
@click.option(
    "--webrtc",
    "webrtc_file",
    type=click.Path(path_type=Path),
    help="File that opens the browser door: pages, origins, TURN (docs/WEBRTC.md).",
)
@click.option("--agent", help="Agent that answers.  [default: front-desk]")
@decision_log
@click.option("--drain-limit-s", type=float, help="How long live calls may go on after SIGTERM.  [default: 3600]")
@log_level
@log_format
def serve(**settings: Any) -> None:
    """Run a gateway: answer calls and route them to workers over Redis.

    Needs TWOWIRE_TWILIO_AUTH_TOKEN and TWOWIRE_API_TOKEN in the environment; TWOWIRE_CONSOLE_TOKEN opens the console.
    """
    from gateway.app import run_gateway
    from gateway.config import load_config
    from gateway.config.sip import load_sip
    from gateway.config.webrtc import load_webrtc
    from wire.bus.recorded_calls import RecordedCalls
    from wire.bus.redis_archive import RedisArchive
    from wire.bus.redis_states import RedisStates
    from wire.bus.redis_streams import Side, open_redis
    from wire.bus.seam import BusUnavailableError
    from wire.ids import GatewayId
    from wire.logs import configure_logs
    from wire.settings import ConfigError

    async def run() -> None:
        bus, placement, tokens, line = open_redis(config.redis_url, GatewayId(config.gateway_id), Side.GATEWAY)
        retention_s = config.archive_retention_s
        archive = RedisArchive(config.redis_url, config.gateway_id, retention_s) if retention_s else None
        states = RedisStates(config.redis_url, config.gateway_id)
        recordings = RecordedCalls(config.redis_url, config.gateway_id) if config.record_calls_s else None
        await run_gateway(
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

    try:
        config = load_config(**settings)
        configure_logs(config.log_level, config.log_format)
        sip = None if config.sip_file is None else load_sip(config.sip_file)
        webrtc = None if config.webrtc_file is None else load_webrtc(config.webrtc_file)
        _run(run())
    except (ConfigError, BusUnavailableError) as error:
        raise _fail(error) from None


@main.command()
@redis_url
@click.option("--engine", help="Which engine decides; `twowire engines` lists them.  [default: receptionist]")
@click.option("--model", type=click.Path(path_type=Path), help="Folder of the model, from `twowire model convert`.")
@click.option("--server", "server_url", metavar="URL", help="Server of an engine that is a server's (docs/ENGINES.md).")
@click.option("--slots", type=click.IntRange(1), help="Calls at once.  [default: what the engine can carry]")
@agents_dir
@click.option("--script", type=click.Path(path_type=Path), help="Script of the scripted engine.")
@click.option("--metrics-host", help="Address of /metrics, /healthz and /readyz.  [default: 127.0.0.1]")
@click.option("--metrics-port", type=click.IntRange(0, 65_535), help="Their port; 0 takes a free one.  [default: 9464]")
@click.option("--drain-limit-s", type=float, help="How long live calls may go on after SIGTERM.  [default: 3600]")
@log_level
@log_format
def worker(**settings: Any) -> None:
    """Run a model worker: serve the calls that gateways route to it over Redis."""
    from model_worker.app import run_worker
    from model_worker.config import load_worker_config
    from model_worker.runner import EngineDiedError
    from wire.bus.seam import BusUnavailableError
    from wire.logs import configure_logs
    from wire.settings import ConfigError

    try:
        config = load_worker_config(**settings)
        configure_logs(config.log_level, config.log_format)
        _run(run_worker(config))
    except (ConfigError, BusUnavailableError, EngineDiedError) as error:
        raise _fail(error) from None


main.add_command(call)
main.add_command(dial)
main.add_command(doctor)
main.add_command(engines)
main.add_command(export)
main.add_command(model)
main.add_command(replay)


if __name__ == "__main__":
    main()
