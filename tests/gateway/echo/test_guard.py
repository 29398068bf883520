"""The agent's own voice does not count as the caller; the caller does."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.echo.aec3 import Aec3
from gateway.echo.guard import EchoGuard
from gateway.echo.played import KEPT_S, PlayedAudio
from gateway.echo.search import find_echo
from gateway.turn.overlap import AGGRESSIVENESS, SpeechFrames
from load_tests.duplex.echo import EchoPath
from load_tests.duplex.recordings import Recording, samples
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, encode

RATE_HZ, FRAME, FRAME_S = 8_000, 160, 0.02
AHEAD_FRAMES = 10  # what the gateway gives the leg ahead of the ear


@cache
def voice(recording: Recording) -> bytes:
    return encode(Codec.PCMU, samples(recording).astype(np.int16))


class Line:
    """A call in frames of 20 ms: the agent speaks, his echo and the caller come back."""

    def __init__(self, loss_db: float | None, delay_s: float, agent: bytes, caller: bytes = b"") -> None:
        self.guard = EchoGuard(Codec.PCMU, Aec3)
        self.found_at_s: float | None = None
        self.triggers: list[float] = []
        """When the rule of the gateway (2 of 3 frames are speech) would have lowered the voice."""
        self._path = None if loss_db is None else EchoPath(loss_db, delay_s, seed=7)
        self._agent, self._caller = agent, caller
        self._noise = np.random.default_rng(11)

    def run(self, seconds: float) -> "Line":
        detector, window = SpeechFrames(Codec.PCMU, AGGRESSIVENESS), [False] * 3
        for n in range(round(seconds / FRAME_S)):
            if n % AHEAD_FRAMES == 0:
                self.guard.play(self._agent[n * FRAME : (n + AHEAD_FRAMES) * FRAME], n * FRAME_S)
            at_s = (n + 1) * FRAME_S
            cleaned = self.guard.clean(self._near(n), at_s)
            assert len(cleaned) == FRAME
            window = [*window[1:], detector.is_speech(bytes(cleaned))]
            if sum(window) >= 2:
                self.triggers.append(at_s)
                if self.guard.look(at_s):
                    self.found_at_s = at_s
        return self

    def _near(self, n: int) -> bytes:
        heard = self._agent[n * FRAME : (n + 1) * FRAME]
        said = decode(Codec.PCMU, self._caller[n * FRAME : (n + 1) * FRAME].ljust(FRAME, b"\xff")).astype(np.float64)
        echo = 0.0 if self._path is None else self._path.push(heard)
        mixed = said + echo + self._noise.normal(0, 10, FRAME)
        return encode(Codec.PCMU, np.clip(np.rint(mixed), -32_768, 32_767).astype(np.int16))


@pytest.mark.parametrize("delay_s", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("loss_db", [6.0, 12.0, 20.0, 30.0])
def test_an_echo_is_found_at_once_and_heard_no_more(loss_db: float, delay_s: float):
    line = Line(loss_db, delay_s, voice(Recording.CONVERSATION)).run(20)
    first = line.triggers[0]
    assert line.found_at_s is not None
    assert line.found_at_s < first + 0.5
    assert line.guard.return_loss_db == pytest.approx(loss_db, abs=4)
    heard_again = [at for at in line.triggers if at > line.found_at_s]
    assert len(heard_again) <= 5  # while the canceller still learns
    assert all(at < line.found_at_s + 1.5 for at in heard_again)


def test_of_somebody_else_no_echo_is_found_and_not_a_byte_is_touched():
    line = Line(None, 0, voice(Recording.CONVERSATION), caller=voice(Recording.JFK)).run(10)
    assert line.found_at_s is None
    assert line.guard.return_loss_db is None
    frame = bytes(range(FRAME))
    assert line.guard.clean(frame, 10.02) is frame


def test_who_talks_over_the_agent_is_heard_through_the_echo():
    silence = b"\xff" * (5 * RATE_HZ)
    said = voice(Recording.JFK)[round(8.16 * RATE_HZ) : round(10.16 * RATE_HZ)]
    onsets = []
    for begin_s in (5.1, 5.3, 5.5, 5.7, 6.3, 6.5):
        caller = silence + b"\xff" * round((begin_s - 5) * RATE_HZ) + said
        line = Line(12, 0.2, voice(Recording.CONVERSATION)[round(15 * RATE_HZ) :], caller).run(begin_s + 2)
        assert line.found_at_s is not None
        onsets.append(next((at - begin_s for at in line.triggers if at > max(begin_s, line.found_at_s + 0.1)), 9.0))
    assert sorted(onsets)[-2] <= 0.2, onsets
    assert max(onsets) <= 0.5, onsets


def test_what_was_taken_back_is_no_source_of_an_echo():
    guard = EchoGuard(Codec.PCMU, Aec3)
    agent = voice(Recording.CONVERSATION)
    guard.play(agent[:RATE_HZ], 0.0)
    guard.clear(0.0)
    guard.clean(agent[: RATE_HZ // 2], 0.5)
    assert not guard.look(0.5)


@given(sizes=st.lists(st.integers(1, 700), min_size=1, max_size=60))
def test_whatever_comes_in_whatever_pieces_as_many_bytes_go_out(sizes: list[int]):
    agent = voice(Recording.CONVERSATION)
    guard = EchoGuard(Codec.PCMU, Silencer)
    guard.play(agent[: 2 * RATE_HZ], 0.0)
    guard.clean(agent[: RATE_HZ // 2], 0.5)
    assert guard.look(0.5)
    at = RATE_HZ // 2
    for size in sizes:
        at += size
        assert len(guard.clean(agent[at - size : at], at / RATE_HZ)) == size


class Silencer:
    """A canceller that leaves nothing."""

    def __init__(self, rate_hz: int) -> None:
        assert rate_hz == RATE_HZ

    def process(self, near: np.ndarray, far: np.ndarray) -> np.ndarray:
        assert near.shape == far.shape == (RATE_HZ // 100,)
        return np.zeros_like(near)


def test_after_the_agent_what_the_caller_says_is_whole():
    agent = voice(Recording.CONVERSATION)
    guard = EchoGuard(Codec.PCMU, Silencer)
    guard.play(agent[:RATE_HZ], 0.0)
    guard.clean(agent[: RATE_HZ // 2], 0.5)
    assert guard.look(0.5)
    assert decode(Codec.PCMU, guard.clean(agent[4_000:4_100], 0.5125)).any() == 0
    later = bytes(guard.clean(b"\x11" * 160, 9.0)) + bytes(guard.clean(b"\x22" * 160, 9.02))
    assert later.count(b"\x11") == 160
    assert later.endswith(b"\x22" * 100)


class TestPlayedAudio:
    def test_what_is_written_is_read_and_the_rest_is_silence(self):
        played = PlayedAudio(Codec.PCMU)
        played.write(100, b"\x01" * 50)
        played.write(200, b"\x02" * 50)
        assert played.read(90, 180) == b"\xff" * 10 + b"\x01" * 50 + b"\xff" * 50 + b"\x02" * 50 + b"\xff" * 20
        assert played.read(-5, 10) == b"\xff" * 10

    def test_what_is_cleared_is_silence_and_may_be_written_anew(self):
        played = PlayedAudio(Codec.PCMU)
        played.write(0, b"\x01" * 100)
        played.clear(40)
        played.write(60, b"\x02" * 10)
        assert played.read(0, 80) == b"\x01" * 40 + b"\xff" * 20 + b"\x02" * 10 + b"\xff" * 10

    @given(
        pieces=st.lists(
            st.tuples(st.integers(0, 20_000), st.integers(1, 12_000), st.booleans()), min_size=1, max_size=12
        )
    )
    def test_it_is_a_window_on_an_endless_tape(self, pieces: list[tuple[int, int, bool]]):
        played, tape, end = PlayedAudio(Codec.PCMU), bytearray(b"\xff" * 500_000), 0
        kept = round(KEPT_S * RATE_HZ)
        for number, (forward, count, clear) in enumerate(pieces):
            start = max(0, end + forward - 10_000)
            if clear and end:
                start = max(0, end - count)
                played.clear(start)
                tape[start:] = b"\xff" * (len(tape) - start)
                end = start
            elif start >= end - kept:
                audio = bytes([number]) * count
                played.write(start, audio)
                tape[start : start + count] = audio
                end = max(end, start + count)
        begin = max(0, end - kept // 2)
        assert played.read(begin, end - begin + 100) == bytes(tape[begin : end + 100])


def test_silence_holds_no_echo():
    nothing = np.zeros(800, np.int16)
    assert find_echo(nothing, np.ones(1_600, np.int16), RATE_HZ) is None
    assert find_echo(np.ones(800, np.int16), np.zeros(1_600, np.int16), RATE_HZ) is None
