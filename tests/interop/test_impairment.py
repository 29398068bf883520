"""The model of a bad network, by numbers."""

import itertools

import pytest

from tests.interop.impairment import ImpairedPath, Impairment


def arrivals(path: ImpairedPath, count: int, spacing_s: float = 0.02) -> list[tuple[float, int]]:
    """Send ``count`` numbered datagrams and note when each one comes out."""
    out: list[tuple[float, int]] = []

    def take(now: float) -> None:
        while (datagram := path.poll()) is not None:
            out.append((now, int.from_bytes(datagram, "big")))

    for number in range(count):
        now = number * spacing_s
        while (deadline := path.next_deadline()) is not None and deadline <= now:
            path.handle_deadline(deadline)
            take(deadline)
        path.receive(number.to_bytes(4, "big"), now)
        take(now)
    while (deadline := path.next_deadline()) is not None:
        path.handle_deadline(deadline)
        take(deadline)
    return out


def test_a_perfect_path_changes_nothing():
    assert arrivals(ImpairedPath(Impairment(), 1), 50) == [(n * 0.02, n) for n in range(50)]


def test_the_same_seed_gives_the_same_network_and_another_seed_another():
    bad = Impairment(loss=0.1, jitter_s=0.05, reorder=0.1, duplicate=0.1)
    assert arrivals(ImpairedPath(bad, 5), 200) == arrivals(ImpairedPath(bad, 5), 200)
    assert arrivals(ImpairedPath(bad, 5), 200) != arrivals(ImpairedPath(bad, 6), 200)


@pytest.mark.parametrize("burst", [1.0, 4.0])
def test_the_long_run_share_of_loss_is_what_was_asked_for(burst: float):
    path = ImpairedPath(Impairment(loss=0.1, burst=burst), 3)
    arrived = arrivals(path, 20_000)
    assert path.stats()["lost"] == 20_000 - len(arrived)
    assert 0.08 < path.stats()["lost"] / 20_000 < 0.12


def test_bursts_lose_neighbours():
    lost_in_a_row = []
    for burst in (1.0, 5.0):
        numbers = [number for _, number in arrivals(ImpairedPath(Impairment(loss=0.1, burst=burst), 3), 20_000)]
        gaps = [after - before - 1 for before, after in itertools.pairwise(numbers) if after > before + 1]
        lost_in_a_row.append(sum(gaps) / len(gaps))
    assert lost_in_a_row[0] == pytest.approx(1.1, abs=0.1)
    assert lost_in_a_row[1] == pytest.approx(5.0, abs=0.7)


def test_everything_may_be_lost():
    assert arrivals(ImpairedPath(Impairment(loss=1.0, burst=3.0), 1), 100) == []


def test_delay_is_the_same_for_all():
    delays = [now - number * 0.02 for now, number in arrivals(ImpairedPath(Impairment(delay_s=0.13), 1), 50)]
    assert delays == pytest.approx([0.13] * 50)


def test_jitter_spreads_arrivals_and_keeps_the_order():
    out = arrivals(ImpairedPath(Impairment(jitter_s=0.1), 2), 500)
    assert [number for _, number in out] == list(range(500))
    delays = [now - number * 0.02 for now, number in out]
    assert min(delays) >= 0.0
    assert max(delays) <= 0.1 + 1e-9
    assert max(delays) - min(delays) > 0.08


def test_reordered_datagrams_are_overtaken_and_none_is_lost():
    path = ImpairedPath(Impairment(reorder=0.1, reorder_s=0.05), 2)
    numbers = [number for _, number in arrivals(path, 500)]
    assert sorted(numbers) == list(range(500))
    assert numbers != sorted(numbers)
    assert path.stats()["reordered"] == pytest.approx(50, abs=25)


def test_duplicates_arrive_twice():
    path = ImpairedPath(Impairment(duplicate=0.2), 2)
    numbers = [number for _, number in arrivals(path, 500)]
    assert len(numbers) == 500 + path.stats()["doubled"]
    assert set(numbers) == set(range(500))
    assert 60 < path.stats()["doubled"] < 140


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": 1.5}, "expected loss within 0 and 1, got 1.5"),
        ({"delay_s": -0.1}, "expected delay_s of at least 0"),
        ({"burst": 0.5}, "expected bursts of at least 1"),
    ],
)
def test_impossible_networks_are_refused(wrong: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        Impairment(**wrong)
