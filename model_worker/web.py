"""What operators and their machines ask of a worker: metrics, health, readiness."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


def operations(
    registry: CollectorRegistry, alive: Callable[[], bool], not_ready: Callable[[], str | None]
) -> web.Application:
    """``/metrics``, ``/healthz`` (503: start the process anew) and ``/readyz`` (503: place no calls here)."""

    async def health(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if alive() else web.Response(status=503, text="engine thread ended\n")

    async def ready(_request: web.Request) -> web.Response:
        reason = not_ready()
        return web.Response(text="ready\n") if reason is None else web.Response(status=503, text=f"{reason}\n")

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", health), web.get("/readyz", ready), web.get("/metrics", metrics)])
    return app
