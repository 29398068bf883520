"""A gateway with a browser door that leads over TURN servers, and what it hands out to pages."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.interop.gateways import API_TOKEN, AUTH_TOKEN, TWOWIRE, GatewayUnderTest, awaited
from tests.interop.peers import LOOPBACK, ROOT, Bench

TURN_SECRET_VARIABLE = "TURN_SECRET_OF_THE_TESTS"


@contextmanager
def running_line(
    folder: Path, redis_url: str, turn_urls: Sequence[str], turn_secret: str, **settings: Any
) -> Iterator[GatewayUnderTest]:
    """``twowire serve --webrtc`` and a worker. ``settings`` are more of the file's."""
    bench = Bench(folder)
    servers = [{"urls": list(turn_urls), "secret": {"env": TURN_SECRET_VARIABLE}}]
    path = folder / "webrtc.yaml"
    path.write_text(json.dumps({"ice_servers": servers, **settings}))  # JSON is YAML
    environment = {
        "PYTHONUNBUFFERED": "1",
        TURN_SECRET_VARIABLE: turn_secret,
        "TWOWIRE_REDIS_URL": redis_url,
        "TWOWIRE_TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWOWIRE_API_TOKEN": API_TOKEN,
        "TWOWIRE_DRAIN_LIMIT_S": "1",
        "TWOWIRE_LOG_FORMAT": "json",
    }
    try:
        worker = bench.start("worker", TWOWIRE, "worker", "--metrics-port", "0", cwd=ROOT, environment=environment)
        awaited(worker, "worker.started")
        serve = [TWOWIRE, "serve", "--port", "0", "--webrtc", str(path)]
        gateway = bench.start("serve", *serve, cwd=ROOT, environment=environment)
        url = awaited(gateway, r'gateway\.ready.*?"url": "(http://[^"]+)"|"url": "(http://[^"]+)".*?gateway\.ready')
        yield GatewayUnderTest(LOOPBACK, 0, url=url, api_token=API_TOKEN)
        assert gateway.running, f"the gateway ended by itself\n{gateway.tail()}"
    finally:
        bench.stop()


async def page_token(gateway: GatewayUnderTest, **wishes: Any) -> dict[str, Any]:
    """What a web server of a customer's gets for its page: ``token`` and ``ice_servers``."""
    return await asyncio.to_thread(_post, f"{gateway.url}/api/page-tokens", gateway.api_token, wishes)


def _post(url: str, api_token: str, body: Mapping[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {api_token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=5) as response:
        found: dict[str, Any] = json.load(response)
        return found
