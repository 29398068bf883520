"""Ten minutes through a bad network: the chunk clock is exact, nothing stalls, and no delay stays."""

import pytest

from gateway.rtp.transcode import WireCodec
from load_tests.receiver import JITTER_S, LOSS, conceal, measure

STREAMS = [(WireCodec.PCMU, 600.0), (WireCodec.G722, 120.0), (WireCodec.OPUS, 120.0)]


@pytest.mark.parametrize("burst", [1.0, 3.0], ids=["random", "bursts"])
@pytest.mark.parametrize(("codec", "seconds"), STREAMS)
def test_five_percent_loss_and_jitter_leave_every_chunk_whole_and_in_time(codec, seconds, burst):
    figures = measure(codec, seconds, burst)
    assert figures.lost == pytest.approx(LOSS * figures.packets, rel=0.25), "the path is as bad as it should be"
    assert figures.chunk_length_errors == 0
    assert figures.chunks == pytest.approx(seconds / 0.4, abs=1)
    assert figures.stalls == 0
    assert figures.standing_delay_s <= JITTER_S
    assert figures.concealed_s <= LOSS * seconds * 1.3


@pytest.mark.parametrize("codec", [codec for codec, _ in STREAMS])
def test_concealed_packets_are_nearer_to_the_lost_ones_than_silence_or_the_last_packet_again(codec):
    comparison = conceal(codec, 120.0)
    concealed, repeated, silent = comparison.concealed, comparison.repeated, comparison.silent
    assert comparison.packets >= 100
    assert concealed.distance_db <= 0.9 * repeated.distance_db
    assert concealed.distance_db <= 0.7 * silent.distance_db
    assert concealed.segmental_snr_db >= repeated.segmental_snr_db + 2.0
    assert concealed.segmental_snr_db >= silent.segmental_snr_db
