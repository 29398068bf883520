"""The bench of the browser tests: Chromium against an echo on bare aiortc, and how what it heard is put together."""

import asyncio
import base64
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from load_tests.bare_aiortc import BareEcho
from tests.interop.audio import Samples, compare, describe
from tests.interop.chromium import RATE_HZ, browsing, heard_by, joined, spans, until
from tests.interop.network_cut import udp_ports
from tests.interop.peers import LOOPBACK
from tests.interop.voices import microphone
from wire.audio.resample import Resampler

PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><audio autoplay></audio>
<button>Talk</button><script>
document.querySelector("button").onclick = async () => {
  const pc = new RTCPeerConnection();
  window.twowire = { pc };
  const off = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: off });
  pc.addTrack(stream.getAudioTracks()[0], stream);
  pc.ontrack = ({ track }) => { document.querySelector("audio").srcObject = new MediaStream([track]); };
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== "complete") await new Promise((go) => setTimeout(go, 20));
  const headers = { "Content-Type": "application/sdp" };
  const answer = await fetch("/whip", { method: "POST", body: pc.localDescription.sdp, headers });
  await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
};
</script>"""


def tone(seconds: float, rate_hz: int = RATE_HZ) -> Samples:
    return (8_000 * np.sin(2 * np.pi * 400 * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.int16)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE_HZ), np.int16)


def piece(at_ms: float, samples: Samples, rate_hz: int = RATE_HZ) -> dict[str, Any]:
    return {"at_ms": at_ms, "rate": rate_hz, "text": base64.b64encode(samples.tobytes()).decode()}


def test_utterances_are_found_and_their_pauses_bridged():
    sound = np.concatenate((silence(1.0), tone(0.5), silence(0.3), tone(0.2), silence(0.8), tone(1.0)))
    first, second = spans(sound, RATE_HZ, start_s=10.0)
    assert [first.start_s, first.end_s] == pytest.approx([11.0, 12.0])
    assert [second.start_s, second.end_s] == pytest.approx([12.8, 13.8])
    assert spans(silence(2.0), RATE_HZ) == []


def test_both_voices_are_put_on_one_line_of_time():
    heard = joined([piece(1_500.0, tone(0.5))], [piece(1_000.0, tone(0.2)), piece(2_000.0, tone(0.4))])
    assert heard.start_s == 1.0
    (said,) = heard.utterances(heard.microphone)
    assert [said.start_s, said.end_s] == pytest.approx([1.5, 2.0])
    assert [span.start_s for span in heard.utterances(heard.agent)] == pytest.approx([1.0, 2.0])
    assert heard.rms(heard.agent, 1.3, 1.9) == 0.0
    assert heard.rms(heard.agent, 2.1, 2.3) == pytest.approx(8_000 / 2**0.5, rel=0.02)


def test_a_microphone_of_another_rate_keeps_its_time():
    heard = joined([piece(0.0, tone(2.0, 44_100), 44_100)], [])
    assert len(heard.microphone) == 2 * RATE_HZ
    assert len(heard.agent) == 0


def test_nothing_heard_is_nothing():
    assert joined([], []).utterances(np.empty(0, np.int16)) == []


def test_the_udp_ports_of_a_process_are_found_while_it_has_them():
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind((LOOPBACK, 0))
        port = datagrams.getsockname()[1]
        assert port in udp_ports(os.getpid())
    assert port not in udp_ports(os.getpid())


@pytest.mark.interop
@pytest.mark.slow
async def test_what_the_microphone_hears_comes_back_and_is_taken_down(tmp_path: Path):
    async def index(_request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    server, app = BareEcho(), web.Application()
    app.add_routes([web.get("/", index), *server.routes()])
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    try:
        sound = microphone(1.0, "Good morning. What are your opening hours on the first Sunday of the month?", 30.0)
        async with browsing(tmp_path, sound) as page:
            await page.goto(f"http://{LOOPBACK}:{runner.addresses[0][1]}")
            await page.get_by_role("button", name="Talk").click()
            await until(page, "globalThis.twowire?.pc.connectionState === 'connected'")
            await asyncio.sleep(8)
            heard = await heard_by(page)
            await page.evaluate("globalThis.twowire.pc.close()")
    finally:
        await server.stop()
        await runner.cleanup()
    said, came = heard.utterances(heard.microphone), heard.utterances(heard.agent)
    assert len(said) == len(came) >= 1
    delays_s = [echo.start_s - voice.start_s for voice, echo in zip(said, came, strict=True)]
    assert all(0.02 < delay_s < 0.5 for delay_s in delays_s), f"{said}, {came}"
    back, out = (Resampler(RATE_HZ, 16_000).push(voice) for voice in (heard.agent, heard.microphone))
    table = compare(back, out, 16_000)
    assert sum(second.correlation > 0.8 for second in table) >= 3, describe(table)
