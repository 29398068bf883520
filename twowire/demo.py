"""Gateway, bus and worker in one process: what a newcomer runs first."""

import asyncio
from contextlib import AsyncExitStack
from typing import Literal

import click
from pydantic import SecretStr

from gateway.app import Gateway, run_gateway
from gateway.config import GatewayConfig
from gateway.config.sip import SipConfig
from gateway.config.webrtc import WebRtcConfig
from model_worker.app import serving
from model_worker.config import WorkerConfig
from wire.bus.archive import LocalArchive
from wire.bus.embedded import EmbeddedValkey
from wire.bus.local import LocalHub
from wire.bus.redis_streams import Side, open_redis
from wire.ids import GatewayId, WorkerId

DEMO_AUTH_TOKEN = "twowire-demo-auth-token"  # noqa: S105 - published on purpose, for loopback
DEMO_API_TOKEN = "twowire-demo-api-token"  # noqa: S105 - likewise

BusKind = Literal["local", "redis"]


async def run_demo(
    gateway: GatewayConfig, worker: WorkerConfig, bus: BusKind, sip: SipConfig | None, webrtc: WebRtcConfig
) -> None:
    """Serve on the gateway's address until SIGTERM or SIGINT. Raises what either side raises at its start."""
    gateway_id, worker_id = GatewayId(gateway.gateway_id), WorkerId(worker.worker_id)
    async with AsyncExitStack() as stack:
        if bus == "redis":
            valkey = await asyncio.to_thread(lambda: stack.enter_context(EmbeddedValkey()))
            gateway_parts = open_redis(valkey.url, gateway_id, Side.GATEWAY)
            worker_parts = open_redis(valkey.url, worker_id, Side.WORKER)
        else:
            hub = LocalHub()
            gateway_parts, worker_parts = hub.open(gateway_id), hub.open(worker_id)
        await stack.enter_async_context(serving(worker, worker_parts))
        await run_gateway(
            gateway,
            *gateway_parts,
            sip=sip,
            webrtc=webrtc,
            archive=LocalArchive(),
            on_ready=lambda ready: _say_what_next(ready, gateway.console_token),
        )


def _say_what_next(gateway: Gateway, console_token: SecretStr | None) -> None:
    url = gateway.base_url
    token = "" if console_token is None else console_token.get_secret_value()
    elsewhere = "" if url.endswith(":8080") else f" --url {url}"
    phone, softphone = "", ""
    if gateway.sip is not None:
        phone = f", and as a phone at {gateway.sip.uri}"
        softphone = f'\n    twowire call{elsewhere} {gateway.sip.uri} --say "What are your opening hours?"'
    click.echo(
        f"""
  twowire answers at {url}{phone}

  Talk to it:         {url}/
  Watch its calls:    {url}/console  (token: {token})

  The agent is a narrow, menu-style receptionist on the CPU: it knows a few questions, and keys work as well as words.
  Call it from a second terminal:

    twowire call{elsewhere} --say "What are your opening hours?"
    twowire call{elsewhere} --say "What are your opening hours?" --say "What is your address?" --barge-in-at 1.5
    twowire call{elsewhere} --dtmf 1{softphone}

  Ctrl-C ends it.
"""
    )
