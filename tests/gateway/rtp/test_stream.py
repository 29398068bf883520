"""One call's media, end to end: two streams that talk to each other in virtual time."""

import random
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.media_plan import StreamIdentity
from gateway.rtp.rtcp import Goodbye, Report, parse_compound
from gateway.rtp.srtp import Suite
from gateway.rtp.stream import TICK_S, MediaStream, SendRtcp
from gateway.sdp.description import Direction
from gateway.sdp.dtls import DtlsRole
from gateway.sdp.formats import MediaCodec
from gateway.sdp.plan import MediaPlan, Reach
from gateway.sdp.security import DtlsSetup, SdesKeys
from tests.speech import is_quiet
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, encode

PEER = ("192.0.2.7", 4_000)
PEER_RTCP = ("192.0.2.7", 4_001)
SPEECH = bytes(range(1, 161))
REPORT = struct.pack("!BBHI", 0x80, 201, 1, 2)
START = 100.0


def plan(**changes: Any) -> MediaPlan:
    base = MediaPlan(
        codec=MediaCodec.PCMU,
        payload_type_out=0,
        payload_type_in=0,
        dtmf_out=101,
        dtmf_in=101,
        cn_out=13,
        cn_in=13,
        ptime_ms=20,
        remote=PEER,
        remote_rtcp=PEER_RTCP,
        rtcp_mux=True,
        direction=Direction.SENDRECV,
    )
    return replace(base, **changes)


def stream(leg: Codec = Codec.PCMU, ssrc: int = 1, **changes: Any) -> MediaStream:
    identity = StreamIdentity(ssrc, first_seq=30_000, first_timestamp=2**32 - 1_000, cname=f"{ssrc}@test")
    return MediaStream(plan(**changes), leg, identity, START, 1.7e9, lambda: 0.5)


def pair(leg: Codec = Codec.PCMU, **changes: Any) -> tuple[MediaStream, MediaStream]:
    return stream(leg, 1, **changes), stream(leg, 2, **changes)


def datagrams(media: MediaStream, now: float) -> list[bytes]:
    """All that one tick sends, as the shell sends it."""
    sent = []
    datagram = media.tick(now)
    while datagram is not None:
        sent.append(bytes(datagram))
        datagram = media.next_datagram()
    return sent


def header(datagram: bytes) -> tuple[int, int, int]:
    """Payload type with the marker, sequence number, timestamp."""
    bits, sequence, timestamp = struct.unpack_from("!HHI", datagram)
    return bits & 0xFF, sequence, timestamp


def rtp(sequence: int, payload: bytes = SPEECH, payload_type: int = 0, ssrc: int = 2) -> bytes:
    return struct.pack("!BBHII", 0x80, payload_type, sequence, sequence * 160, ssrc) + payload


def run(
    near: MediaStream,
    far: MediaStream,
    ticks: int,
    begin: float = START,
    lose: Callable[[], bool] = lambda: False,
    keys: list[str] | None = None,
) -> bytes:
    """Let both tick ``ticks`` times, 3 ms apart; what ``far`` heard. Reports cross, ``keys`` takes those pressed."""
    heard = bytearray()
    for n in range(ticks):
        now = begin + n * TICK_S
        for sender, receiver, at in ((near, far, now), (far, near, now + 0.003)):
            audio = bytearray()
            for datagram in datagrams(sender, at):
                if not lose():
                    audio += receiver.receive(datagram, PEER, at + 0.001)
            audio += receiver.handle_deadline(at + 0.001)
            if receiver is far:
                heard += audio
            while (effect := sender.poll()) is not None:
                if isinstance(effect, SendRtcp):
                    receiver.receive(effect.datagram, PEER, at + 0.001)
                elif keys is not None:
                    keys.append(effect.digit)
    return bytes(heard)


def test_what_is_queued_here_is_heard_there():
    near, far = pair()
    near.queue_audio(SPEECH * 10)
    heard = run(near, far, 20)
    assert heard.index(SPEECH * 10) == 8  # the millisecond on the way
    assert is_quiet(heard[8 + len(SPEECH * 10) :])


@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 60])
def test_every_ptime_fits_the_tick_of_20_ms(ptime_ms):
    near = stream(ptime_ms=ptime_ms)
    near.queue_audio(SPEECH * 30)
    per_tick = [datagrams(near, START + n * TICK_S) for n in range(30)]
    sent = [datagram for tick in per_tick for datagram in tick]
    assert len(sent) == 600 // ptime_ms
    assert len(per_tick[0]) == max(1, 20 // ptime_ms)
    assert max(len(tick) for tick in per_tick) == max(1, 20 // ptime_ms)
    assert b"".join(datagram[12:] for datagram in sent) == SPEECH * 30
    assert [header(d)[1] for d in sent] == list(range(30_000, 30_000 + len(sent)))
    assert [header(d)[2] for d in sent] == [(2**32 - 1_000 + n * 8 * ptime_ms) % 2**32 for n in range(len(sent))]


def test_missed_ticks_are_a_gap_in_time_and_not_in_the_sequence():
    near = stream()
    first = header(datagrams(near, START)[0])
    late = header(datagrams(near, START + 0.115)[0])  # due at 0.02: 0.04, 0.06, 0.08 and 0.1 were missed
    next_one = header(datagrams(near, START + 0.120)[0])
    assert late[1] == first[1] + 1
    assert (late[2] - first[2]) % 2**32 == 5 * 160
    assert late[0] == 0x80
    assert (next_one[1], (next_one[2] - first[2]) % 2**32) == (first[1] + 2, 6 * 160)


@given(st.lists(st.floats(0, 0.019), min_size=20, max_size=60))
def test_late_ticks_leave_no_gap(lateness):
    near = stream()
    sent = [header(datagrams(near, START + n * TICK_S + late)[0]) for n, late in enumerate([0.0, *lateness])]
    assert [timestamp for _, _, timestamp in sent] == [(2**32 - 1_000 + n * 160) % 2**32 for n in range(len(sent))]


def test_media_time_keeps_up_with_the_clock_whatever_ticks_are_missed():
    chance = random.Random(7)
    near = stream()
    first = header(datagrams(near, START)[0])[2]
    n = 0
    for _ in range(5_000):
        n += chance.choice([1, 1, 1, 1, 1, 1, 2, 5])
        last = header(datagrams(near, START + n * TICK_S + chance.random() * 0.015)[0])[2]
    assert abs((last - first) % 2**32 - n * 160) <= 160


@pytest.mark.parametrize("suite", [None, *Suite])
def test_an_hour_of_media_and_reports_both_ways(suite):
    ticks = 180_000 if suite is None else 12_000
    security = None
    if suite is not None:
        keys = bytes(suite.master_bytes), bytes(range(suite.master_bytes))
        security = SdesKeys(suite, *keys)
    near = stream(ssrc=1, security=security)
    far = stream(
        ssrc=2, security=None if security is None else SdesKeys(suite, security.remote_key, security.local_key)
    )
    samples = 0
    for minute in range(0, ticks, 3_000):
        near.queue_audio(SPEECH * 40)
        samples += len(run(near, far, 3_000, START + minute * TICK_S))
    assert ticks * 160 <= samples <= ticks * 160 + 800
    for media in (near, far):
        stats = media.stats()
        assert stats["sent_packets_sent"] == ticks
        assert stats["heard_received"] == ticks
        assert stats["heard_lost"] == stats["heard_late"] == stats["heard_bad"] == 0
        assert stats["rtcp_received"] == pytest.approx(ticks * TICK_S / 4.1, rel=0.05)
        assert stats["rtcp_bad"] == 0
        assert stats["rtcp_round_trip_s"] == pytest.approx(0.002, abs=0.022)  # reports leave with the tick
        assert stats["mos"] > 4.3
        assert not any(name.startswith(("bad_", "srtp_")) for name in stats)


def test_loss_is_reported_back_and_costs_quality():
    near, far = pair()
    chance = random.Random(3)
    run(near, far, 3_000, lose=lambda: chance.random() < 0.05)
    stats = near.stats()
    assert 0.01 < stats["rtcp_remote_fraction_lost"] < 0.12
    assert 3.0 < stats["remote_mos"] < 4.3
    assert stats["mos"] < 4.3


def test_a_report_has_the_media_time_of_its_moment():
    near = stream()
    sent_at = {}
    report = None
    for n in range(200):
        now = START + n * TICK_S
        sent_at[n] = header(datagrams(near, now)[0])[2]
        near.handle_deadline(now + 0.010)
        if isinstance(effect := near.poll(), SendRtcp):
            report = parse_compound(effect.datagram)[0]
            break
    assert isinstance(report, Report)
    assert report.sender is not None
    assert (report.sender.rtp_timestamp - sent_at[n]) % 2**32 == 80  # 10 ms after the packet of that tick
    assert report.sender.packets == n + 1


def test_clear_takes_back_what_was_not_sent():
    near = stream()
    near.queue_audio(SPEECH * 50)
    datagrams(near, START)
    assert near.clear() == 49 * 160 - 40
    datagrams(near, START + TICK_S)
    assert near.queued_samples == 0
    assert is_quiet(datagrams(near, START + 2 * TICK_S)[0][12:])


def test_keys_pressed_here_come_out_there_once():
    near, far = pair()
    run(near, far, 5)
    near.send_dtmf("4#")
    keys: list[str] = []
    run(near, far, 40, START + 5 * TICK_S, keys=keys)
    assert keys == ["4", "#"]
    assert near.can_send_dtmf


def test_nothing_is_sent_on_hold_and_media_time_runs_on():
    near = stream()
    before = header(datagrams(near, START)[0])
    near.hold()
    assert datagrams(near, START + TICK_S) == []
    near.resume(START + 2 * TICK_S)
    after = header(datagrams(near, START + 2 * TICK_S)[0])
    assert (after[0], after[1], (after[2] - before[2]) % 2**32) == (0x80, before[1] + 1, 320)


@pytest.mark.parametrize(("direction", "sends"), [(d, d.sends) for d in Direction])
def test_the_direction_agreed_decides_whether_we_send(direction, sends):
    near = stream(direction=direction)
    assert bool(datagrams(near, START)) == sends
    near.hold()
    near.resume(START)
    assert bool(datagrams(near, START + TICK_S)) == sends


def test_a_reinvite_goes_on_with_ssrc_sequence_and_media_time():
    near = stream()
    before = datagrams(near, START)[0]
    near.update(plan(remote=("192.0.2.9", 6_000), codec=MediaCodec.PCMA, payload_type_out=8, payload_type_in=8), START)
    near.queue_audio(b"\xff" * 160)  # the call stays with its own codec
    after = datagrams(near, START + TICK_S)[0]
    assert header(after) == (8, header(before)[1] + 1, (header(before)[2] + 160) % 2**32)
    assert after[8:12] == before[8:12]
    assert set(after[12:]) == {0xD5}
    assert near.receive(rtp(1, b"\xd5" * 160, 8), ("192.0.2.9", 6_000), START + 0.03).endswith(b"\xfe" * 160)
    assert near.remote == ("192.0.2.9", 6_000)


def test_a_reinvite_to_another_ptime_keeps_the_sequence():
    near = stream()
    sent = datagrams(near, START)
    near.update(plan(ptime_ms=60), START)
    for n in range(1, 7):
        sent += datagrams(near, START + n * TICK_S)
    assert [len(d) - 12 for d in sent] == [160, 480, 480]
    assert [header(d)[1] for d in sent] == [30_000, 30_001, 30_002]


def test_srtp_goes_on_over_a_reinvite_with_the_same_keys_and_begins_anew_with_others():
    keys = SdesKeys(Suite.AES_CM_128_HMAC_SHA1_80, bytes(30), bytes(range(30)))
    mirrored = SdesKeys(keys.suite, keys.remote_key, keys.local_key)
    near, far = stream(security=keys), stream(ssrc=2, security=mirrored)
    run(near, far, 10)
    near.update(plan(security=keys), START + 0.2)
    replay = datagrams(near, START + 0.2)[0]
    assert far.receive(replay, PEER, START + 0.201)
    far.update(plan(security=mirrored), START + 0.21)
    assert not far.receive(replay, PEER, START + 0.211)
    assert far.stats()["srtp_replayed"] == 1
    fresh = SdesKeys(keys.suite, bytes(range(1, 31)), bytes(range(2, 32)))
    near.update(plan(security=fresh), START + 0.22)
    far.update(plan(security=SdesKeys(keys.suite, fresh.remote_key, fresh.local_key)), START + 0.22)
    assert run(near, far, 10, START + 0.24)
    assert "srtp_auth" not in far.stats()


def test_a_key_that_comes_back_does_not_begin_anew():
    keys = SdesKeys(Suite.AES_CM_128_HMAC_SHA1_80, bytes(30), bytes(range(30)))
    near, far = stream(security=keys), stream(ssrc=2, security=SdesKeys(keys.suite, keys.remote_key, keys.local_key))
    run(near, far, 40_000)  # over the wrap of the sequence: from here on the roll-over counter is 1
    before = far.stats()["heard_received"]
    near.update(plan(), START + 800)
    datagrams(near, START + 800)
    near.update(plan(security=keys), START + 800.02)
    run(near, far, 5, START + 800.02)
    assert far.stats()["heard_received"] == before + 5
    assert near.stats()["sent_packets_sent"] == 40_006


def test_new_terms_of_a_handshake_close_the_stream_until_it_is_done():
    near = stream(security=DtlsSetup(DtlsRole.CLIENT, ()))
    near.use_keys(Suite.AEAD_AES_128_GCM, bytes(28), bytes(range(28)))
    assert datagrams(near, START)
    near.update(plan(security=DtlsSetup(DtlsRole.CLIENT, ())), START)
    assert datagrams(near, START + TICK_S)
    near.update(plan(security=DtlsSetup(DtlsRole.SERVER, ())), START)
    assert datagrams(near, START + 2 * TICK_S) == []
    near.use_keys(Suite.AEAD_AES_128_GCM, bytes(range(1, 29)), bytes(range(2, 30)))
    assert datagrams(near, START + 3 * TICK_S)


def test_nothing_unauthenticated_passes_an_encrypted_stream():
    keys = SdesKeys(Suite.AES_CM_128_HMAC_SHA1_80, bytes(30), bytes(range(30)))
    near = stream(security=keys)
    for n in range(20):
        assert near.receive(rtp(n), PEER, START + n * TICK_S) == b""
    near.receive(REPORT + bytes(20), PEER, START + 0.5)
    assert not near.heard
    stats = near.stats()
    assert sum(figure for name, figure in stats.items() if name.startswith("srtp_")) == 21
    assert stats["latch_refused"] == stats["rtcp_received"] == 0


def test_no_media_flows_before_the_keys_of_a_handshake_and_all_after():
    near, far = pair(security=DtlsSetup(DtlsRole.CLIENT, ()))
    assert run(near, far, 10) == b"" or far.stats()["heard_received"] == 0
    assert near.stats()["sent_packets_sent"] == 0
    assert near.receive(rtp(1), PEER, START) == b""
    near.receive(REPORT, PEER, START)
    assert near.bad == {"before_keys": 2}
    suite = Suite.AEAD_AES_128_GCM
    near.use_keys(suite, bytes(28), bytes(range(28)))
    far.use_keys(suite, bytes(range(28)), bytes(28))
    near.queue_audio(SPEECH * 5)
    assert SPEECH * 5 in run(near, far, 10, START + 0.2)


def test_a_stranger_is_refused():
    near = stream()
    assert near.receive(rtp(1), PEER, START).endswith(SPEECH)
    assert near.receive(rtp(2, ssrc=3), ("198.51.100.1", 9), START + 2) == b""
    assert near.stats()["latch_refused"] == 1
    assert near.remote == PEER


def test_a_peer_behind_a_nat_is_answered_where_its_media_comes_from():
    behind = ("203.0.113.5", 61_000)
    near = stream()
    assert near.remote == PEER
    for n in range(8):
        near.receive(rtp(n), behind, START + n * TICK_S)
    assert near.remote == behind
    assert near.remote_rtcp == behind


@pytest.mark.parametrize("reach", [Reach.HELD, Reach.NO_PORT, Reach.UNSAFE])
def test_nothing_is_sent_to_a_place_that_one_must_not_send_to(reach):
    near = stream(reach=reach, remote_rtcp=(PEER[0], 0), rtcp_mux=False)
    assert datagrams(near, START) == []
    assert near.remote is None
    assert near.remote_rtcp is None


def test_reports_of_a_stranger_are_refused_and_the_peers_own_port_is_learnt():
    near = stream(rtcp_mux=False)
    near.receive_rtcp(REPORT, ("198.51.100.1", 9), START)
    assert near.bad == {"rtcp_stranger": 1}
    assert near.remote_rtcp == PEER_RTCP
    near.receive_rtcp(REPORT, (PEER[0], 5_555), START)
    assert near.remote_rtcp == (PEER[0], 5_555)
    near.receive(REPORT, PEER, START)
    assert near.bad["rtcp_on_rtp"] == 1


@pytest.mark.parametrize("datagram", [b"", b"\x80", b"\x80\x00" + bytes(9), b"\x16\xfe\xfd" + bytes(30)])
def test_what_is_no_rtp_is_counted(datagram):
    near = stream()
    assert near.receive(datagram, PEER, START) == b""
    stats = near.stats()
    assert stats.get("bad_not_rtp", 0) + stats["latch_refused"] == 1


@given(st.lists(st.tuples(st.binary(max_size=60), st.booleans(), st.floats(0, 0.1)), max_size=30), st.booleans())
def test_no_datagram_raises(inputs, encrypted):
    security = SdesKeys(Suite.AES_CM_128_HMAC_SHA1_80, bytes(30), bytes(range(30))) if encrypted else None
    near, now = stream(security=security), START
    for tail, is_rtp, wait_s in inputs:
        now += wait_s
        near.receive((b"\x80\x00" if is_rtp else b"") + tail, PEER, now)
        near.receive_rtcp(tail, PEER, now)
        near.handle_deadline(now)
        near.poll()
    assert near.stats()["sent_packets_sent"] == 0


def test_what_does_not_come_is_made_up_on_time():
    near = stream()
    heard = b""
    for n in range(5):
        heard += near.receive(rtp(n), PEER, START + n * TICK_S)
    for n in range(5, 55):
        heard += near.handle_deadline(START + n * TICK_S)
    assert 1.0 <= len(heard) / 8_000 <= 1.1


def test_a_gap_is_given_up_although_packets_keep_coming():
    near = stream()
    heard = b""
    for n in range(20):
        now = START + n * TICK_S
        if n != 10:
            heard += near.receive(rtp(n), PEER, now)
        heard += near.handle_deadline(now)
    assert len(heard) == 20 * 160
    assert near.stats()["heard_concealed_samples"] == 160


def test_silence_of_the_peer_is_timed_from_the_last_packet():
    near = stream()
    assert near.silent_s(START + 3) == 3
    near.receive(rtp(1), PEER, START + 5)
    assert near.silent_s(START + 9) == 4


def test_nothing_is_expected_on_hold_and_the_count_begins_with_the_resume():
    near = stream()
    near.receive(rtp(1), PEER, START)
    near.hold()
    assert near.silent_s(START + 60) is None
    near.resume(START + 60)
    assert near.silent_s(START + 61) == 1
    near.update(plan(direction=Direction.SENDONLY), START + 62)
    assert near.silent_s(START + 90) is None
    near.update(plan(), START + 100)
    assert near.silent_s(START + 101) == 1


def test_nothing_is_expected_of_a_peer_that_holds_us():
    near = stream()
    near.receive(rtp(1), PEER, START)
    near.update(plan(direction=Direction.RECVONLY), START + 1)
    assert near.silent_s(START + 600) is None
    near.update(plan(), START + 600)
    assert near.silent_s(START + 602) == 2


def test_reports_are_a_sign_of_life_as_media_is():
    near = stream()
    near.receive(REPORT, PEER, START + 4)
    assert near.silent_s(START + 5) == 1
    near.receive(rtp(1), PEER, START + 10)
    assert near.silent_s(START + 12) == 2
    near.receive(REPORT, PEER, START + 15)
    assert near.silent_s(START + 18) == 3
    near.receive(REPORT, ("203.0.113.66", 9), START + 20)
    near.receive(b"\x80\xc9", PEER, START + 20)
    assert near.silent_s(START + 21) == 6, "neither a stranger's nor half of one"


def test_a_peer_that_pauses_shows_by_rtcp_that_it_is_there():
    near = stream()
    near.receive(rtp(1), PEER, START)
    near.receive(rtp(2, b"\x40", payload_type=13), PEER, START + TICK_S)
    assert near.silent_s(START + 60) is None
    near.receive(REPORT, PEER, START + 70)
    assert near.silent_s(START + 71) == 1
    near.receive(rtp(3), PEER, START + 80)
    assert near.silent_s(START + 83) == 3


def test_the_end_says_goodbye():
    near, far = pair()
    run(near, far, 10)
    near.end(START + 0.2, "hung up")
    effect = near.poll()
    assert isinstance(effect, SendRtcp)
    assert parse_compound(effect.datagram)[-1] == Goodbye((1,), "hung up")


@pytest.mark.parametrize(
    ("codec", "leg"),
    [(c, leg) for c in MediaCodec for leg in (Codec.L16_16K, Codec.L16_24K, Codec.PCMU, Codec.PCMA)],
)
def test_every_codec_on_the_wire_serves_every_codec_of_a_leg(codec, leg):
    near, far = pair(leg, codec=codec, payload_type_out=codec.payload_type, payload_type_in=codec.payload_type)
    rate_hz = leg.sample_rate_hz
    wave = (8_000 * np.sin(2 * np.pi * 1_000 * np.arange(rate_hz) / rate_hz)).astype(np.int16)
    near.queue_audio(encode(leg, wave))
    heard = decode(leg, run(near, far, 50)).astype(float)
    assert abs(len(heard) - rate_hz) <= rate_hz * 0.1
    settled = heard[rate_hz // 10 : rate_hz // 10 + rate_hz // 2]
    spectrum = np.abs(np.fft.rfft(settled)) ** 2
    peak = int(np.argmax(spectrum))
    assert peak * rate_hz / len(settled) == pytest.approx(1_000, abs=2)
    assert spectrum[peak - 3 : peak + 4].sum() / spectrum.sum() > 0.99
    assert settled.std() == pytest.approx(8_000 / 2**0.5, rel=0.1)
    assert far.stats()["heard_concealed_samples"] == 0
