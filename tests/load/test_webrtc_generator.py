"""Whole runs of the browser generator against an echo on bare aiortc, and its report."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan
from pathlib import Path

import pytest

pytest.importorskip("aiortc", reason="the load test of the browser door needs it")
pytest.importorskip("uvloop", reason="the load tests run where uvloop does")

from aiohttp import web

from gateway.config.webrtc import load_webrtc
from load_tests import asking, generator
from load_tests.bare_aiortc import WHIP_PATH, BareEcho, echoing
from load_tests.command import measure
from load_tests.generator import Observed, Plan
from load_tests.pace import PaceFigures
from load_tests.report import Machine
from load_tests.stack import webrtc_environment
from load_tests.webrtc_door import Line, WebRtcDoor, WebRtcFigures
from load_tests.webrtc_report import BARE, BareRun, WebRtcReport
from load_tests.webrtc_sound import voice


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An echo needs no time to become steady."""
    monkeypatch.setattr(asking, "WARM_UP_S", 0.0)
    monkeypatch.setattr(generator, "ANSWER_LIMIT_S", 0.5)
    monkeypatch.setattr(generator, "SETTLE_S", 0.0)


@contextmanager
def echo_in_thread() -> Iterator[str]:
    """The address of an echo with a loop and a thread of its own."""
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    address: list[str] = []
    ready = threading.Event()

    async def serve() -> None:
        async with echoing(0) as url:
            address.append(url)
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="bare-echo")
    thread.start()
    try:
        assert ready.wait(10)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


def run(codec: str = "opus", calls: int = 1, path: str = WHIP_PATH) -> tuple[Observed, WebRtcFigures]:
    with echo_in_thread() as url:
        plan = Plan("", calls, 2.2, questions_every_chunks=5, answer_ms=20)
        observed = Observed()
        door = WebRtcDoor(plan, Line(url + path, voice(codec), events=False), observed.tally)
        measure(plan, door, observed, [])
    return observed, door.figures()


@pytest.mark.parametrize("codec", ["opus", "pcmu"])
def test_an_echo_is_heard_by_callers_of_either_codec(codec: str) -> None:
    observed, figures = run(codec, calls=2)
    assert (observed.calls_up, observed.calls_lost, observed.refusals) == (2, 0, {})
    assert figures.pace.packets == pytest.approx(2 * 2.2 * 50, rel=0.1)
    assert figures.pace.lost == figures.garbage == figures.unanswered_deletes == 0
    assert figures.shifts == {"0": 2}
    assert figures.rtcp > 0
    # One every two seconds and call, and a second one where the first falls into the first 0.2 s of 2.2 s.
    assert 2 <= len(observed.tally.latencies_s) <= 3
    assert all(0.02 < latency_s < 1.0 for latency_s in observed.tally.latencies_s)


def test_a_refusal_is_named() -> None:
    observed, _ = run(path="/elsewhere")
    assert observed.calls_up == 0
    assert list(observed.refusals) == ["404 Not Found: 404: Not Found"]


def test_a_call_that_is_hung_up_on_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = BareEcho._open

    async def open_for_a_second(self: BareEcho, request: web.Request) -> web.Response:
        response = await opened(self, request)
        (call,) = self._calls.values()
        asyncio.get_running_loop().call_later(1.0, lambda: asyncio.ensure_future(call.close()))
        return response

    monkeypatch.setattr(BareEcho, "_open", open_for_a_second)
    observed, _ = run()
    assert (observed.calls_up, observed.calls_lost) == (1, 1)


def figures_of(missing: int = 0) -> WebRtcFigures:
    pace = PaceFigures(
        packets=1_000 - missing,
        missing=missing,
        lost=0,
        skipped=missing,
        reordered=0,
        duplicated=0,
        restarts=0,
        late=0,
        p50_s=0.001,
        p99_s=0.004,
        max_s=0.01,
    )
    return WebRtcFigures(pace, {"0": 4}, 1_000, 0, 10, 0, 20, 0)


def report(*, bare: bool = True, missing: int = 0) -> WebRtcReport:
    plan = Plan("http://127.0.0.1:1", 4, 10.0, 7, 1_200)
    observed = Observed(window_s=10.0, calls_up=4, cpu_s={"gateway": 0.4, "generator": 1.0})
    observed.tally.lateness_s.append(0.0)
    observed.tally.latencies_s.append(0.02)
    beside = Observed(window_s=10.0, calls_up=2, cpu_s={BARE: 1.6, "generator": 1.0})
    beside.tally.latencies_s.append(0.08)
    return WebRtcReport(
        plan,
        observed,
        Machine(idle_share=0.9, load_1min=0.1, cores=2),
        Line("http://127.0.0.1:1/whip", voice("opus")),
        figures_of(),
        BareRun(plan, beside, figures_of(missing)) if bare else None,
    )


def test_the_gateway_is_held_against_bare_aiortc() -> None:
    body = report().as_json()
    assert body["cpu_ms_per_call_second"]["gateway"] == pytest.approx(10.0)
    assert body["bare_aiortc"]["cpu_ms_per_call_second"] == pytest.approx(80.0)
    assert body["bare_ratio"] == pytest.approx(0.125)
    assert body["bare_aiortc"]["keeps_pace"] is True
    json.dumps(body, allow_nan=False)
    assert "the gateway takes 0.125 of that" in report().as_table()


def test_bare_aiortc_that_leaves_packets_out_is_told() -> None:
    assert report(missing=10).as_json()["bare_aiortc"]["keeps_pace"] is True
    assert report(missing=11).as_json()["bare_aiortc"]["keeps_pace"] is False
    assert "BUT IT LEFT PACKETS OUT" in report(missing=11).as_table()


def test_without_bare_aiortc_there_is_no_ratio() -> None:
    alone = report(bare=False)
    assert isnan(alone.bare_ratio)
    assert alone.as_json()["bare_ratio"] is None
    assert "not measured" in alone.as_table()


def test_the_gateway_takes_the_settings_of_the_load_test(tmp_path: Path) -> None:
    config = load_webrtc(Path(webrtc_environment(tmp_path, 20)["TWOWIRE_WEBRTC_FILE"]))
    assert config.max_sessions == config.max_half_open == 20
    assert not config.open_page
