"""Signalling over HTTP, with a door that only notes what it is told."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from gateway.config.webrtc import WebRtcConfig
from gateway.metrics import GatewayMetrics
from gateway.runner.browser import Answered, TooManyOffersError, UnknownSessionError
from gateway.runner.hub import NoSlotError
from gateway.sdp.formats import MediaCodec
from gateway.web import whip
from gateway.web.origins import Origins
from gateway.web.whip import Whip
from gateway.webrtc.offer import BrowserOffer
from gateway.webrtc.page_token import PageClaims, sign
from gateway.webrtc.trickle import Fragment
from tests.gateway.webrtc.offers import CHROMIUM, wire
from tests.gateway.webrtc.test_offer_broken import BROKEN
from wire.bus.seam import BusStats
from wire.ids import CallId

NOW_UNIX_S = 1_800_000_000.0
OUR_ORIGIN = "https://voice.example.com"
SHOP = "https://shop.example.com"
TURN_SECRET = "turn-secret-of-the-tests"
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
CANDIDATES = "a=ice-ufrag:Yx3+\na=ice-pwd:zVqHJv1oG1zqWz/8bQ0QfWzC\na=candidate:1 1 udp 9 192.0.2.9 5000 typ host\n"


@dataclass
class Door:
    """Holds one session once it was opened."""

    error: Exception | None = None
    opened: list[tuple[BrowserOffer, str, Mapping[str, str]]] = field(default_factory=list)
    again: list[BrowserOffer] = field(default_factory=list)
    fragments: list[Fragment] = field(default_factory=list)
    live: bool = False

    async def open(self, offer: BrowserOffer, agent: str, variables: Mapping[str, str]) -> Answered:
        if self.error is not None:
            raise self.error
        self.opened.append((offer, agent, variables))
        self.live = True
        return Answered("s1", CallId("web-1"), b"v=0\r\nanswer")

    async def reattach(self, session: str, offer: BrowserOffer) -> Answered:
        self._find(session)
        self.again.append(offer)
        return Answered(session, CallId("web-1"), b"v=0\r\nagain")

    async def add_candidates(self, session: str, fragment: Fragment) -> None:
        self._find(session)
        self.fragments.append(fragment)

    async def close(self, session: str) -> None:
        self._find(session)
        self.live = False

    def _find(self, session: str) -> None:
        if not self.live or session != "s1":
            raise UnknownSessionError


@dataclass
class Line:
    """The routes on a port of this machine."""

    http: TestClient[Any, Any]
    door: Door
    config: WebRtcConfig
    registry: CollectorRegistry

    def token(self, **claims: Any) -> dict[str, str]:
        told = replace(PageClaims(int(NOW_UNIX_S) + 60, "page7"), **claims)
        return {"Authorization": f"Bearer {sign(self.config.token_key, told)}"}

    async def call(self, body: bytes = wire(CHROMIUM), **headers: str) -> Any:
        return await self.http.post("/whip", data=body, headers=SDP | self.token() | headers)

    async def trickle(self, body: str = CANDIDATES, **headers: str) -> Any:
        return await self.http.patch("/whip/s1", data=wire(body), headers=FRAGMENT | headers)

    def refused(self, reason: str) -> float:
        labels = {"door": "webrtc", "reason": reason}
        return self.registry.get_sample_value("twowire_gateway_bad_input_total", labels) or 0.0


@asynccontextmanager
async def line_of(**settings: Any) -> AsyncIterator[Line]:
    config = WebRtcConfig.model_validate({"allowed_origins": [SHOP]} | settings)
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry, BusStats)
    door = Door()
    app = web.Application()
    app.add_routes(Whip(config, door, Origins(OUR_ORIGIN, [SHOP]), metrics, lambda: NOW_UNIX_S).routes())
    async with TestClient(TestServer(app)) as http, asyncio.timeout(20):
        yield Line(http, door, config, registry)


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with line_of() as line:
        yield line


async def test_an_offer_is_answered_with_a_session(line):
    response = await line.call()
    assert response.status == 201
    assert await response.read() == b"v=0\r\nanswer"
    assert response.content_type == "application/sdp"
    assert response.headers["Location"] == "/whip/s1"
    assert response.headers["ETag"].startswith('"')
    assert response.headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
    assert response.headers["Cache-Control"] == "no-store"
    [(offer, agent, variables)] = line.door.opened
    assert offer.ice.ufrag == "Yx3+"
    assert (agent, variables) == ("", {})


async def test_the_token_names_the_agent_and_the_browser_its_origin(line):
    response = await line.call(**line.token(agent="sales", origin=SHOP), Origin=SHOP)
    assert response.status == 201
    [(_, agent, variables)] = line.door.opened
    assert (agent, variables) == ("sales", {"origin": SHOP})


async def test_the_codecs_are_those_of_the_configuration():
    async with line_of(codecs=["PCMU"]) as line:
        await line.call()
        assert line.door.opened[0][0].audio.codec is MediaCodec.PCMU


async def test_ice_servers_come_as_links_with_credentials_that_expire(monkeypatch):
    monkeypatch.setenv("TEST_TURN_SECRET", TURN_SECRET)
    turn = ["turn:turn.example.com:3478?transport=udp", "turn:turn.example.com:3478?transport=tcp"]
    servers = [{"urls": ["stun:stun.example.com"]}, {"urls": turn, "secret": {"env": "TEST_TURN_SECRET"}}]
    async with line_of(ice_servers=servers) as line:
        links = (await line.call()).headers.getall("Link")
    assert links[0] == '<stun:stun.example.com>; rel="ice-server"'
    assert [link.split(";")[0] for link in links[1:]] == [f"<{url}>" for url in turn]
    assert 'rel="ice-server"; username="1800003600:page7"; credential="' in links[1]
    assert links[1].endswith('"; credential-type="password"')


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_offer_is_a_400_with_its_reason(line, kind):
    body, reason = BROKEN[kind]
    response = await line.call(body)
    if reason == "too_long":
        assert response.status == 413
    else:
        assert response.status == 400
    assert (await response.json())["reason"] == reason
    assert line.refused(reason) == 1
    assert not line.door.opened


async def test_a_body_without_end_is_cut_off(line):
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b"a=x\r\n" * 100

    response = await line.http.post("/whip", data=endless(), headers=SDP | line.token())
    assert response.status == 413


async def test_a_pressed_body_is_not_unpacked(line):
    response = await line.call(**{"Content-Encoding": "gzip"})
    assert response.status in (400, 415)  # aiohttp itself refuses what is no gzip
    assert not line.door.opened


async def raw(line: Line, request: str, body: bytes) -> bytes:
    """The answer to a request as it stands; the connection stays open until then."""
    reader, writer = await asyncio.open_connection(line.http.host, line.http.port)
    head = [
        request,
        "Host: localhost",
        "Content-Type: application/sdp",
        *(f"{k}: {v}" for k, v in line.token().items()),
    ]
    writer.write("\r\n".join(head).encode() + b"\r\n" + body)
    answer = await reader.read(65_536)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_body_with_broken_framing_is_a_400(line):
    answer = await raw(line, "POST /whip HTTP/1.1", b"Transfer-Encoding: chunked\r\n\r\n3\r\nv=0\r\nzz\r\n")
    assert answer.split()[1] == b"400"


async def test_a_body_that_never_comes_is_not_waited_for(line, monkeypatch):
    monkeypatch.setattr(whip, "BODY_S", 0.01)
    answer = await raw(line, "POST /whip HTTP/1.1", b"Content-Length: 900\r\n\r\nv=0\r\n")
    assert answer.split()[1] == b"408"
    assert line.refused("too_slow") == 1


async def test_only_sdp_is_taken(line):
    response = await line.call(**{"Content-Type": "application/json"})
    assert response.status == 415
    assert (await response.json())["reason"] == "wrong_type"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({}, "no_token"),
        ({"Authorization": "Basic dXNlcg=="}, "no_token"),
        ({"Authorization": "Bearer abc"}, "malformed_token"),
        ({"Authorization": "Bearer abc.def"}, "wrong_token"),
        ({"Authorization": "Bearer " + "x" * 4_000}, "malformed_token"),
    ],
)
async def test_without_a_good_token_there_is_no_call(line, header, reason):
    response = await line.http.post("/whip", data=wire(CHROMIUM), headers=SDP | header)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert (await response.json())["reason"] == reason
    assert not line.door.opened


async def test_a_token_ends(line):
    response = await line.call(**line.token(expires_unix_s=int(NOW_UNIX_S)))
    assert response.status == 401
    assert (await response.json())["reason"] == "expired_token"


async def test_a_token_of_one_origin_is_no_good_for_another(line):
    response = await line.call(**line.token(origin=SHOP), Origin=OUR_ORIGIN)
    assert response.status == 403
    assert (await response.json())["reason"] == "wrong_origin"


async def test_a_foreign_origin_is_refused_before_its_offer_is_read(line):
    response = await line.call(b"nonsense", Origin="https://evil.example")
    assert response.status == 403
    assert (await response.json())["reason"] == "foreign_origin"
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_an_allowed_origin_may_read_the_answer_and_the_refusal(line):
    for body, status in ((wire(CHROMIUM), 201), (b"nonsense", 400)):
        response = await line.call(body, Origin=SHOP)
        assert response.status == status
        assert response.headers["Access-Control-Allow-Origin"] == SHOP
        assert {"Location", "Link", "ETag"} <= set(response.headers["Access-Control-Expose-Headers"].split(", "))
        assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize("path", ["/whip", "/whip/s1"])
async def test_a_preflight_tells_what_is_allowed(line, path):
    asked = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    response = await line.http.options(path, headers=asked)
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert {"Authorization", "Content-Type", "If-Match"} <= set(
        response.headers["Access-Control-Allow-Headers"].split(", ")
    )
    assert response.headers["Accept-Post"] == "application/sdp"
    methods = set(response.headers["Access-Control-Allow-Methods"].split(", "))
    assert methods == ({"OPTIONS", "POST"} if path == "/whip" else {"OPTIONS", "POST", "PATCH", "DELETE"})


async def test_a_preflight_of_a_foreign_page_is_refused(line):
    response = await line.http.options("/whip", headers={"Origin": "https://evil.example"})
    assert response.status == 403
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_nothing_else_can_be_asked_for(line):
    for method, path in (("GET", "/whip"), ("PUT", "/whip"), ("GET", "/whip/s1"), ("HEAD", "/whip/s1")):
        assert (await line.http.request(method, path)).status == 405
    assert (await line.http.delete("/whip/a.b")).status == 404


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(NoSlotError("no_slot"), 503, "no_slot"), (TooManyOffersError(), 429, "too_many_offers")],
)
async def test_a_full_house_says_when_to_come_back(line, error, status, reason):
    line.door.error = error
    response = await line.call()
    assert response.status == status
    assert int(response.headers["Retry-After"]) > 0
    assert (await response.json())["reason"] == reason
    assert line.refused(reason) == 0  # nothing was wrong with it, and the door has its own count


async def test_a_session_takes_another_offer_without_a_token(line):
    first = await line.call()
    offer = wire(CHROMIUM.replace("Yx3+", "later"))
    response = await line.http.post("/whip/s1", data=offer, headers=SDP)
    assert response.status == 201
    assert await response.read() == b"v=0\r\nagain"
    assert response.headers["Location"] == "/whip/s1"
    assert response.headers["ETag"] != first.headers["ETag"]
    assert line.door.again[0].ice.ufrag == "later"


async def test_another_offer_to_a_call_that_is_over_finds_nothing(line):
    response = await line.http.post("/whip/s1", data=wire(CHROMIUM), headers=SDP)
    assert response.status == 404
    assert (await response.json())["reason"] == "unknown_session"


async def test_candidates_go_to_the_call(line):
    etag = (await line.call()).headers["ETag"]
    response = await line.trickle(**{"If-Match": etag})
    assert response.status == 204
    assert "ETag" not in response.headers
    assert line.door.fragments[0].candidates == ("1 1 udp 9 192.0.2.9 5000 typ host",)


@pytest.mark.parametrize("tag", ["*", '"*"', '"x", {etag}'])
async def test_candidates_may_name_any_ice_session_that_includes_the_present(line, tag):
    etag = (await line.call()).headers["ETag"]
    assert (await line.trickle(**{"If-Match": tag.format(etag=etag)})).status == 204


async def test_candidates_have_to_name_the_ice_session(line):
    await line.call()
    response = await line.trickle()
    assert response.status == 428
    response = await line.trickle(**{"If-Match": '"another"'})
    assert response.status == 412
    assert not line.door.fragments


async def test_candidates_of_the_path_before_are_refused(line):
    etag = (await line.call()).headers["ETag"]
    await line.http.post("/whip/s1", data=wire(CHROMIUM.replace("Yx3+", "later")), headers=SDP)
    assert (await line.trickle(**{"If-Match": etag})).status == 412


async def test_an_ice_restart_is_refused_as_the_rfc_says_and_the_call_goes_on(line):
    etag = (await line.call()).headers["ETag"]
    restart = CANDIDATES.replace("Yx3+", "other")
    response = await line.trickle(restart, **{"If-Match": "*"})
    assert response.status == 422
    assert (await response.json())["reason"] == "ice_restart"
    assert (await line.trickle(**{"If-Match": etag})).status == 204


async def test_a_broken_fragment_is_a_400(line):
    etag = (await line.call()).headers["ETag"]
    response = await line.trickle("nonsense", **{"If-Match": etag})
    assert response.status == 400
    assert (await response.json())["reason"] == "bad_line"
    response = await line.trickle(**{"If-Match": etag, "Content-Type": "application/sdp"})
    assert response.status == 415


async def test_candidates_for_a_call_that_is_over_find_nothing(line):
    etag = (await line.call()).headers["ETag"]
    line.door.live = False
    assert (await line.trickle(**{"If-Match": etag})).status == 404


async def test_delete_hangs_up_once_whatever_tag_it_names(line):
    await line.call()
    assert (await line.http.delete("/whip/s1", headers={"If-Match": '"any"'})).status == 200
    assert not line.door.live
    assert (await line.http.delete("/whip/s1")).status == 404


async def test_a_foreign_page_cannot_touch_a_session(line):
    await line.call()
    evil = {"Origin": "https://evil.example"}
    assert (await line.http.delete("/whip/s1", headers=evil)).status == 403
    assert (await line.http.post("/whip/s1", data=wire(CHROMIUM), headers=SDP | evil)).status == 403
    assert (await line.trickle(**evil)).status == 403
    assert line.door.live


async def test_sessions_that_end_without_a_word_are_forgotten():
    async with line_of(max_sessions=1) as line:
        whip_etag = (await line.call()).headers["ETag"]
        door_open = line.door.open
        names = iter(["s2", "s3"])

        async def elsewhere(offer: BrowserOffer, agent: str, variables: Mapping[str, str]) -> Answered:
            await door_open(offer, agent, variables)
            return Answered(next(names), CallId("web-2"), b"v=0\r\n")

        line.door.open = elsewhere  # type: ignore[method-assign]
        await line.call()
        assert (await line.trickle(**{"If-Match": whip_etag})).status == 204
        await line.call()
        assert (await line.trickle(**{"If-Match": whip_etag})).status == 404
