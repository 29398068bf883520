"""The Moshi session: turns out of a stream without turns, and what it does with a server that lags, lies or ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.duplex.moshi.messages import MAX_FRAME_BYTES
from model_worker.duplex.moshi.session import BEHIND_S, FAR_BEHIND_S, STALLED_S, MoshiSession
from model_worker.duplex.moshi.voice import CHUNK_SAMPLES, RATE_HZ, VoiceIn
from model_worker.duplex.remote.effects import Broken, Effect, Ready, Send, SessionFault, Sound, TurnOver, Words
from model_worker.seams import Pcm
from tests.peers.sound import tone, turn_of
from wire.audio.ogg_opus import OggOpusWriter
from wire.audio.opus import OpusEncoder

CHUNK_S = 0.08
NOISE = np.random.default_rng(1).integers(-8, 8, CHUNK_SAMPLES).astype(np.int16)
VOICE = tone(9, CHUNK_SAMPLES, RATE_HZ)


class Bench:
    """A session and its server, by hand."""

    def __init__(self) -> None:
        self.session = MoshiSession()
        self.encoder = OpusEncoder(48_000, loss_percent=0, rate_hz=RATE_HZ)
        self.writer = OggOpusWriter(RATE_HZ, pre_skip_ticks=0)
        self.stream = self.writer.begin()
        self.sent: list[bytes] = []
        self.session.connected()

    def drain(self) -> list[Effect]:
        told: list[Effect] = []
        while (effect := self.session.poll()) is not None:
            if isinstance(effect, Send):
                assert isinstance(effect.frame, bytes)
                self.sent.append(effect.frame)
            else:
                told.append(effect)
        return told

    def get(self, frame: str | bytes) -> list[Effect]:
        self.session.receive(frame)
        return self.drain()

    def hear(self, pcm: Pcm = NOISE, chunks: int = 1) -> list[Effect]:
        told: list[Effect] = []
        for _ in range(chunks):
            self.session.hear(pcm)
            told += self.drain()
        return told

    def says(self, pcm: Pcm) -> list[Effect]:
        """The server sends sound, in messages of 40 ms."""
        told: list[Effect] = []
        for frame in pcm[: len(pcm) // 960 * 960].reshape(-1, 960):
            page = self.stream + self.writer.page([self.encoder.encode(frame.tobytes())], 1_920)
            self.stream = b""
            told += self.get(b"\x01" + page)
        return told

    def silent(self, seconds: float) -> list[Effect]:
        return self.says(np.zeros(round(seconds * RATE_HZ), np.int16))

    def speaks(self, turn: int, seconds: float) -> list[Effect]:
        return self.says(tone(turn, round(seconds * RATE_HZ), RATE_HZ))


def sound_of(told: list[Effect]) -> Pcm:
    return np.concatenate([np.empty(0, np.int16), *(effect.pcm for effect in told if isinstance(effect, Sound))])


def kinds(told: list[Effect]) -> list[type[Effect]]:
    found: list[type[Effect]] = []
    for effect in told:
        if not found or found[-1] is not type(effect):
            found.append(type(effect))
    return found


@pytest.mark.parametrize("handshake", [b"\x00", b"\x00" + bytes(8)], ids=["python", "rust"])
def test_it_is_ready_upon_either_handshake_and_once(handshake):
    bench = Bench()
    assert bench.drain() == []
    assert bench.get(handshake) == [Ready()]
    assert bench.get(handshake) == []


def test_the_caller_goes_out_as_one_ogg_stream_a_message_each_chunk():
    bench = Bench()
    bench.get(b"\x00")
    for at in range(12):
        bench.hear(tone(3, CHUNK_SAMPLES, RATE_HZ, at * CHUNK_SAMPLES))
    assert [frame[:1] for frame in bench.sent] == [b"\x01"] * 12
    heard = np.concatenate([VoiceIn().read(b"".join(frame[1:] for frame in bench.sent))])
    assert abs(len(heard) - 12 * CHUNK_SAMPLES) < RATE_HZ // 50
    assert turn_of(heard[4_000:], RATE_HZ) == 3


def test_a_turn_is_cut_out_of_the_stream_with_the_words_that_came_beside_it():
    bench = Bench()
    bench.get(b"\x00")
    assert bench.silent(1.0) == []
    told = bench.get(b"\x02Hel") + bench.speaks(4, 0.4) + bench.get(b"\x02lo") + bench.get(b"\x02 there")
    told += bench.speaks(4, 0.4) + bench.silent(2.0)
    assert kinds(told) == [Sound, Words, Sound, Words, Sound, TurnOver]
    assert "".join(effect.text for effect in told if isinstance(effect, Words)) == "Hello there"
    assert len(sound_of(told)) / RATE_HZ == pytest.approx(0.8, abs=0.2)
    assert [effect for effect in told if isinstance(effect, TurnOver)] == [TurnOver()]


def test_after_an_interruption_nothing_comes_until_the_model_was_silent():
    bench = Bench()
    bench.get(b"\x00")
    bench.speaks(1, 1.0)
    bench.session.interrupt(0.5)
    assert bench.speaks(1, 3.0) + bench.get(b"\x02 never heard") + bench.speaks(1, 0.4) == []
    assert bench.silent(0.6) == []
    told = bench.get(b"\x02Yes") + bench.speaks(2, 0.6) + bench.silent(1.0)
    assert kinds(told) == [Sound, Words, Sound, TurnOver]
    assert turn_of(sound_of(told)[4_000:12_000], RATE_HZ) == 2
    assert Words("Yes") in told


def test_a_server_that_is_behind_is_spared_the_pauses_until_it_has_caught_up():
    bench = Bench()
    bench.get(b"\x00")
    bench.hear(NOISE, chunks=100)
    assert len(bench.sent) == pytest.approx(BEHIND_S / CHUNK_S, abs=1.01)
    bench.hear(VOICE, chunks=200)
    assert len(bench.sent) == pytest.approx(FAR_BEHIND_S / CHUNK_S, abs=1.01)
    bench.silent(FAR_BEHIND_S)
    before = len(bench.sent)
    bench.hear(NOISE, chunks=3)
    assert len(bench.sent) == before + 3


def test_a_server_from_which_no_sound_comes_any_more_is_left():
    bench = Bench()
    bench.get(b"\x00")
    told = bench.hear(VOICE, chunks=round(STALLED_S / CHUNK_S) + 2)
    assert told == [Broken(SessionFault.LOST, "no sound comes any more")]
    assert bench.hear() == bench.speaks(1, 1.0) == []


@pytest.mark.parametrize(
    "frame",
    [
        "text",
        b"",
        bytes(MAX_FRAME_BYTES + 1),
        b"\x00\x01\x00\x00\x00\x00\x00\x00\x00",
        b"\x00\x00",
        b"\x01nonsense",
        b"\x01" + OggOpusWriter(RATE_HZ).begin()[:90] + bytes(60),
        b"\x02\xff\xfe",
    ],
    ids=["text", "empty", "huge", "version", "short", "no-ogg", "broken-page", "no-utf8"],
)
def test_what_is_not_of_the_protocol_ends_the_session(frame):
    bench = Bench()
    (broken,) = bench.get(frame)
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.GARBAGE
    assert "nonsense" not in broken.reason
    assert bench.get(b"\x00") == []


def test_a_packet_that_is_no_opus_ends_the_session():
    bench = Bench()
    page = bench.stream + bench.writer.page([b"\xff\xff\xff\xff"], 960)
    (broken,) = bench.get(b"\x01" + page)
    assert isinstance(broken, Broken)
    assert broken.fault is SessionFault.GARBAGE


def test_an_error_of_the_server_ends_the_session_and_is_not_quoted():
    assert Bench().get(b"\x05out of memory at 0x7f") == [
        Broken(SessionFault.SERVER_ERROR, "the server says that it failed")
    ]


def test_kinds_that_mean_nothing_to_us_are_passed_over():
    bench = Bench()
    assert [bench.get(frame) for frame in (b'\x04{"a":1}', b"\x03\x00", b"\x06", b"\x07\x01hi", b"\xfe")] == [[]] * 5
    assert bench.get(b"\x00") == [Ready()]


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_whatever_a_server_sends_the_session_goes_on_or_ends_once(frames):
    bench = Bench()
    told = [effect for frame in frames for effect in bench.get(frame)]
    assert sum(isinstance(effect, Broken) for effect in told) <= 1
    assert not told or not any(isinstance(effect, Broken) for effect in told[:-1])
