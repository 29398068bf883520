"""What the conformance suite needs of an engine: how to build it against a server of ours that follows a script."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import numpy as np

from model_worker.dialog.brief import Brief
from model_worker.seams import Engine, Pcm
from tests.speech import jfk_ulaw
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.audio.resample import Resampler


def line_noise(index: int, samples: int) -> Pcm:
    """What a line without a speaker sounds like, int16."""
    return np.random.default_rng(index).integers(-8, 8, samples).astype(np.int16)


@cache
def _speech(rate_hz: int) -> Pcm:
    narrow = g711.decode(Codec.PCMU, np.frombuffer(jfk_ulaw(), np.uint8))
    resampler = Resampler(8_000, rate_hz)
    return np.concatenate((resampler.push(narrow), resampler.flush()))


def speaker(index: int, samples: int) -> Pcm:
    """Real speech, over and over."""
    sound = _speech(samples * 1_000 // 400)
    at = index * samples % (len(sound) - samples)
    return sound[at : at + samples]


@dataclass(frozen=True, slots=True)
class Reply:
    """The server's model speaks after it heard ``after_s`` seconds of a session, for ``lasts_s`` of sound."""

    after_s: float
    lasts_s: float
    words: str = "hello from the server"


@dataclass(frozen=True, slots=True)
class Script:
    """What the server does. All is off by default; times are seconds of sound that it heard in the session."""

    replies: Sequence[Reply] = field(default=(Reply(0.8, 2.0),))
    opens_slowly: bool = False
    """It takes the connection and says nothing until ``Peer.release`` is called."""
    full: bool = False
    refuses_key: bool = False
    cuts_at_s: float | None = None
    """Drops the connection without a word, in its first session only."""
    cuts_within_reply: bool = False
    """Drops the connection after half of the sound of the first reply, in its first session only."""
    garbage_at_s: float | None = None
    """Sends what is not of its protocol."""
    expires_at_s: float | None = None
    """Ends each session by its own limit."""
    deaf_to_interrupts: bool = False
    """Goes on with a reply that was interrupted to its end, as a server does whose queue is long."""


class Peer(Protocol):
    """A server of ours. ``faults``: what the client did against the protocol, in words; tests want none."""

    @property
    def url(self) -> str: ...

    @property
    def faults(self) -> Sequence[str]: ...

    @property
    def sessions(self) -> Sequence[Any]:
        """One for each that was opened, oldest first; ``heard_s`` of each: sound of the caller that came."""

    def release(self) -> None:
        """Go on where ``Script.opens_slowly`` holds it."""

    def wait_for(self, condition: Callable[[], bool], limit_s: float = ...) -> bool:
        """Wait until ``condition`` of what this peer saw holds; whether it does."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine under test. ``build`` gives it, and how to shut it down, for a server's URL.

    ``caller``: what the caller says in chunk ``index`` of so many samples, where noise does not do.
    """

    name: str
    peer: Callable[[Script], AbstractContextManager[Peer]]
    build: Callable[[str, dict[str, Brief]], tuple[Engine, Callable[[], None]]]
    brief: Brief
    caller: Callable[[int, int], Pcm] = line_noise
    environment: Mapping[str, str] = field(default_factory=dict)
    """What a worker's settings need besides ``TWOWIRE_ENGINE``, ``TWOWIRE_AGENTS_DIR`` and ``TWOWIRE_SERVER_URL``."""
    speech_is_tones: bool = True
    """The peer's voice arrives as it was sent: tones that name the turn (``tests.peers.sound``)."""
