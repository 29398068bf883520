"""The pages are served from memory, under a strict policy, and nothing but them."""

import gzip
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from yarl import URL

from gateway.runner.hub import CallHub
from gateway.web.bearer import BearerToken
from gateway.web.operations import Operations
from gateway.web.pages import Pages, read_static

FILES = {
    "index.html": b"<!doctype html>talk",
    "console.html": b"<!doctype html>console",
    "assets/talk-4f2a.js": b"talk();" * 100,
    "assets/theme-77.css": b":root {}",
    "assets/notes.txt": b"of no known type",
}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Encoding": "identity"}


def client(files: dict[str, bytes], talk: bool = True) -> TestClient[web.Request, web.Application]:
    pages = Pages(files)
    no_hub = cast(CallHub, None)  # none of these routes asks it
    operations = Operations(no_hub, CollectorRegistry(), BearerToken("t"), "http://here", pages if talk else None)
    app = web.Application()
    app.add_routes(operations.routes() + pages.routes())
    return TestClient(TestServer(app), auto_decompress=False)


@pytest.fixture
async def site():
    async with client(FILES) as it:
        yield it


async def test_a_browser_gets_the_talk_page_and_curl_a_few_lines(site):
    async with site.get("/", headers=BROWSER) as response:
        assert await response.read() == FILES["index.html"]
        assert response.content_type == "text/html"
    async with site.get("/", headers={"Accept": "*/*"}) as response:
        assert "is up" in await response.text()
        assert "Accept" in response.headers["Vary"]


@pytest.mark.parametrize(("files", "talk"), [(FILES, False), ({}, True)])
async def test_without_browser_calls_or_a_built_page_everybody_gets_the_lines(files: dict[str, bytes], talk: bool):
    async with client(files, talk) as site, site.get("/", headers=BROWSER) as response:
        assert "is up" in await response.text()


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/calls/CA1", "/console/apis"])
async def test_the_console_page_is_served_for_everything_below_it(site, path: str):
    async with site.get(path, headers=BROWSER) as response:
        assert (response.status, await response.read()) == (200, FILES["console.html"])


async def test_a_gateway_without_a_console_has_no_page_of_it():
    app = web.Application()
    app.add_routes(Pages(FILES).routes(console=False))
    async with TestClient(TestServer(app)) as site:
        assert (await site.get("/console")).status == 404
        assert (await site.get("/assets/talk-4f2a.js")).status == 200


@pytest.mark.parametrize("path", ["/console/api", "/console/api/calls", "/console/api/what"])
async def test_the_page_does_not_stand_in_for_the_api(site, path: str):
    async with site.get(path, headers=BROWSER) as response:
        assert response.status == 404


@pytest.mark.parametrize("path", ["/", "/console", "/assets/talk-4f2a.js"])
async def test_every_file_comes_under_the_policy(site, path: str):
    async with site.get(path, headers=BROWSER) as response:
        policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Permissions-Policy"] == "microphone=(self)"
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy)


async def test_assets_are_kept_for_ever_and_pages_asked_for_again(site):
    async with site.get("/assets/talk-4f2a.js", headers=BROWSER) as response:
        assert "immutable" in response.headers["Cache-Control"]
        assert response.content_type == "text/javascript"
    async with site.get("/console", headers=BROWSER) as response:
        assert response.headers["Cache-Control"] == "no-cache"
        tag = response.headers["ETag"]
    async with site.get("/console", headers={**BROWSER, "If-None-Match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")


async def test_who_takes_gzip_gets_it(site):
    async with site.get("/assets/talk-4f2a.js", headers={"Accept-Encoding": "gzip, br"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await response.read()) == FILES["assets/talk-4f2a.js"]
    async with site.get("/assets/talk-4f2a.js", headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers
        assert await response.read() == FILES["assets/talk-4f2a.js"]


@pytest.mark.parametrize(
    "path",
    [
        "/assets/gone.js",
        "/assets/notes.txt",
        "/assets/",
        "/assets/..%2findex.html",
        "/assets/../index.html",
        "/assets/%2e%2e/%2e%2e/pages.py",
        "/assets/%00",
        "/index.html",
    ],
)
async def test_nothing_else_can_be_had(site, path: str):
    url = URL(f"http://127.0.0.1:{site.port}{path}", encoded=True)
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 404


def test_what_was_built_can_be_read_out_of_the_package():
    files = read_static()
    assert {"index.html", "console.html"} <= set(files) or files == {}
    assert all(name.startswith("assets/") for name in files if "/" in name)
