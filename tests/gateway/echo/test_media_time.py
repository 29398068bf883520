"""The caller's clock is steady, the way here is not."""

import random

from gateway.echo.media_time import MediaTime

RATE_HZ, FRAME = 8_000, 160


def test_what_comes_in_bursts_was_not_said_in_bursts():
    clock, chance = MediaTime(RATE_HZ), random.Random(4)
    placed = []
    for n in range(1, 3_000):
        late = chance.choice((0, 0, 0, 40, 700, 2_000))
        placed.append(clock.take(FRAME, 1_000 + n * FRAME + late) - n * FRAME)
    assert set(placed[10:]) == {placed[10]}
    assert placed[10] in range(1_000, 1_041)


def test_audio_that_was_lost_moves_what_follows_within_some_seconds():
    clock = MediaTime(RATE_HZ)
    for n in range(1, 500):
        clock.take(FRAME, n * FRAME)
    came = [clock.take(FRAME, (n + 25) * FRAME) - n * FRAME for n in range(500, 1_000)]  # half a second is missing
    assert came[0] == 0
    assert came[-1] == 25 * FRAME
    assert came.index(25 * FRAME) <= 5 * 50


def test_a_sooner_arrival_counts_at_once():
    clock = MediaTime(RATE_HZ)
    clock.take(FRAME, 5_000)
    assert clock.take(FRAME, 1_000) == 1_000
