import random
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.rtp.g722 import G722Decoder, G722Encoder
from gateway.rtp.receiver import MAX_HELD_S, RtpReceiver
from gateway.rtp.reception import ReceiverConfig
from tests.gateway.rtp.network import PCMU, SSRC, Arrival, Line, Sender, packet
from tests.gateway.rtp.test_dtmf_in import event
from tests.gateway.rtp.test_tones import tone
from tests.interop.impairment import ImpairedPath, Impairment
from tests.speech import is_quiet, jfk_ulaw
from wire.audio.codecs import Codec
from wire.audio.g711 import decode, decode_ulaw, encode_ulaw
from wire.audio.resample import Resampler

SILENCE = b"\xff"


def speech(index: int) -> bytes:
    """The packet of 20 ms that begins at ``index``, from 3 s into a recording, where somebody speaks."""
    at = (24_000 + 160 * index) % 80_000
    return jfk_ulaw()[at : at + 160]


def talking(line: Line, sender: Sender, packets: int) -> None:
    """A clean stretch: a packet every 20 ms, after the deadlines that fall between."""
    for n in range(packets):
        line.run_until(line.now + 0.02)
        line.arrive(sender.next(speech(n)))


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def sender() -> Sender:
    return Sender()


def test_a_packet_in_order_is_handed_on_at_once_and_untouched(line, sender):
    talking(line, sender, 5)
    for n in range(5, 200):
        line.run_until(line.now + 0.02)
        assert line.arrive(sender.next(speech(n))) == speech(n)


def test_the_marker_extension_padding_and_sources_do_not_matter(line, sender):
    talking(line, sender, 5)
    assert line.arrive(sender.next(speech(5), marker=True)) == speech(5)
    plain = sender.next(speech(6))
    odd = bytes([0xB1]) + plain[1:12] + b"\0\0\0\1" + b"\xbe\xde\0\1abcd" + speech(6) + b"\0\0\3"
    assert line.arrive(odd) == speech(6)


def test_packet_lengths_may_change(line, sender):
    talking(line, sender, 5)
    for length in (80, 240, 480, 160):
        line.run_until(line.now + length / 8_000)
        assert line.arrive(sender.next(bytes(length))) == bytes(length)


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA])
def test_a_lost_packet_is_concealed_by_exactly_its_time_after_one_packet_of_waiting(codec, sender):
    line = Line(ReceiverConfig(codec, 8))
    speak = [packet(n, n * 160, speech(n), payload_type=8) for n in range(100)]
    for datagram in speak[:50]:
        line.run_until(line.now + 0.02)
        line.arrive(datagram)
    line.run_until(line.now + 0.04)
    assert line.arrive(speak[51]) == b""
    due = line.receiver.next_deadline()
    assert due == pytest.approx(line.now + 0.02)
    audio = line.run_until(due)
    assert audio[160:] == speech(51)
    assert np.abs(decode(codec, audio[:160]).astype(int)).max() > 500
    assert line.receiver.stats()["concealed_samples"] == 160
    line.run_until(line.now + 0.001)
    assert line.arrive(speak[52]) == speech(52)  # no delay stays behind


def test_two_packets_that_swap_places_lose_nothing(line, sender):
    talking(line, sender, 50)
    first, second = sender.next(speech(50)), sender.next(speech(51))
    line.run_until(line.now + 0.04)
    assert line.arrive(second) == b""
    assert line.arrive(first) == speech(50) + speech(51)
    stats = line.receiver.stats()
    assert (stats["reordered"], stats["lost"], stats["concealed_samples"]) == (1, 0, 0)


def test_a_path_that_reorders_is_waited_for_longer(line, sender):
    """Every fifth packet comes 50 ms after its time; the first is given up too early and teaches."""
    arrivals = [(0.02 * n + (0.05 if n % 5 == 0 else 0.0), sender.next(speech(n))) for n in range(1, 301)]
    line.run(arrivals)
    stats = line.receiver.stats()
    assert stats["late"] <= 2
    assert stats["concealed_samples"] <= 2 * 160
    assert bytes(line.audio).endswith(b"".join(speech(n) for n in range(50, 301)))


def test_two_gaps_are_each_given_up_in_their_time(line, sender):
    talking(line, sender, 50)
    before = len(line.audio)
    sender.skip(1)
    line.run_until(line.now + 0.04)
    line.arrive(sender.next(speech(1)))
    sender.skip(1)
    line.now += 0.015
    line.arrive(sender.next(speech(3)))
    line.run_until(line.now + 0.006)
    assert len(line.audio) - before == 320
    line.run_until(line.now + 0.015)
    assert len(line.audio) - before == 640
    assert bytes(line.audio[-160:]) == speech(3)


def test_a_duplicate_changes_nothing(line, sender):
    talking(line, sender, 50)
    datagram = sender.next(speech(50))
    assert line.arrive(datagram) == speech(50)
    assert line.arrive(datagram) == b""
    assert line.receiver.stats()["duplicate"] == 1


def test_a_packet_after_its_concealment_is_late_and_changes_nothing(line, sender):
    talking(line, sender, 50)
    missing = sender.next(speech(50))
    line.run_until(line.now + 0.04)
    line.arrive(sender.next(speech(51)))
    line.run_until(line.now + 0.03)
    length = len(line.audio)
    assert line.arrive(missing) == b""
    assert len(line.audio) == length
    stats = line.receiver.stats()
    assert (stats["late"], stats["lost"], stats["duplicate"]) == (1, 0, 0)


def test_a_sequence_jump_without_missing_time_waits_for_nothing(line, sender):
    talking(line, sender, 50)
    sender.sequence += 3  # packets that carried no audio
    assert line.arrive(sender.next(speech(50))) == speech(50)


def test_the_local_clock_goes_on_when_nothing_comes(line, sender):
    talking(line, sender, 100)
    stopped, heard = line.now, len(line.audio)
    line.run_until(stopped + 10.0)
    made = bytes(line.audio[heard:])
    assert 10.0 - 0.08 <= len(made) / 8_000 <= 10.0
    assert np.abs(decode_ulaw(made[:160]).astype(int)).max() > 500  # concealment first
    assert is_quiet(made[480:])
    times = [at for at, _ in line.outputs if at > stopped]
    assert times[0] - stopped <= 0.081
    assert max(np.diff(times)) == pytest.approx(0.02)


def test_a_caller_who_never_sends_is_quiet_noise_from_the_start(line):
    line.run_until(4.0)
    assert 3.92 <= len(line.audio) / 8_000 <= 4.0
    assert is_quiet(line.audio)
    assert line.receiver.report() is None
    assert line.receiver.stats()["concealed_samples"] == 0


def test_packets_that_return_find_their_place_in_media_time(line, sender):
    talking(line, sender, 100)
    line.run_until(line.now + 1.0)
    sender.skip(50)
    talking(line, sender, 50)
    line.run_until(line.now + 0.03)
    assert len(line.audio) == pytest.approx(201 * 160, abs=160)
    assert line.receiver.stats()["late"] == 0
    assert bytes(line.audio).endswith(b"".join(speech(n) for n in range(50)))


def test_a_backlog_after_a_halt_of_the_path_is_late_and_what_follows_is_not(line, sender):
    """Half a second of packets is held up and comes all at once."""
    talking(line, sender, 100)
    backlog = [sender.next(speech(n)) for n in range(25)]
    line.run_until(line.now + 0.5)
    for datagram in backlog:
        line.arrive(datagram)
    talking(line, sender, 50)
    assert bytes(line.audio).endswith(b"".join(speech(n) for n in range(50)))
    assert len(line.audio) == pytest.approx(176 * 160, abs=160)
    assert line.receiver.stats()["restarts"] == 0


def test_a_long_backlog_that_comes_fast_is_late_all_of_it(line, sender):
    """Three seconds come within half a second: the packets tell that they will catch up."""
    talking(line, sender, 100)
    backlog = [sender.next(speech(n)) for n in range(150)]
    line.run_until(line.now + 2.6)
    for datagram in backlog[:125]:
        line.run_until(line.now + 0.003)
        line.arrive(datagram)
    assert line.receiver.stats()["restarts"] == 0
    assert line.receiver.stats()["late"] >= 110


def test_single_late_packets_do_not_add_up_to_a_longer_path(line, sender):
    for _ in range(10):
        talking(line, sender, 300)
        slow = sender.next(speech(0))
        line.run_until(line.now + 0.12)
        line.arrive(slow)
        for n in range(1, 6):
            line.arrive(sender.next(speech(n)))
    assert line.receiver.stats()["late"] >= 10
    assert line.receiver.stats()["restarts"] == 0


def test_a_gap_is_waited_for_as_long_as_the_path_is_known_to_reorder(line, sender):
    talking(line, sender, 50)
    for _ in range(2):
        missing = sender.next(speech(50))
        line.run_until(line.now + 0.02)
        for n in range(51, 55):
            line.run_until(line.now + 0.02)
            line.arrive(sender.next(speech(n)))
        line.arrive(missing)
        talking(line, sender, 300)  # in which the spread of the transit is forgotten
    stats = line.receiver.stats()
    assert (stats["late"], stats["reordered"]) == (1, 1)
    assert stats["concealed_samples"] == 160
    wait_s = stats["wait_s"]
    talking(line, sender, 3_000)
    assert line.receiver.stats()["wait_s"] < 0.5 * wait_s


def test_a_path_that_becomes_longer_is_followed_after_a_fifth_of_a_second(line, sender):
    talking(line, sender, 200)
    line.run_until(line.now + 0.4)
    heard_at, before = line.now, line.receiver.media_samples
    talking(line, sender, 100)
    stats = line.receiver.stats()
    assert 5 <= stats["late"] <= 12
    assert stats["restarts"] == 1
    assert bytes(line.audio).endswith(b"".join(speech(n) for n in range(15, 100)))
    assert (line.receiver.media_samples - before) / 8_000 == pytest.approx(line.now - heard_at, abs=0.09)


def test_a_small_lengthening_of_the_path_is_grown_into(line, sender):
    talking(line, sender, 200)
    line.run_until(line.now + 0.1)
    talking(line, sender, 200)
    stats = line.receiver.stats()
    assert stats["late"] <= 3
    assert stats["restarts"] == 0
    assert bytes(line.audio).endswith(b"".join(speech(n) for n in range(10, 200)))


def test_a_sender_whose_timestamps_stand_still_in_a_pause_is_heard_again_at_once(line, sender):
    talking(line, sender, 100)
    line.run_until(line.now + 5.0)
    talking(line, sender, 50)
    assert line.receiver.stats()["late"] <= 2
    assert bytes(line.audio).endswith(b"".join(speech(n) for n in range(2, 50)))
    assert len(line.audio) / 8_000 == pytest.approx(line.now, abs=0.021)


def test_a_pause_of_the_sender_is_filled_with_its_comfort_noise(line, sender):
    talking(line, sender, 100)
    line.run_until(line.now + 0.02)
    line.arrive(packet(sender.sequence, sender.timestamp, b"\x30", payload_type=13))
    sender.sequence += 1
    heard = len(line.audio)
    line.run_until(line.now + 2.0)
    sender.pause(16_160)
    line.arrive(sender.next(speech(0), marker=True))
    noise = decode_ulaw(bytes(line.audio[heard:-160])).astype(float)
    assert len(noise) == pytest.approx(16_160, abs=1)
    assert 20 * np.log10(np.sqrt(np.mean(noise**2)) / 32_767) == pytest.approx(-0x30, abs=1)
    assert bytes(line.audio[-160:]) == speech(0)
    assert line.receiver.stats()["concealed_samples"] == 0
    assert line.arrive(sender.next(speech(1))) == speech(1)


def test_a_pause_that_nothing_announced_keeps_media_time(line, sender):
    talking(line, sender, 100)
    line.run_until(line.now + 1.0)
    sender.pause(8_000)
    talking(line, sender, 50)
    assert len(line.audio) == pytest.approx(201 * 160, abs=160)


def test_a_short_pause_between_two_packets_is_quiet_noise(line, sender):
    talking(line, sender, 100)
    sender.pause(240)
    line.run_until(line.now + 0.05)
    audio = line.arrive(sender.next(speech(0)))
    assert is_quiet(audio[:240])
    assert audio[240:] == speech(0)


def test_a_new_source_is_heard_with_its_second_packet_and_leaves_no_hole(line, sender):
    talking(line, sender, 100)
    heard, started = len(line.audio), line.now
    other = Sender(sequence=7, timestamp=99, ssrc=0xBEEF)
    line.run_until(line.now + 0.02)
    assert line.arrive(other.next(speech(0))) == b""
    line.run_until(line.now + 0.02)
    assert line.arrive(other.next(speech(1))).endswith(speech(0) + speech(1))
    talking(line, other, 50)
    assert (len(line.audio) - heard) / 8_000 == pytest.approx(line.now - started, abs=0.041)
    report = line.receiver.report()
    assert report is not None
    assert (report.ssrc, report.highest_sequence, report.cumulative_lost) == (0xBEEF, 58, 0)
    assert line.receiver.stats()["received"] == 152


def test_a_source_that_begins_its_numbers_anew_is_heard_again(line, sender):
    talking(line, sender, 100)
    again = Sender(sequence=60_000, timestamp=2**31)
    talking(line, again, 50)
    assert bytes(line.audio).endswith(b"".join(speech(n) for n in range(50)))
    assert line.receiver.stats()["restarts"] == 1


def test_what_was_given_up_of_one_source_is_not_missed_of_the_next(line, sender):
    talking(line, sender, 50)
    missing = sender.sequence
    sender.skip(1)
    talking(line, sender, 20)
    other = Sender(sequence=missing, ssrc=0xBEEF)
    datagrams = [other.next(speech(n)) for n in range(3)]
    for datagram in (*datagrams, datagrams[0]):
        line.arrive(datagram)
    stats = line.receiver.stats()
    assert (stats["late"], stats["duplicate"]) == (0, 1)


def test_two_sources_at_once_do_not_take_turns(line, sender):
    other = Sender(sequence=7, timestamp=99, ssrc=0xBEEF)
    talking(line, sender, 10)
    for n in range(100):
        line.run_until(line.now + 0.02)
        assert line.arrive(sender.next(speech(n))) == speech(n)
        assert line.arrive(other.next(bytes(160))) == b""
    assert line.receiver.stats()["bad"] == 100


def test_timestamps_that_jump_ahead_make_no_hole(line, sender):
    talking(line, sender, 100)
    sender.pause(1_000_000)
    talking(line, sender, 50)
    assert len(line.audio) / 8_000 == pytest.approx(line.now, abs=0.03)
    assert bytes(line.audio).endswith(b"".join(speech(n) for n in range(50)))


def test_timestamps_that_jump_back_are_heard_again_with_the_second_packet(line, sender):
    talking(line, sender, 100)
    sender.timestamp -= 100_000
    talking(line, sender, 50)
    assert line.receiver.stats()["late"] <= 2
    assert bytes(line.audio).endswith(b"".join(speech(n) for n in range(2, 50)))
    assert len(line.audio) / 8_000 == pytest.approx(line.now, abs=0.03)


def test_a_sender_faster_than_real_time_is_bounded(line, sender):
    talking(line, sender, 50)
    for n in range(2_000):
        line.run_until(line.now + 0.01)
        line.arrive(sender.next(speech(n)))
    assert len(line.audio) / 8_000 <= line.now + 1.0 + 0.01 * 20
    assert line.receiver.stats()["too_fast"] > 800


def test_a_flood_of_timestamps_at_random_is_bounded(line, sender):
    rng = random.Random(3)
    talking(line, sender, 50)
    for _ in range(5_000):
        line.run_until(line.now + 0.001)
        sender.timestamp = rng.getrandbits(32)
        line.arrive(sender.next(bytes(160)))
    assert len(line.audio) / 8_000 <= line.now + 1.3


def test_no_more_than_half_a_second_is_held_behind_a_gap(line, sender):
    talking(line, sender, 50)
    sender.skip(1)
    held = 0
    while not (audio := line.arrive(sender.next(speech(held)))):
        held += 1
    assert held * 0.02 <= MAX_HELD_S
    assert len(audio) == 160 * (held + 2)


def test_packets_without_audio_are_not_held_without_end_either(line, sender):
    talking(line, sender, 50)
    sender.skip(1)
    line.arrive(sender.next(speech(51)))
    audio = b""
    for n in range(120):
        audio += line.arrive(packet(sender.sequence + n, sender.timestamp, b"", payload_type=13))
    assert audio.endswith(speech(51))


def test_a_loss_before_a_packet_without_audio_is_still_concealed(line, sender):
    talking(line, sender, 50)
    sender.skip(1)
    line.run_until(line.now + 0.03)
    line.arrive(packet(sender.sequence, 0, b"?", payload_type=96))
    sender.sequence += 1
    line.run_until(line.now + 0.01)
    line.arrive(sender.next(speech(51)))
    line.run_until(line.now + 0.02)
    assert bytes(line.audio[-160:]) == speech(51)
    assert line.receiver.stats()["concealed_samples"] == 160


def test_a_clock_that_drifts_is_followed_without_loss(line, sender):
    """500 millionths slow, then as much fast: 1.8 s in an hour."""
    talking(line, sender, 50)
    for period in (0.020_010, 0.019_990):
        for n in range(30_000):
            line.run_until(line.now + period)
            assert line.arrive(sender.next(speech(n))) == speech(n)
    stats = line.receiver.stats()
    assert (stats["late"], stats["concealed_samples"], stats["too_fast"]) == (0, 0, 0)


def test_wideband_audio_is_decoded_and_concealed_on_a_clock_of_its_own():
    pcm = Resampler(8_000, 16_000).push(decode_ulaw(jfk_ulaw()))
    octets = G722Encoder().encode(pcm.tobytes())
    line = Line(ReceiverConfig(Codec.L16_16K, 9, decode=G722Decoder().decode))
    for n in range(500):
        line.run_until(line.now + 0.02)
        if n not in (200, 300, 301):
            line.arrive(packet(n, n * 160, octets[n * 160 : n * 160 + 160], payload_type=9))
    heard = decode(Codec.L16_16K, bytes(line.audio))
    assert line.receiver.media_samples == len(heard) == pytest.approx(500 * 320, abs=640)
    start = len(heard) - 500 * 320
    for second in (1, 2, 3, 5, 8):
        window = slice(second * 16_000, (second + 1) * 16_000)
        ours = heard[start:][window].astype(float)
        assert np.corrcoef(ours, np.roll(pcm, 22)[window].astype(float))[0, 1] > 0.97
    assert line.receiver.stats()["concealed_samples"] == 3 * 320


def test_the_decoder_hears_every_packet_in_order_even_those_that_are_late():
    heard = []

    def decode_none(payload: bytes) -> bytes:
        heard.append(payload)
        return bytes(4 * len(payload))

    line, sender = Line(ReceiverConfig(Codec.L16_16K, 0, decode=decode_none)), Sender()
    talking(line, sender, 50)
    held = [sender.next(speech(n)) for n in range(50, 60)]
    line.run_until(line.now + 0.2)
    for datagram in [held[1], held[0], *held[2:]]:
        line.arrive(datagram)
    assert line.receiver.stats()["late"] >= 5
    assert heard[:50] == [speech(n) for n in range(50)]
    assert heard[-8:] == [speech(n) for n in range(52, 60)]


def keys(line: Line) -> str:
    return "".join(key.digit for key in iter(line.receiver.poll, None))


def dial(line: Line, sender: Sender, code: int, ssrc: int | None = None) -> None:
    """150 ms of a key in place of audio."""
    began = sender.timestamp
    for n in range(9):
        if n < 7:
            line.run_until(line.now + 0.02)
            sender.timestamp += 160
        data = event(code, min(n + 1, 7) * 160, end=n >= 6)
        line.arrive(packet(sender.sequence if ssrc is None else n, began, data, payload_type=101, ssrc=ssrc or SSRC))
        sender.sequence += ssrc is None


def test_a_key_is_pressed_once_and_media_time_goes_on(line, sender):
    talking(line, sender, 100)
    dial(line, sender, 11)
    talking(line, sender, 50)
    assert keys(line) == "#"
    assert len(line.audio) / 8_000 == pytest.approx(line.now, abs=0.03)
    assert line.receiver.stats()["concealed_samples"] == 0
    assert line.receiver.stats()["lost"] == 0
    assert bytes(line.audio).endswith(b"".join(speech(n) for n in range(50)))


def test_keys_may_have_a_source_of_their_own(line, sender):
    talking(line, sender, 100)
    dial(line, sender, 3, ssrc=0xD7)
    talking(line, sender, 50)
    assert keys(line) == "3"
    report = line.receiver.report()
    assert report is not None
    assert report.ssrc == SSRC
    assert line.receiver.stats()["restarts"] == 0


def test_keys_in_the_audio_are_found_when_there_are_no_events():
    line, sender = Line(ReceiverConfig(Codec.PCMU, 0, find_tones=True)), Sender()
    pcm = np.concatenate([tone("4", 100), np.zeros(800, np.int16), tone("2", 100), np.zeros(1_600, np.int16)])
    ulaw = encode_ulaw(pcm)
    for at in range(0, len(ulaw) - 159, 160):
        line.run_until(line.now + 0.02)
        line.arrive(sender.next(ulaw[at : at + 160]))
    assert keys(line) == "42"


def test_packets_of_other_kinds_are_counted_and_take_their_number(line, sender):
    talking(line, sender, 10)
    line.arrive(packet(sender.sequence, sender.timestamp, b"?", payload_type=96))
    sender.sequence += 1
    line.arrive(sender.next(b""))
    assert line.arrive(sender.next(speech(10))) == speech(10)
    assert line.receiver.bad == {"payload_type": 1, "empty": 1}
    assert line.receiver.stats()["lost"] == 0


def test_a_reception_report_is_that_of_the_rfc(line, sender):
    sender.sequence = 65_500
    talking(line, sender, 100)
    assert line.receiver.report().fraction_lost == 0
    sender.skip(10)
    talking(line, sender, 30)
    report = line.receiver.report()
    assert report.ssrc == SSRC
    assert report.highest_sequence == 65_500 + 139
    assert report.cumulative_lost == 10
    assert report.fraction_lost == 10 * 256 // 40
    assert report.jitter > 0  # the jump of the first packet after the loss


def test_another_decoder_may_be_taken_but_not_another_codec(line, sender):
    talking(line, sender, 10)
    line.receiver.reconfigure(ReceiverConfig(Codec.PCMU, 96))
    data = packet(sender.sequence, sender.timestamp, speech(0), payload_type=96)
    assert line.arrive(data) == speech(0)
    with pytest.raises(ValueError, match="expected the same"):
        line.receiver.reconfigure(ReceiverConfig(Codec.PCMA, 8))


@pytest.mark.parametrize(
    "config", [{"codec": Codec.L16_16K}, {"codec": Codec.L16_16K, "decode": bytes, "find_tones": True}]
)
def test_a_configuration_that_cannot_keep_media_time_is_refused(config):
    with pytest.raises(ValueError, match="expected"):
        ReceiverConfig(payload_type=9, **config)


def rough_path(seed: int, seconds: int, loss: float, delay_s: float, spread_s: float) -> tuple[list[Arrival], set[int]]:
    """Packets of speech over a path that loses and reorders, and the indices of those lost."""
    rng = random.Random(seed)
    sender = Sender(sequence=65_000, timestamp=2**32 - 80_000)  # both wrap
    arrivals, lost = [], set()
    for n in range(seconds * 50):
        datagram = sender.next(speech(n))
        if n and rng.random() < loss:
            lost.add(n)
        else:
            arrivals.append((0.02 * (n + 1) + delay_s + (rng.uniform(-spread_s, spread_s) if n else 0.0), datagram))
    return arrivals, lost


@pytest.mark.parametrize("seed", range(3))
def test_five_percent_loss_and_jitter_leave_the_chunk_clock_exact(seed):
    seconds = 60
    arrivals, lost = rough_path(seed, seconds, loss=0.05, delay_s=0.06, spread_s=0.02)
    line = Line()
    line.run(arrivals)
    line.run_until(seconds + 0.1)
    first = bytes(line.audio).index(speech(0))
    heard = bytes(line.audio)[first:]
    # The clock: at every moment what is out is what is due, but for jitter, waiting and the packet under way.
    for at, samples in line.outputs:
        assert -0.045 <= at - samples / 8_000 <= 0.11, f"seed {seed} at {at}"
    # No stall: once the local clock has taken over, it does not stop.
    for (before, _), (after, _) in pairwise(line.outputs):
        assert after - before <= 0.1 + 1e-9, f"seed {seed} at {before}"
    source = b"".join(speech(n) for n in range(seconds * 50))
    pristine = 0
    for second in range(seconds - 1):
        ours, theirs = heard[second * 8_000 :][:8_000], source[second * 8_000 :][:8_000]
        if lost.isdisjoint(range(second * 50, second * 50 + 50)):
            pristine += 1
            assert ours == theirs, f"seed {seed} second {second}"
        else:
            correlation = np.corrcoef(decode_ulaw(ours).astype(float), decode_ulaw(theirs).astype(float))[0, 1]
            assert correlation > 0.5, f"seed {seed} second {second}"
    assert pristine >= 1
    untouched = sum(heard[n * 160 : n * 160 + 160] == speech(n) for n in range(seconds * 50 - 10) if n not in lost)
    assert untouched >= 0.998 * (seconds * 50 - 10 - len(lost))


@dataclass
class Watched(Line):
    """A line that knows, of each piece handed on, whether all of it was made up."""

    made_up: list[bool] = field(default_factory=list)
    made_up_samples: float = 0.0

    def _note(self, audio: bytes) -> bytes:
        if audio:
            stats = self.receiver.stats()
            before, self.made_up_samples = self.made_up_samples, stats["concealed_samples"] + stats["quiet_samples"]
            self.made_up.append(self.made_up_samples - before >= len(audio))
        return super()._note(audio)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_made_up_does_not_stall_what_follows(seed):
    """5 % of loss in bursts of three, 60 ± 20 ms of delay: after a piece of concealment the next is due in its time."""
    arrivals, path = [], ImpairedPath(Impairment(loss=0.05, burst=3.0, delay_s=0.04, jitter_s=0.04), seed)
    sender = Sender()
    for n in range(3_000):
        path.receive(sender.next(speech(n)), 0.02 * n)
        while (due := path.next_deadline()) is not None and due < 0.02 * (n + 1):
            path.handle_deadline(due)
            while (datagram := path.poll()) is not None:
                arrivals.append((due, datagram))
    line = Watched()
    line.run(arrivals)
    stalls = [
        after - before
        for made_up, ((before, _), (after, _)) in zip(line.made_up, pairwise(line.outputs), strict=False)
        if made_up
    ]
    assert len(stalls) > 20
    assert max(stalls) <= 0.040


def test_once_the_local_clock_runs_it_never_stalls():
    """The path dies and comes back, over and over, at random."""
    rng = random.Random(11)
    line, sender = Line(), Sender()
    talking(line, sender, 100)
    for _ in range(60):
        packets = rng.randrange(1, 40)
        died, outputs = line.now, len(line.outputs)
        line.run_until(line.now + packets * 0.02)
        sender.skip(packets)
        made = [at for at, _ in line.outputs[outputs:]]
        assert all(after - before <= 0.04 for before, after in pairwise(made))
        assert len(made) >= packets - 11, f"died at {died} for {packets} packets"
        talking(line, sender, rng.randrange(3, 40))  # no packet waits any more
    line.run_until(line.now + 0.2)
    assert len(line.audio) / 8_000 == pytest.approx(line.now, abs=0.21)


def test_over_an_hour_the_audio_is_as_long_as_the_time_within_one_packet():
    rng = random.Random(5)
    line = Line()
    sender = Sender(sequence=65_000, timestamp=2**32 - 8_000 * 1_800)
    packets = 3_600 * 50
    pause = 0
    for n in range(packets):
        at = 0.02 * (n + 1)
        datagram = sender.next(speech(n % 7))
        if pause:
            pause -= 1  # the sender pauses: no packet, and no number taken
            sender.sequence -= 1
            continue
        if rng.random() < 0.001:
            pause = rng.randrange(1, 200)
        if rng.random() < 0.02 and n < packets - 1:
            continue
        if line.receiver.next_deadline() <= at:
            line.run_until(at)
        line.now = at
        line.arrive(datagram)
    assert len(line.audio) == line.receiver.media_samples
    assert line.receiver.stats()["restarts"] == 0
    assert len(line.audio) == pytest.approx(packets * 160, abs=160)


HEADERS = st.builds(
    packet,
    sequence=st.one_of(st.integers(995, 1_030), st.integers(0, 65_535)),
    timestamp=st.one_of(st.integers(0, 20).map(lambda n: 160_000 + 160 * n), st.integers(0, 2**32 - 1)),
    payload=st.one_of(st.binary(max_size=8), st.integers(0, 400).map(bytes)),
    payload_type=st.sampled_from([0, 0, 0, 13, 101, 96]),
    ssrc=st.sampled_from([SSRC, SSRC, SSRC, 2]),
)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.one_of(HEADERS, HEADERS, st.binary(max_size=40)), st.floats(0, 0.3)), max_size=40))
def test_no_datagram_ever_raises_and_media_time_is_what_was_returned(datagrams):
    line = Line(ReceiverConfig(Codec.PCMU, 0, dtmf_type=101, cn_type=13, find_tones=True))
    for datagram, wait_s in datagrams:
        line.run_until(line.now + wait_s)
        line.arrive(datagram)
        assert len(line.audio) == line.receiver.media_samples
        assert isfinite(line.receiver.next_deadline())
        # Never further ahead of the clock than is allowed, nor behind it than is waited for.
        assert -0.45 <= len(line.audio) / 8_000 - line.now <= 1.0 + 0.05 + 0.01 * line.now
    line.receiver.report()
    assert line.receiver.stats()["received"] >= 0


def test_a_receiver_costs_no_wake_up_before_its_time():
    receiver = RtpReceiver(PCMU, now=100.0)
    assert receiver.next_deadline() > 100.0
    assert receiver.handle_deadline(100.0) == b""
