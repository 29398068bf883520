"""The SIP caller's ear: what it takes for an answer."""

import math
import socket
from collections.abc import Iterator

import pytest

from load_tests.schedule import FRAMES_PER_CHUNK, Questions
from load_tests.sip_caller import RTP_HEADER, SipCaller, open_media_socket, sounds
from load_tests.tally import LOUD, Tally, line_noise
from wire.audio.codecs import Codec

pytestmark = pytest.mark.skipif(not hasattr(socket.socket, "recvmsg_into"), reason="the load tests run on Linux")

SILENCE = b"\xff" * 160
ANSWER_MS = 60


class Line:
    """A caller whose packets go to a socket of ours, on a clock of ours."""

    def __init__(self, answer_ms: int = ANSWER_MS) -> None:
        self.far = open_media_socket("127.0.0.1")
        self.tally = Tally()
        self.caller = SipCaller(0, Questions(1), answer_ms, self.tally, open_media_socket("127.0.0.1"))
        self.caller.connect(self.far.getsockname())
        self.sequence = 0
        self.loud_frames: list[int] = []

    def send(self, frames: int) -> None:
        """Frames that are due at 20 ms each, beginning with 0."""
        for _ in range(frames):
            number = self.caller.frames_sent
            self.caller.send_frame(number * 0.02)
            if self.far.recv(2_048)[RTP_HEADER.size :] == LOUD:
                self.loud_frames.append(number)

    def hear(self, payload: bytes, at: float) -> None:
        self.sequence += 1
        self.caller.take(RTP_HEADER.pack(0x80, 0, self.sequence, self.sequence * 160, 9) + payload, at)


@pytest.fixture
def line() -> Iterator[Line]:
    one = Line()
    yield one
    one.caller.close()
    one.far.close()


def test_a_packet_of_tone_sounds_and_silence_and_noise_do_not() -> None:
    assert sounds(LOUD)
    assert not sounds(SILENCE)
    assert not sounds(line_noise())
    assert not sounds(b"")
    assert Codec.PCMU.silence == SILENCE[:1]


def test_the_end_of_an_answer_within_a_packet_still_sounds() -> None:
    assert sounds(LOUD[:80] + SILENCE[:80])
    assert not sounds(LOUD[:8] + SILENCE[:152])


def test_the_latency_runs_from_the_due_time_to_the_arrival(line: Line) -> None:
    line.caller.ask()
    line.send(FRAMES_PER_CHUNK)
    assert line.loud_frames == [19]
    for n in range(3):
        line.hear(LOUD, 0.38 + 0.011 + n * 0.02)
    line.hear(SILENCE, 0.47)
    assert line.tally.latencies_s == [pytest.approx(0.011)]
    assert (line.tally.wrong_answers, line.tally.gaps) == (0, 0)


def test_an_answer_that_never_comes_is_infinitely_late(line: Line) -> None:
    line.caller.ask()
    line.send(FRAMES_PER_CHUNK)
    line.hear(SILENCE, 0.4)
    line.caller.close()
    assert line.tally.latencies_s == [math.inf]


def test_silence_in_mid_answer_is_one_gap(line: Line) -> None:
    line.caller.ask()
    line.send(FRAMES_PER_CHUNK)
    for n, payload in enumerate((LOUD, SILENCE, SILENCE, LOUD, LOUD, SILENCE)):
        line.hear(payload, 0.4 + n * 0.02)
    line.caller.close()
    assert (line.tally.gaps, line.tally.wrong_answers) == (1, 0)


def test_an_answer_that_is_cut_short_is_wrong(line: Line) -> None:
    line.caller.ask()
    line.send(FRAMES_PER_CHUNK)
    line.hear(LOUD, 0.4)
    line.hear(LOUD, 0.42)
    line.caller.close()
    assert line.tally.wrong_answers == 1


def test_an_answer_that_is_too_long_is_wrong_once(line: Line) -> None:
    line.caller.ask()
    line.send(FRAMES_PER_CHUNK)
    for n in range(6):
        line.hear(LOUD, 0.4 + n * 0.02)
    line.caller.close()
    assert line.tally.wrong_answers == 1


def test_what_came_before_the_question_does_not_answer_it(line: Line) -> None:
    line.caller.ask()
    line.send(FRAMES_PER_CHUNK)
    line.hear(LOUD, 0.37)
    assert line.tally.latencies_s == []
    assert line.tally.wrong_answers == 1


def test_the_search_finds_a_gateway_whose_chunks_end_elsewhere(line: Line) -> None:
    line.caller.search()
    for frame in range(10 * FRAMES_PER_CHUNK):
        line.send(1)
        if frame % FRAMES_PER_CHUNK == 16 and frame in line.loud_frames:  # its chunks end three frames before ours
            line.hear(LOUD, frame * 0.02 + 0.005)
    assert line.caller.shift_frames == 3
    assert not line.caller.searching
    assert line.tally.latencies_s == []
    line.loud_frames.clear()
    line.caller.ask()
    line.send(2 * FRAMES_PER_CHUNK)
    assert {frame % FRAMES_PER_CHUNK for frame in line.loud_frames} == {16}


def test_the_search_takes_the_usual_place_when_it_is_answered_there(line: Line) -> None:
    line.caller.search()
    line.send(FRAMES_PER_CHUNK)
    line.hear(LOUD, 0.9)  # a slow answer
    assert line.caller.shift_frames == 0
    assert line.loud_frames == [19]


def test_the_search_ends_when_nobody_answers(line: Line) -> None:
    line.caller.search()
    line.send(60 * FRAMES_PER_CHUNK)
    assert line.caller.shift_frames is None
    assert not line.caller.searching
    assert {frame % FRAMES_PER_CHUNK for frame in line.loud_frames} == set(range(FRAMES_PER_CHUNK))
    assert line.tally.latencies_s == []


def test_rtcp_and_garbage_are_told_from_media(line: Line) -> None:
    line.caller.ask()
    line.caller.take(b"\x80\xc8\x00\x06" + bytes(24), 0.1)
    for junk in (b"", b"\x80", bytes(40), b"\x80\x65" + bytes(14)):
        line.caller.take(junk, 0.1)
    assert (line.caller.rtcp, line.caller.garbage) == (1, 4)
    assert len(line.caller.pace.transits_s) == 0


def test_what_is_sent_is_a_stream_of_pcmu(line: Line) -> None:
    heads = []
    for _ in range(3):
        line.caller.send_frame(0.0)
        heads.append(RTP_HEADER.unpack_from(line.far.recv(2_048)))
    first, second, third = heads
    assert [head[:2] for head in heads] == [(0x80, 0x80), (0x80, 0x00), (0x80, 0x00)]
    assert (second[2] - first[2], third[2] - second[2]) == (1, 1)
    assert (second[3] - first[3], third[3] - second[3]) == (160, 160)
    assert first[4] == second[4] == third[4]


def test_the_kernel_stamps_arrivals_on_the_callers_clock(line: Line) -> None:
    from time import monotonic

    line.caller.ask()
    line.caller.send_frame(monotonic())
    _, source = line.far.recvfrom(2_048)
    before = monotonic()
    line.far.sendto(RTP_HEADER.pack(0x80, 0, 1, 0, 9) + SILENCE, source)
    after = monotonic()
    line.caller.receive()
    assert len(line.caller.pace.transits_s) == 1
    assert before - 0.001 <= line.caller.pace.transits_s[0] <= after + 0.001
