"""Opus in a whole media stream: keys, reports, packet lengths, digits, and a change of codec on the way."""

import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gateway.rtp.rtcp import Report, parse_compound
from gateway.rtp.srtp import Suite
from gateway.rtp.stream import TICK_S, SendRtcp
from gateway.sdp.dtls import DtlsRole
from gateway.sdp.formats import MediaCodec
from gateway.sdp.security import DtlsSetup
from tests.gateway.rtp.opus_speech import correlations, frames
from tests.gateway.rtp.test_stream import PEER, START, datagrams, header, pair, plan, run, stream
from wire.audio.codecs import Codec
from wire.audio.opus import has_repeat, ticks_of

OPUS: dict[str, Any] = {
    "codec": MediaCodec.OPUS,
    "payload_type_out": 111,
    "payload_type_in": 111,
    "dtmf_out": 110,
    "dtmf_in": 110,
    "cn_out": None,
    "cn_in": None,
    "bitrate_bps": 510_000,
    "fec": True,
}


@pytest.mark.parametrize("suite", Suite)
def test_speech_passes_under_the_keys_of_a_handshake_and_nothing_before(suite):
    near, far = pair(Codec.L16_16K, **OPUS, security=DtlsSetup(DtlsRole.CLIENT, ()))
    source = b"".join(frames())
    near.queue_audio(source[:6_400])
    run(near, far, 10)
    assert not far.heard
    assert near.stats()["sent_packets_sent"] == 0
    mine, yours = (bytes([n]) * suite.master_bytes for n in (1, 2))
    near.use_keys(suite, mine, yours)
    far.use_keys(suite, yours, mine)
    near.clear()
    near.queue_audio(source)
    heard = run(near, far, 560, START + 1.0)
    assert len(found := correlations(heard, source)) >= 9
    assert min(found) >= 0.95
    assert far.stats()["heard_lost"] == 0


def test_timestamps_and_reports_are_on_the_clock_of_opus():
    near, far = pair(Codec.L16_16K, **OPUS)
    chance = random.Random(3)
    sent: list[tuple[int, int, int]] = []
    reports: list[Report] = []
    for n in range(1_000):
        now = START + n * TICK_S
        for datagram in datagrams(near, now):
            sent.append(header(datagram))
            far.receive(datagram, PEER, now + chance.uniform(0.0, 0.01))
        datagrams(far, now)
        near.handle_deadline(now)
        far.handle_deadline(now + 0.011)
        for media in (near, far):
            while (effect := media.poll()) is not None:
                assert isinstance(effect, SendRtcp)
                reports += [part for part in parse_compound(effect.datagram) if isinstance(part, Report)]
    assert [kind for kind, _, _ in sent] == [0x80 | 111] + [111] * 999, "the marker is on the first one only"
    assert {(late - early) % 2**32 for (_, _, early), (_, _, late) in pairwise(sent)} == {960}
    about_near = [block for report in reports for block in report.blocks if block.ssrc == 1]
    assert about_near
    assert about_near[-1].jitter == pytest.approx(48_000 * 0.01 / 3, rel=0.5), "10 ms of even jitter differ by a third"
    senders = [report for report in reports if report.ssrc == 1 and report.sender is not None]
    first, last = senders[0].sender, senders[-1].sender
    assert first is not None
    assert last is not None
    wall_s = (last.ntp - first.ntp) / 2**32
    assert (last.rtp_timestamp - first.rtp_timestamp) % 2**32 / 48_000 == pytest.approx(wall_s, abs=0.001)


@pytest.mark.parametrize(("asked_ms", "made_ms"), [(10, 10), (20, 20), (30, 20), (40, 40), (50, 40), (60, 60)])
def test_packets_are_as_long_as_the_peer_asked_as_far_as_opus_has_them(asked_ms, made_ms):
    near, far = pair(Codec.L16_16K, **OPUS, ptime_ms=asked_ms)
    source = b"".join(frames(4.0))
    near.queue_audio(source)
    lengths = []
    heard = bytearray()
    for n in range(240):
        now = START + n * TICK_S
        for datagram in datagrams(near, now):
            lengths.append(ticks_of(datagram[12:]))
            heard += far.receive(datagram, PEER, now)
        heard += far.handle_deadline(now)
    assert set(lengths) == {48 * made_ms}
    assert min(correlations(bytes(heard), source)) >= 0.95


def test_silence_too_is_as_long_as_the_peer_asks_later_on():
    near = stream(Codec.L16_16K, **OPUS)
    for n in range(50):
        assert ticks_of(datagrams(near, START + n * TICK_S)[0][12:]) == 960
    near.update(plan(**OPUS, ptime_ms=40), START + 1.0)
    later = [packet for n in range(50, 100) for packet in datagrams(near, START + n * TICK_S)]
    assert {ticks_of(packet[12:]) for packet in later} == {1_920}


def test_pauses_are_sent_in_time_and_speech_ends_when_it_is_cleared():
    near = stream(Codec.L16_16K, **OPUS)
    near.queue_audio(b"".join(frames(11.0)))
    sizes = [len(datagrams(near, START + n * TICK_S)[0]) - 12 for n in range(100)]
    assert np.mean(sizes) > 50
    left = near.clear()
    assert left == pytest.approx(11 * 16_000 - 100 * 320, abs=80), "but for a ramp of 5 ms"
    quiet = [datagrams(near, START + n * TICK_S) for n in range(100, 200)]
    assert all(len(packets) == 1 for packets in quiet)
    assert np.mean([len(packets[0]) for packets in quiet[11:]]) < 12 + 100


def test_repeats_are_sent_to_whom_they_are_of_use():
    for fec in (True, False):
        near = stream(Codec.L16_16K, **OPUS | {"fec": fec})
        near.queue_audio(b"".join(frames(4.0)))
        packets = [datagrams(near, START + n * TICK_S)[0][12:] for n in range(200)]
        assert any(map(has_repeat, packets)) == fec


def test_a_lower_limit_in_a_later_offer_takes_effect():
    near = stream(Codec.L16_16K, **OPUS)
    source = b"".join(frames(22.0))
    near.queue_audio(source)

    def octets(begin: int) -> int:
        return sum(len(datagrams(near, START + n * TICK_S)[0]) - 12 for n in range(begin, begin + 550))

    before = octets(0)
    near.update(plan(**OPUS | {"bitrate_bps": 12_000}), START + 11.0)
    assert octets(550) < before / 2


def test_digits_are_counted_on_the_clock_of_opus():
    near, far = pair(Codec.L16_16K, **OPUS)
    keys: list[str] = []
    run(near, far, 10, keys=keys)
    far.send_dtmf("12", duration_ms=100)
    run(near, far, 50, START + 0.2, keys=keys)
    assert keys == ["1", "2"]


def test_loss_that_was_made_good_does_not_count_against_the_quality():
    chance = random.Random(7)
    scores = []
    for fec in (True, False):
        near, far = pair(Codec.L16_16K, **OPUS | {"fec": fec})
        near.queue_audio(b"".join(frames(22.0)))
        run(near, far, 1_100, lose=lambda: chance.random() < 0.05)
        stats = far.stats()
        assert stats["heard_lost"] > 20
        assert (stats["heard_recovered"] > 10) == fec
        scores.append(stats["mos"])
        for name in ("heard_received", "heard_jitter_s", "heard_wait_s"):
            assert name in stats
    assert scores[0] > scores[1] + 0.1


@pytest.mark.parametrize("leg", [Codec.PCMU, Codec.L16_16K])
def test_a_call_may_change_to_opus_and_back(leg):
    near, far = pair(leg)
    heard = 0
    for turn, changes in enumerate(({}, OPUS, {})):
        begin = START + 2.0 * turn
        for media in (near, far):
            media.update(plan(**changes), begin)
        heard += len(run(near, far, 100, begin)) // leg.bytes_per_sample
    stats = far.stats()
    assert (stats["heard_received"], stats["heard_lost"]) == (300, 0)
    assert stats["heard_bad"] == 0
    assert heard == pytest.approx(6 * leg.sample_rate_hz, abs=leg.sample_rate_hz // 10)
