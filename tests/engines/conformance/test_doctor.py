"""What the doctor says of each engine, with its server well and ill."""

import threading

import pytest

from model_worker.config import WorkerConfig
from tests.engines.conformance.subjects import SUBJECTS
from tests.engines.subject import Reply, Script, Subject
from twowire.engines_command import Trial, examine


class Time:
    """Goes on by what is slept, and lets the server's thread work meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0
        self._never = threading.Event()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._never.wait(0.001)


def tried(subject: Subject, script: Script) -> Trial:
    time = Time()
    with subject.peer(script) as peer:
        engine, shutdown = subject.build(peer.url, {subject.brief.name: subject.brief})
        try:
            return examine(engine, WorkerConfig(engine=subject.brief.engine), subject.brief.name, time, time.sleep)
        finally:
            shutdown()


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_a_server_that_is_well(subject: Subject) -> None:
    trial = tried(subject, Script(replies=(Reply(1.2, 1.0),)))
    assert trial.healthy, trial
    assert trial.spoke_s > 0.5


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
@pytest.mark.parametrize(
    ("script", "fault"), [(Script(full=True), "full"), (Script(refuses_key=True), "refused")], ids=["full", "wrong-key"]
)
def test_a_server_that_is_ill_is_named_with_the_remedy(subject: Subject, script: Script, fault: str) -> None:
    trial = tried(subject, script)
    assert not trial.healthy
    assert trial.fault is not None
    assert trial.fault.startswith(fault)
    assert trial.remedy
