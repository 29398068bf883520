"""Whole runs of the SIP generator against a phone that echoes, and is late when it is told to be."""

import socket
import threading
from pathlib import Path

import pytest

pytest.importorskip("uvloop", reason="the load tests run where uvloop does")

import uvloop

from gateway.config.sip import load_sip
from load_tests import asking, generator, sip_flood
from load_tests.asking import chunk_ends
from load_tests.command import measure
from load_tests.generator import Observed, Plan
from load_tests.loopback import NotLoopbackError
from load_tests.report import Machine
from load_tests.rtp_spray import KINDS, foreign_packet, foreign_packets, spray
from load_tests.sip_door import SipDoor
from load_tests.sip_flood import Flooded, FloodPlan, flood
from load_tests.sip_report import SipReport
from load_tests.stack import SIP_PASSWORD, SIP_USER, rtp_ports, sip_environment
from load_tests.udp_floor import Floor, measure_floor
from tests.load.stub_uas import HOST, Manners, StubInThread

CHALLENGE = 'Digest realm="stub", nonce="abc", qop="auth", algorithm=SHA-256'


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phone needs no time to become steady."""
    monkeypatch.setattr(asking, "WARM_UP_S", 0.0)
    monkeypatch.setattr(generator, "ANSWER_LIMIT_S", 0.3)
    monkeypatch.setattr(generator, "SETTLE_S", 0.0)
    monkeypatch.setattr(sip_flood, "LINGER_S", 0.2)


def run(manners: Manners, calls: int = 10, seconds: float = 2.2, user: tuple[str, str] | None = None) -> SipReport:
    plan = Plan("", calls, seconds, questions_every_chunks=5, answer_ms=20)
    observed = Observed()
    with StubInThread(manners) as stub:
        door = SipDoor(plan, (HOST, stub.port), observed.tally, user)
        measure(plan, door, observed, [])
    return SipReport(plan, observed, Machine(idle_share=0.9, load_1min=0.1, cores=2), door.figures())


def test_a_punctual_phone_is_found_punctual() -> None:
    report = run(Manners())
    body = report.as_json()
    assert body["calls_up"] == 10
    assert not report.broken
    # One every two seconds and call, and a second one of those whose first falls into the first 0.2 s of 2.2 s: of
    # five groups of callers, who ask 0.4 s after each other, that is one at most.
    assert 10 <= body["questions"] <= 12
    assert body["answers_missing"] == body["answers_wrong"] == 0
    assert body["packets"]["missing"] == body["packets"]["garbage"] == body["unanswered_byes"] == 0
    assert body["packets"]["received"] == pytest.approx(10 * 2.2 * 50, rel=0.02)
    assert body["chunk_shift_frames"] == {"0": 10}
    assert body["pace_error_ms"]["p50"] < 5
    assert body["added_latency_ms"]["p50"] < 10


def test_a_late_phone_is_found_as_late_as_it_is() -> None:
    body = run(Manners(delay_s=0.05, late_every=7, late_s=0.013)).as_json()
    assert 49 <= body["added_latency_ms"]["p50"] < 62  # one echo in seven is later still
    assert body["pace_error_ms"]["p50"] < 6
    assert 12 <= body["pace_error_ms"]["p99"] < 30
    assert body["packets"]["missing"] == 0


def test_packets_that_a_phone_loses_are_missing() -> None:
    body = run(Manners(lose_every=33)).as_json()
    assert body["packets"]["lost"] == pytest.approx(10 * 2.2 * 50 / 33, abs=10)
    assert body["pace_error_ms"]["p99"] == "inf"
    assert body["pace_error_ms"]["max"] != "inf"


def test_a_phone_that_never_answers_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SEARCH_S", 1.5)
    body = run(Manners(deaf=True), calls=2).as_json()
    assert body["answers_missing"] == body["questions"] > 0
    assert body["chunk_shift_frames"] == {"none": 2}
    assert body["added_latency_ms"]["p50"] == "inf"


@pytest.mark.parametrize(
    ("manners", "refusal"),
    [
        (Manners(status="486 Busy Here"), "refused with 486 Busy Here"),
        (Manners(challenge=CHALLENGE), "refused with 401 Unauthorized"),
        (Manners(codec=8), "expected an answer with PCMU"),
    ],
)
def test_a_refusal_is_named(manners: Manners, refusal: str) -> None:
    report = run(manners, calls=1, seconds=0.1)
    assert report.broken
    assert next(iter(report.observed.refusals)).startswith(refusal)


def test_a_challenge_is_answered_and_a_lost_invite_sent_again() -> None:
    report = run(Manners(challenge=CHALLENGE, mute_invites=1), calls=1, seconds=0.1, user=("u", "p"))
    assert report.observed.calls_up == 1


def test_a_call_that_is_hung_up_on_is_lost() -> None:
    report = run(Manners(hang_up_after=10), calls=2, seconds=0.5)
    assert report.observed.calls_lost == 2
    assert report.broken


def test_the_gateway_is_held_against_the_floor() -> None:
    observed = Observed(window_s=10.0, calls_up=100, cpu_s={"gateway": 1.0, "generator": 1.0})
    observed.tally.lateness_s.extend([0.003] * 10)
    plan = Plan("", 100, 10.0, 7, 20)
    with StubInThread(Manners()) as stub:
        door = SipDoor(plan, (HOST, stub.port), observed.tally)
        uvloop.run(door.close())
    report = SipReport(plan, observed, Machine(0.9, 0.1, 2), door.figures(), Floor(100, 25_000, 0.25, 1.0))
    assert report.floor_ratio == pytest.approx(4.0)
    assert "4.0 times" in report.as_table()
    observed.calls_up = 20
    assert report.as_json()["floor_ratio"] is None  # too few calls to compare
    observed.calls_up = 100
    assert "late by 3.0 ms" in report.faults[0]  # a generator's own lateness is no figure of the gateway


def test_calls_are_told_apart_by_where_their_chunks_end() -> None:
    assert chunk_ends({"0": 3, "1": 2, "19": 4, "none": 1}) == (
        "with the caller's for 3 calls, elsewhere for 6, never found for 1"
    )


def test_the_floor_makes_one_receive_and_one_send_per_call_and_tick() -> None:
    floor = measure_floor(calls=4, seconds=0.2)
    assert floor.packets == 4 * 10
    assert 0 < floor.cpu_ms_per_call_second < 50


def flooded(manners: Manners, user: tuple[str, str] | None = None) -> tuple[Flooded, list[str]]:
    with StubInThread(manners) as stub:
        plan = FloodPlan((HOST, stub.port), rate_per_s=500, seconds=0.2, source="127.0.0.2", credentials=user)
        result = uvloop.run(flood(plan))
        return result, stub.seen


def test_a_flood_sends_what_it_was_told_and_counts_every_answer() -> None:
    result, seen = flooded(Manners(status="503 Service Unavailable"))
    assert result.sent == seen.count("INVITE") == 100
    assert result.finals == {503: 100}
    assert seen.count("ACK") == 100
    assert result.unanswered == result.bad_input == 0


def test_a_flood_with_a_password_answers_the_challenge_and_ends_the_calls() -> None:
    result, seen = flooded(Manners(challenge=CHALLENGE), ("u", "p"))
    assert result.authorized == 100
    assert result.finals == {200: 100}
    assert seen.count("BYE") == 100


def test_invites_that_nobody_answers_are_counted() -> None:
    result, _ = flooded(Manners(mute_invites=1_000))
    assert result.unanswered == 100
    assert result.finals == {}


def test_a_spray_reaches_every_port_with_every_kind() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        ports = []
        for sock in (one, two):
            sock.bind((HOST, 0))
            sock.settimeout(2)
            ports.append(sock.getsockname()[1])
        result = spray(ports, 0.1, 20 * len(KINDS), host=HOST)
        assert result.sent == dict.fromkeys(KINDS, 2)
        for sock in (one, two):
            got = [sock.recv(2_048) for _ in KINDS]
            assert got == [
                packet for _, packet in zip(range(len(KINDS)), (p for _, p in foreign_packets()), strict=False)
            ]
        assert result.answers == 0


def test_a_spray_notices_who_answers_strangers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        sock.settimeout(2)

        def answer() -> None:
            _, source = sock.recvfrom(2_048)
            sock.sendto(b"hello", source)

        thread = threading.Thread(target=answer)
        thread.start()
        result = spray([sock.getsockname()[1]], 0.2, 50, kinds=("stun",))
        thread.join(2)
    assert result.answers == 1


def test_an_unknown_kind_of_packet_is_refused() -> None:
    import random

    with pytest.raises(ValueError, match="opus"):
        foreign_packet("opus", random.Random(1))


@pytest.mark.parametrize("host", ["192.0.2.1", "example.com", "10.0.0.1"])
def test_no_load_leaves_this_machine(host: str) -> None:
    with pytest.raises(NotLoopbackError, match="loopback"):
        spray([4_000], 0.1, 10, host=host)
    with pytest.raises(NotLoopbackError, match="loopback"):
        uvloop.run(flood(FloodPlan((host, 5_060))))


def test_the_gateway_takes_the_settings_of_the_load_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = sip_environment(tmp_path, 5_061, rtp_ports(100))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = load_sip(Path(environment["TWOWIRE_SIP_FILE"]))
    assert config.listen[0].address == (HOST, 5_061)
    first, last = config.rtp_ports
    assert (last - first + 1) // 2 >= 100
    trunk = config.trunk_table()["load"]
    assert trunk.takes_from("127.0.0.1")
    assert not trunk.takes_from("127.0.0.2")
    assert trunk.inbound is not None
    assert (trunk.inbound.user, trunk.inbound.password) == (SIP_USER, SIP_PASSWORD)
