"""A recognizer that is polled by a test as the engine would, and what it told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from model_worker.duplex.cascade.build import make_asr
from model_worker.duplex.cascade.seam import HeardWords, StreamingAsr
from model_worker.duplex.cascade.settings import PartSettings
from model_worker.links.web_sockets import WebSocketLinks
from model_worker.seams import Pcm
from tests.peers.base import KEY, WAIT_S
from tests.peers.transcription import MODEL
from wire.ids import CallId

CALL = CallId("call-1")
CHUNK_SAMPLES = 6_400


def settings(url: str, flavour: str, *, model: str = MODEL, key: str = KEY) -> PartSettings:
    return PartSettings(url=url, flavour=flavour, model=model, key=SecretStr(key))


class Listener:
    """``told``: what was told so far, of all calls. Reads no clock: what does not come in ``WAIT_S`` fails the test."""

    def __init__(self, asr: StreamingAsr) -> None:
        self.asr = asr
        self.told: list[HeardWords] = []
        self._woken = threading.Event()
        asr.on_ready(self._woken.set)

    def says(self, *pieces: Pcm, call: CallId = CALL) -> None:
        """A call's utterance goes on, in chunks as they come from the line."""
        for pcm in pieces:
            for at in range(0, len(pcm), CHUNK_SAMPLES):
                self.asr.feed(call, pcm[at : at + CHUNK_SAMPLES])

    def utters(self, *pieces: Pcm, call: CallId = CALL) -> HeardWords:
        """A whole utterance; its final words."""
        self.asr.start(call)
        self.says(*pieces, call=call)
        self.asr.finish(call)
        return self.final(call)

    def hears(self, condition: Callable[[HeardWords], bool]) -> HeardWords:
        """The first that is like this of what was not looked at yet; the call's before are looked at with it."""
        while True:
            for index, heard in enumerate(self.told):
                if condition(heard):
                    self.told[: index + 1] = [other for other in self.told[:index] if other.call != heard.call]
                    return heard
            self.poll()

    def final(self, call: CallId = CALL) -> HeardWords:
        return self.hears(lambda heard: heard.call == call and heard.final)

    def poll(self) -> None:
        """Wait until something may be there, and take it."""
        if not self.asr.ready:
            assert self._woken.wait(WAIT_S), f"nothing came; told: {self.told}"
        self._woken.clear()
        self.told += self.asr.poll()


@contextmanager
def listening(part: PartSettings, *calls: CallId, language: str = "en") -> Iterator[Listener]:
    """A recognizer as the engine makes it, with calls that are open."""
    asr, end = make_asr(part, WebSocketLinks())
    try:
        for call in calls or (CALL,):
            asr.open(call, language)
        yield Listener(asr)
    finally:
        end()
