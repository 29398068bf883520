"""Who shows no sign of life is noticed, and nobody is blamed for what could not come through."""

from gateway.runner.worker_watch import SILENT_AFTER_S, WorkerWatch
from wire.ids import WorkerId

A, B = WorkerId("a"), WorkerId("b")
LOOK_EVERY_S = 0.1


def watched(*workers: WorkerId, since: float = 10.0) -> WorkerWatch:
    """A watch that has been looking, and workers that were given their first call at ``since``."""
    watch = WorkerWatch()
    watch.silent((), since)
    for worker in workers:
        watch.expect(worker, since)
    return watch


def silent_at(watch: WorkerWatch, serving: tuple[WorkerId, ...], start: float, end: float) -> dict[WorkerId, float]:
    """When each worker was first found silent by looks every 0.1 s."""
    found: dict[WorkerId, float] = {}
    for n in range(1, round((end - start) / LOOK_EVERY_S) + 1):
        now = round(start + n * LOOK_EVERY_S, 3)
        for worker in watch.silent(serving, now):
            found.setdefault(worker, now)
    return found


def test_a_worker_without_a_sign_for_three_beats_is_silent_and_no_other():
    watch = watched(A, B)
    for n in range(1, 11):
        now = 10.0 + n * LOOK_EVERY_S
        watch.sign(B, now)
        silent = watch.silent((A, B), now)
        assert silent == (set() if now - 10.0 <= SILENT_AFTER_S else {A})


def test_a_sign_starts_the_silence_anew():
    watch = watched(A)
    assert silent_at(watch, (A,), 10.0, 10.5) == {}
    watch.sign(A, 10.5)
    assert silent_at(watch, (A,), 10.5, 12.0) == {A: 11.2}


def test_another_call_is_no_sign_of_life():
    watch = watched(A)
    watch.silent((A,), 10.4)
    watch.expect(A, 10.4)
    assert watch.silent((A,), 10.7) == {A}


def test_a_worker_that_serves_nobody_here_is_forgotten_and_begins_afresh():
    watch = watched(A)
    for n in range(1, 100):
        assert watch.silent((), 10.0 + n * LOOK_EVERY_S) == set()
    watch.expect(A, 20.0)
    assert watch.silent((A,), 20.1) == set()


def test_a_worker_that_was_never_announced_is_given_its_time():
    watch = watched()
    assert silent_at(watch, (A,), 10.0, 11.0) == {A: 10.8}


def test_who_looks_too_late_finds_nobody_silent():
    watch = watched(A)
    assert watch.silent((A,), 10.0 + SILENT_AFTER_S + 0.1) == set()  # the signs wait in the socket
    assert watch.silent((A,), 11.2) == set()
    assert watch.silent((A,), 11.7) == {A}


def test_nobody_is_silent_for_the_time_in_which_no_sign_could_come():
    watch = watched(A)
    assert silent_at(watch, (A,), 10.0, 10.5) == {}
    watch.excuse(10.5)
    assert silent_at(watch, (A,), 10.5, 12.0) == {A: 11.2}
