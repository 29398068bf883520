"""What a leg says of the line: loss counts what was not played, late or never there."""

import pytest

from gateway.seams import LegQuality
from gateway.transports.stream_leg import StreamLeg
from tests.gateway.rtp.test_stream import PEER, START, rtp, stream


def leg() -> StreamLeg:
    return StreamLeg(stream(), lambda action, arguments: None)


def test_nothing_is_known_before_the_first_packet():
    quality = leg().quality()
    assert (quality.received, quality.lost, quality.loss) == (0, 0, 0.0)
    assert quality.mos is None
    assert quality.round_trip_s is None


def test_loss_is_what_was_not_played_whether_it_came_later_or_never():
    it = leg()
    now = START
    for sequence in range(100):
        now += 0.02
        it.stream.handle_deadline(now)
        if sequence == 60:
            it.stream.receive(rtp(50), PEER, now)  # long given up
        if sequence not in (20, 50):
            it.stream.receive(rtp(sequence), PEER, now)
    quality = it.quality()
    assert (quality.received, quality.lost) == (98, 2)
    assert quality.loss == pytest.approx(0.02)
    assert quality.mos is not None
    assert 4.0 < quality.mos < 4.4
    assert 0.0 < quality.buffer_s <= 0.16


def test_a_perfect_line_is_rated_so():
    it = leg()
    for sequence in range(100):
        it.stream.receive(rtp(sequence), PEER, START + 0.02 * sequence)
    quality = it.quality()
    assert (quality.received, quality.lost, quality.loss) == (100, 0, 0.0)
    assert quality.jitter_s == pytest.approx(0.0, abs=1e-6)
    assert quality.mos == pytest.approx(4.4, abs=0.02)


def test_loss_is_a_part_of_what_was_expected():
    assert LegQuality(received=75, lost=25, jitter_s=0, buffer_s=0, round_trip_s=None, mos=None).loss == 0.25
