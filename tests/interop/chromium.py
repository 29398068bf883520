"""Chromium with a microphone that plays a file, driven by Playwright; what its page sends and plays is taken down.

The page under test offers ``window.twowire.pc``, its peer connection. A script of ours follows the tracks of it, also
when the page connects anew, and keeps both voices on one clock: that of the machine, from the start of the page.
"""

import asyncio
import base64
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from playwright.async_api import Page, async_playwright

from tests.interop.audio import Samples, write_wav
from tests.interop.peers import find_peer

RATE_HZ = 48_000
WINDOW_S = 0.02
LOUD_RMS = 500.0  # of int16, in 20 ms; the voices are at 3,000 and a decoder's noise below 50
UNTIL_S = 20.0
_BRIDGE_S = 0.5  # pauses within a sentence are shorter, those between utterances longer

_ARGUMENTS = (
    "--no-sandbox",  # as root, in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)

# AudioData holds planes of floats at the rate of its track; tracks are cloned, for a reader must not disturb the page.
# What comes less than 60 ms away from where it should follow does follow: the arrival jitters, the audio does not.
# A microphone made of a file hears no loudspeaker; Chromium's canceller would look for the agent in it all the same,
# and on a busy machine finds the caller.
_LISTEN = """
(() => {
  const media = navigator.mediaDevices;
  const ask = media?.getUserMedia.bind(media);
  if (ask) {
    media.getUserMedia = ({ audio, ...rest }) =>
      ask({ ...rest, audio: typeof audio === "object" ? { ...audio, echoCancellation: false } : audio });
  }
  const followed = new WeakSet();
  const voices = (globalThis.voicesOfTest = { microphone: [], agent: [] });
  async function follow(track, pieces) {
    const reader = new MediaStreamTrackProcessor({ track: track.clone() }).readable.getReader();
    let due_ms = -Infinity;
    for (;;) {
      const { value: data, done } = await reader.read();
      if (done) return;
      const samples = new Float32Array(data.numberOfFrames);
      data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      const length_ms = (1000 * data.numberOfFrames) / data.sampleRate;
      const start_ms = performance.now() - length_ms;
      if (Math.abs(start_ms - due_ms) > 60) due_ms = start_ms;
      pieces.push({ at_ms: due_ms, rate: data.sampleRate, samples });
      due_ms += length_ms;
      data.close();
    }
  }
  setInterval(() => {
    const pc = globalThis.twowire?.pc;
    if (!pc || pc.connectionState !== "connected") return;
    const ends = [[pc.getSenders(), voices.microphone], [pc.getReceivers(), voices.agent]];
    for (const [parts, pieces] of ends) {
      for (const { track } of parts) {
        if (track?.kind === "audio" && !followed.has(track)) {
          followed.add(track);
          follow(track, pieces);
        }
      }
    }
  }, 50);
})();
"""

_STATE = """
({
  state: globalThis.twowire?.state,
  connection: globalThis.twowire?.pc?.connectionState,
  text: document.body.innerText,
})
"""

_HAND_OVER = """
(voice) => globalThis.voicesOfTest[voice].map(({ at_ms, rate, samples }) => {
  const octets = new Uint8Array(Int16Array.from(samples, (s) => Math.max(-1, Math.min(1, s)) * 32767).buffer);
  let text = "";
  for (const octet of octets) text += String.fromCharCode(octet);
  return { at_ms, rate, text: btoa(text) };
})
"""


@dataclass(frozen=True, slots=True)
class Span:
    """From the first to the last loud window of an utterance, in seconds since the page began."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Heard:
    """Both voices of a page at 48 kHz, from ``start_s`` on; where nothing came there is silence."""

    start_s: float
    microphone: Samples
    agent: Samples

    def utterances(self, voice: Samples) -> list[Span]:
        """Of one of the two voices."""
        return spans(voice, RATE_HZ, self.start_s)

    def rms(self, voice: Samples, start_s: float, end_s: float) -> float:
        """How loud a voice was between two times."""
        part = voice[self._index(start_s) : self._index(end_s)].astype(np.float64)
        return float(np.sqrt(np.mean(np.square(part)))) if len(part) else 0.0

    def _index(self, at_s: float) -> int:
        return max(0, round((at_s - self.start_s) * RATE_HZ))


def spans(samples: Samples, rate_hz: int, start_s: float = 0.0, bridge_s: float = _BRIDGE_S) -> list[Span]:
    """Where something sounds; pauses shorter than ``bridge_s`` belong to it."""
    size = round(rate_hz * WINDOW_S)
    windows = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    loud = np.flatnonzero(np.sqrt(np.mean(np.square(windows), axis=1)) > LOUD_RMS)
    found: list[Span] = []
    for index in loud:
        begin, end = start_s + int(index) * WINDOW_S, start_s + int(index + 1) * WINDOW_S
        if found and begin - found[-1].end_s < bridge_s:
            found[-1] = Span(found[-1].start_s, end)
        else:
            found.append(Span(begin, end))
    return found


@asynccontextmanager
async def browsing(
    folder: Path,
    microphone: Samples | None,
    *,
    allowed: bool = True,
    width: int = 1_200,
    height: int = 800,
) -> AsyncIterator[Page]:
    """A page in a browser of its own. ``microphone``: what it hears once, at 48 kHz; None: there is none.

    ``allowed``: what the user says when the page asks for it.
    """
    arguments = list(_ARGUMENTS)
    if microphone is not None:
        wav = folder / "microphone.wav"
        write_wav(wav, microphone, RATE_HZ)
        arguments += ["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={wav}%noloop"]
    arguments.append("--use-fake-ui-for-media-stream" if allowed else "--deny-permission-prompts")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_peer("chromium"), args=arguments)
        try:
            context = await browser.new_context(viewport={"width": width, "height": height})
            await context.add_init_script(_LISTEN)
            page = await context.new_page()
            said: list[str] = []
            page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: said.append(f"error: {error}"))
            try:
                yield page
            finally:
                (folder / "chromium-console.log").write_text("\n".join(said))
        finally:
            await browser.close()


async def heard_by(page: Page) -> Heard:
    """All that the page sent and played since it was loaded."""
    microphone = await page.evaluate(_HAND_OVER, "microphone")
    agent = await page.evaluate(_HAND_OVER, "agent")
    return joined(microphone, agent)


def joined(microphone: Sequence[dict[str, Any]], agent: Sequence[dict[str, Any]]) -> Heard:
    """Pieces as the script in the page keeps them, put on one line of time."""
    starts_ms = [piece["at_ms"] for piece in (*microphone, *agent)]
    if not starts_ms:
        return Heard(0.0, np.empty(0, np.int16), np.empty(0, np.int16))
    start_ms = min(starts_ms)
    return Heard(start_ms / 1_000, _laid_out(microphone, start_ms), _laid_out(agent, start_ms))


def _laid_out(pieces: Sequence[dict[str, Any]], start_ms: float) -> Samples:
    voice = np.empty(0, np.int16)
    placed: list[tuple[int, Samples]] = []
    for piece in pieces:
        samples = np.frombuffer(base64.b64decode(piece["text"]), "<i2").astype(np.int16)
        if piece["rate"] != RATE_HZ:  # the microphone's is its device's; straight lines between samples are good enough
            places = np.arange(round(len(samples) * RATE_HZ / piece["rate"])) * piece["rate"] / RATE_HZ
            samples = np.interp(places, np.arange(len(samples)), samples).astype(np.int16)
        placed.append((math.floor((piece["at_ms"] - start_ms) / 1_000 * RATE_HZ + 0.5), samples))
    if placed:
        voice = np.zeros(max(at + len(samples) for at, samples in placed), np.int16)
    for at, samples in placed:
        voice[at : at + len(samples)] = samples
    return voice


async def until(page: Page, expression: str, within_s: float = UNTIL_S) -> Any:
    """Wait until an expression is true in the page; its value. Playwright's own waiting is forbidden by our CSP."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not (value := await page.evaluate(expression)):
        if asyncio.get_running_loop().time() > deadline:
            seen = await page.evaluate(_STATE)
            raise AssertionError(f"expected within {within_s} s: {expression}\n{seen}")
        await asyncio.sleep(0.05)
    return value
