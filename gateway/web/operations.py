"""What operators and their machines ask: health, readiness, metrics, the record of a call."""

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from gateway.runner.hub import CallHub
from gateway.web.bearer import BearerToken
from gateway.web.pages import Pages
from wire import __version__
from wire.ids import CallId

_WELCOME = f"""twowire {__version__} is up.

Twilio: set the voice webhook of a number to POST {{base}}/twilio/voice
Try it: twowire call --say "What are your opening hours?"
"""


class Operations:
    """The routes that are not a door."""

    def __init__(
        self,
        hub: CallHub,
        registry: CollectorRegistry,
        token: BearerToken,
        base_url: str,
        talk_page: Pages | None = None,
    ) -> None:
        """``talk_page``: the pages when browsers may call; without, everybody gets the text at ``/``."""
        self._hub = hub
        self._registry = registry
        self._authorize = token.check
        self._base_url = base_url
        self._talk_page = talk_page

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._welcome),
            web.get("/healthz", self._health),
            web.get("/readyz", self._ready),
            web.get("/metrics", self._metrics),
            web.get("/api/calls", self._calls),
            web.get("/api/calls/{call}", self._call),
        ]

    async def _welcome(self, request: web.Request) -> web.StreamResponse:
        """The talk page for browsers, a few lines of text for everybody else."""
        page = self._talk_page.talk(request) if self._talk_page is not None else None
        if page is not None:
            return page
        return web.Response(text=_WELCOME.format(base=self._base_url), headers={"Vary": "Accept"})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        """200 while new calls are taken."""
        if self._hub.draining:
            return web.Response(status=503, text="draining\n")
        return web.Response(text="ready\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _calls(self, request: web.Request) -> web.Response:
        """All calls that are remembered; ``?variable=name:value`` takes those in which the door set it so."""
        self._authorize(request)
        name, _, value = request.query.get("variable", "").partition(":")
        calls = [
            {"call": record.call, "state": record.state, "outcome": record.outcome, "duration_s": record.duration_s}
            for record in self._hub.records.values()
            if not name or record.setup.variables.get(name) == value
        ]
        return web.json_response({"calls": calls})

    async def _call(self, request: web.Request) -> web.Response:
        self._authorize(request)
        record = self._hub.records.get(CallId(request.match_info["call"]))
        if record is None:
            raise web.HTTPNotFound(text="no such call\n")
        return web.json_response(record.as_json())
