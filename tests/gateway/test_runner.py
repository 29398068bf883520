"""The shells round the core: one input then every effect, a fault stays with its call, nothing leaks into a log."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.call import Call
from gateway.effects import NoteDecision
from gateway.events import KeyPressed, LegEnded, WorkerSaid
from gateway.metrics import GatewayMetrics
from gateway.runner.decision_log import FLUSH_EVERY, DecisionLog
from gateway.runner.decision_tape import MAX_DECISIONS, DecisionTape, decision_json
from gateway.runner.record import MAX_ENTRIES, CallRecord
from gateway.runner.session import CallSession
from gateway.seams import CallSetup, LegQuality, PlayoutProfile
from tests.gateway.calls import CALL, CHUNK, PROFILE, SILENCE, STREAM_LIKE, Driven, decision, lease, speech
from tests.gateway.live import line
from tests.speech import jfk_ulaw
from wire.audio.codecs import Codec
from wire.bus.seam import BusStats
from wire.ids import GatewayId, WorkerId
from wire.logs import LogFormat, configure_logs
from wire.messages import AudioChunk, CallClosed, CallOpened, DecisionKind, Dtmf, UpMessage


class FakeLeg:
    """Keeps what it was told; can answer back while it is being told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.session: CallSession | None = None
        self.hang_up_on_audio = False
        self.measured: LegQuality | None = None
        self.measurements = 0

    def send_audio(self, payload: bytes) -> None:
        self.told.append(f"audio {len(payload)}")
        if self.hang_up_on_audio and self.session:
            self.session.post(LegEnded("leg_lost"))

    def send_mark(self, name: str) -> None:
        self.told.append(f"mark {name}")

    def send_keys(self, keys: str) -> None:
        self.told.append(f"keys {keys}")

    def clear(self) -> None:
        self.told.append("clear")

    def end(self, action: str, arguments: Mapping[str, str]) -> None:
        self.told.append(f"end {action}")

    def quality(self) -> LegQuality | None:
        self.measurements += 1
        return self.measured


class Harness:
    """A session on fakes, with a clock of its own."""

    def __init__(self, profile: PlayoutProfile = PROFILE) -> None:
        self.now = 0.0
        self.up: list[UpMessage] = []
        self.ended: list[CallSession] = []
        self.registry = CollectorRegistry()
        metrics = GatewayMetrics(self.registry, BusStats)
        setup = CallSetup("twilio", Codec.PCMU, profile, "front-desk")
        self.leg = FakeLeg()
        record = CallRecord(CALL, setup, WorkerId("w1"), "rule", 0.0)
        self.sought: list[str] = []
        self.session = CallSession(
            Call(lease(), GatewayId("g1"), setup, 0.0),
            self.leg,
            record,
            metrics,
            lambda: self.now,
            lambda worker, message: self.up.append(message),
            lambda session, reason: self.sought.append(reason),
            lambda note: None,
            self.ended.append,
        )
        self.leg.session = self.session
        self.session.start()

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def test_the_core_is_woken_once_a_chunk_not_once_a_packet():
    harness = Harness()
    woken = []
    take = harness.session.call.receive_media

    def receive_media(payload: bytes | bytearray, now: float) -> None:
        woken.append(len(payload))
        take(payload, now)

    harness.session.call.receive_media = receive_media  # type: ignore[method-assign]
    for _ in range(40):
        harness.session.receive_media(SILENCE * 160)
    assert woken == [CHUNK, CHUNK]
    assert [type(message) for message in harness.up] == [CallOpened, AudioChunk, AudioChunk]


def test_what_happens_while_effects_are_performed_waits_its_turn():
    harness = Harness()
    harness.leg.hang_up_on_audio = True
    driven = Driven()
    harness.session.post(WorkerSaid(speech(driven, 1, 0, 40_000)))
    assert harness.leg.told[0] == "audio 3200"
    assert harness.leg.told[1].startswith("mark")  # the effects of the first input came before the second input
    assert isinstance(harness.up[-1], CallClosed)
    assert harness.ended == [harness.session]


def test_speech_that_only_waits_is_played_when_its_time_comes():
    harness = Harness()
    driven = Driven()
    harness.session.post(WorkerSaid(speech(driven, 1, 0, 3_200)))  # fills the leg
    harness.session.post(WorkerSaid(speech(driven, 1, 3_200, 3_200)))  # waits, and wants nothing done now
    assert harness.session.due <= 0.4
    harness.now = 0.2
    harness.session.wake()
    assert sum(int(told.split()[1]) for told in harness.leg.told if told.startswith("audio")) == 4_800


def reply(harness: Harness) -> None:
    """The caller asks; turn 1 answers 60 ms after the chunk, and is heard until the next tick."""
    driven = Driven()
    words = jfk_ulaw()[:11_200] + SILENCE * 4_800  # they end at 1.4 s
    for n in range(5):
        harness.now = 0.4 * (n + 1)
        harness.session.receive_media(words[n * CHUNK : (n + 1) * CHUNK])
    harness.now = 2.06
    harness.session.post(WorkerSaid(decision(driven, 4, DecisionKind.SPEAK, turn=1)))
    harness.session.post(WorkerSaid(speech(driven, 1, 0, 40_000)))
    harness.now = 2.27
    harness.session.wake()


def test_the_leg_is_asked_once_a_turn_how_far_away_the_caller_is():
    harness = Harness(STREAM_LIKE)
    harness.leg.measured = LegQuality(100, 0, 0.001, 0.02, 0.08, 4.4)
    reply(harness)
    assert harness.leg.measurements == 1
    assert harness.count("twowire_gateway_reply_part_seconds_sum", part="leg") == pytest.approx(0.01 + 0.04)


@pytest.mark.parametrize("measured", [None, LegQuality(100, 0, 0.001, 0.02, None, None)])
def test_a_leg_that_knows_no_round_trip_costs_no_reply_its_trace(measured: LegQuality | None):
    harness = Harness(STREAM_LIKE)
    harness.leg.measured = measured
    reply(harness)
    assert harness.count("twowire_gateway_reply_part_seconds_sum", part="leg") == pytest.approx(0.01)


def test_a_reply_is_counted_whole_and_in_its_parts():
    harness = Harness(STREAM_LIKE)
    reply(harness)
    assert harness.count("twowire_gateway_response_seconds_count", door="twilio") == 1
    total_s = harness.count("twowire_gateway_response_seconds_sum", door="twilio")
    assert total_s == pytest.approx(2.07 - 1.4)
    parts = ("jitter_buffer", "endpoint", "bus_up", "queue", "compute", "bus_down", "voice", "playout", "leg")
    assert [harness.count("twowire_gateway_reply_part_seconds_count", part=part) for part in parts] == [1] * 9
    sums_s = [harness.count("twowire_gateway_reply_part_seconds_sum", part=part) for part in parts]
    assert sum(sums_s) == pytest.approx(total_s)


def test_the_tape_gives_back_what_it_was_given_and_forgets_the_oldest():
    tape = DecisionTape()
    driven = Driven()
    for index in range(MAX_DECISIONS + 5):
        tape.append(NoteDecision(decision(driven, index), 0.05, 0.4 * index))
    assert len(tape) == MAX_DECISIONS
    first, *_ = tape
    expected = decision_json(NoteDecision(decision(driven, 5), 0.05, 2.0))
    del expected["call"]
    assert first == expected


def test_what_happens_while_a_deadline_is_handled_is_not_forgotten():
    harness = Harness()
    driven = Driven()
    harness.session.post(WorkerSaid(speech(driven, 1, 0, 40_000)))
    harness.leg.hang_up_on_audio = True
    harness.now = 0.4
    harness.session.wake()
    assert harness.ended == [harness.session]


@pytest.mark.parametrize("fmt", ["console", "json"])
def test_a_fault_in_the_core_ends_that_call_and_is_counted(fmt: LogFormat, capfd: pytest.CaptureFixture[str]):
    configure_logs("info", fmt)
    harness = Harness()

    def broken(event: object, now: float) -> None:
        raise AssertionError("an invariant does not hold")

    harness.session.call.receive = broken  # type: ignore[method-assign]
    harness.session.post(KeyPressed("7"))
    harness.session.post(KeyPressed("8"))
    harness.session.receive_media(SILENCE * CHUNK)
    assert harness.leg.told == ["end failed"]
    assert harness.ended == [harness.session]
    assert isinstance(harness.up[-1], CallClosed)
    assert harness.session.record.outcome == "fault"
    assert harness.count("twowire_gateway_call_faults_total") == 1
    written = capfd.readouterr().err
    assert "an invariant does not hold" in written
    assert "digit='7'" not in written


def test_a_record_of_an_endless_call_stays_bounded():
    harness = Harness()
    driven = Driven()
    for turn in range(1, MAX_ENTRIES + 500):
        harness.session.post(WorkerSaid(speech(driven, turn, 0, 160, "word")))
    assert len(harness.session.record.turns) == MAX_ENTRIES
    assert len(harness.session.record.words) == MAX_ENTRIES


def test_the_decision_log_holds_a_line_per_decision(tmp_path):
    path = tmp_path / "decisions.jsonl"
    log = DecisionLog(path)
    driven = Driven()
    for index in range(FLUSH_EVERY + 3):
        log.write(NoteDecision(decision(driven, index), 0.05, 0.4 * index))
    log.close()
    log.close()
    assert len(path.read_text().splitlines()) == FLUSH_EVERY + 3


def test_a_full_disk_stops_the_log_and_not_the_call(capsys: pytest.CaptureFixture[str]):
    configure_logs("info", "json")
    log = DecisionLog(Path("/dev/full"))
    driven = Driven()
    for index in range(3 * FLUSH_EVERY):
        log.write(NoteDecision(decision(driven, index), 0.05, 0.0))
    log.close()


async def test_no_number_digit_or_word_of_a_caller_reaches_a_log(capfd: pytest.CaptureFixture[str]):
    configure_logs("debug", "json")
    async with line() as it:
        phone = it.phone()
        await phone.dial()
        await phone.send("dtmf", dtmf={"track": "inbound_track", "digit": "9"})
        await it.worker.until(lambda messages: any(isinstance(m, Dtmf) for m in messages))
        await phone.speak(2 * SILENCE * CHUNK)
        await phone.hear("media")
        await phone.send("stop", stop={})
        await it.worker.until(lambda messages: any(isinstance(m, CallClosed) for m in messages))
    written = "".join(capfd.readouterr())
    assert "call.started" in written
    assert "call.ended" in written
    for secret in ("15550100", "15550199", "word0", phone.token, '"9"', "digit"):
        assert secret not in written
