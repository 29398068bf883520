"""What is heard of one call goes to the other, neither too late nor in pieces."""

import numpy as np
import pytest

from gateway.rtp.bridge import CUSHION_MS, MAX_QUEUED_MS, TOLERATED_MS, Relay
from gateway.rtp.transcode import conversion
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, encode

FRAME = 160


class Queue:
    """A sender that sends when the test says so."""

    def __init__(self, codec: Codec = Codec.PCMU) -> None:
        self.codec = codec
        self.taken = bytearray()
        self.queued_samples = 0

    def queue_audio(self, payload: bytes) -> None:
        self.taken += payload
        self.queued_samples += len(payload) // self.codec.bytes_per_sample

    def send(self, milliseconds: int) -> None:
        self.queued_samples = max(0, self.queued_samples - milliseconds * self.codec.sample_rate_hz // 1_000)

    @property
    def queued_ms(self) -> int:
        return self.queued_samples * 1_000 // self.codec.sample_rate_hz


def cushion(codec: Codec = Codec.PCMU) -> bytes:
    return codec.silence * (codec.sample_rate_hz * CUSHION_MS // 1_000)


def tone(codec: Codec, seconds: float) -> bytes:
    t = np.arange(round(seconds * codec.sample_rate_hz)) / codec.sample_rate_hz
    return encode(codec, np.rint(np.sin(2 * np.pi * 500 * t) * 8_000).astype(np.int16))


def test_audio_of_the_same_codec_is_not_touched():
    queue = Queue()
    Relay(Codec.PCMU, Codec.PCMU, queue).push(b"\x12" * FRAME)
    assert bytes(queue.taken) == cushion() + b"\x12" * FRAME


def test_the_cushion_is_laid_once_while_packets_keep_coming():
    queue = Queue()
    relay = Relay(Codec.PCMU, Codec.PCMU, queue)
    for _ in range(50):
        relay.push(b"\x12" * FRAME)
        queue.send(20)
    assert bytes(queue.taken) == cushion() + b"\x12" * FRAME * 50
    assert queue.queued_ms == CUSHION_MS


def test_a_queue_that_ran_dry_gets_its_cushion_again():
    queue = Queue()
    relay = Relay(Codec.PCMU, Codec.PCMU, queue)
    relay.push(b"\x12" * FRAME)
    queue.send(500)
    relay.push(b"\x13" * FRAME)
    assert bytes(queue.taken).endswith(cushion() + b"\x13" * FRAME)


def test_packets_that_are_late_by_less_than_the_cushion_leave_no_gap():
    queue = Queue()
    relay = Relay(Codec.PCMU, Codec.PCMU, queue)
    relay.push(b"\x12" * FRAME)
    queue.send(20)
    queue.send(20)  # nothing came in the meantime
    relay.push(b"\x13" * FRAME)
    relay.push(b"\x14" * FRAME)
    assert bytes(queue.taken) == cushion() + b"\x12" * FRAME + b"\x13" * FRAME + b"\x14" * FRAME


def test_a_fast_clock_is_followed_in_the_pauses_of_speech():
    queue = Queue()
    relay = Relay(Codec.PCMU, Codec.PCMU, queue)
    for _ in range(20):
        relay.push(b"\x12" * FRAME)
        queue.send(15)
    assert queue.queued_ms > TOLERATED_MS
    for _ in range(10):
        relay.push(b"\xff" * FRAME)
        queue.send(20)
    assert queue.queued_ms <= TOLERATED_MS
    assert relay.dropped_samples > 0
    assert queue.taken.count(0x12) == 20 * FRAME, "only silence was left out"


@pytest.mark.parametrize("target", [Codec.PCMU, Codec.PCMA, Codec.L16_16K])
def test_speech_is_left_out_before_the_delay_is_heard(target):
    queue = Queue(target)
    relay = Relay(Codec.PCMU, target, queue)
    for at in range(0, 16_000, FRAME):
        relay.push(tone(Codec.PCMU, 2.0)[at : at + FRAME])
    assert MAX_QUEUED_MS <= queue.queued_ms <= MAX_QUEUED_MS + 20
    assert relay.dropped_samples == (2_000 + CUSHION_MS - queue.queued_ms) * target.sample_rate_hz // 1_000


def test_nothing_is_queued_for_nothing():
    queue = Queue()
    Relay(Codec.PCMU, Codec.PCMA, queue).push(b"")
    assert not queue.taken


@pytest.mark.parametrize("source", [Codec.PCMU, Codec.PCMA, Codec.L16_16K])
@pytest.mark.parametrize("target", [Codec.PCMU, Codec.PCMA, Codec.L16_16K])
def test_a_tone_stays_the_same_tone_in_every_codec(source, target):
    transcode = conversion(source, target)
    sound = tone(source, 0.5)
    frame = source.sample_rate_hz // 50 * source.bytes_per_sample
    pieces = [sound[at : at + frame] for at in range(0, len(sound), frame)]
    heard = decode(target, b"".join(pieces if transcode is None else map(transcode, pieces)))
    assert len(heard) == target.sample_rate_hz // 2
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) * target.sample_rate_hz / len(heard) == 500
    assert np.sqrt(np.mean(heard[len(heard) // 4 :].astype(float) ** 2)) == pytest.approx(8_000 / np.sqrt(2), rel=0.03)
