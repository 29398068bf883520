"""A recorded call through an engine again: the same engine decides the same, another one is compared."""

import math

import pytest
from msgspec.structs import replace

from model_worker.duplex.script import Behaviour, Echo, Say, Script
from model_worker.duplex.scripted import ScriptedEngine
from model_worker.engine import EngineLoop
from model_worker.replay import compare, recorded, run
from wire.audio.codecs import Codec
from wire.codec import encode
from wire.ids import CallId, GatewayId, TurnId
from wire.messages import AnyMessage, AudioChunk, CallOpened, Decision, DecisionKind, Dtmf, TurnCancelled
from wire.recorded import BadRecordingError, Header, append, begin, read

CALL = CallId("c1")
HEADER = Header(CALL, "scripted", "front-desk", 400, 400, 1_000.0)
LOUD, QUIET = b"\x00\x80" * 1_600, b"\xff" * 3_200


def engine(above: int = 500) -> ScriptedEngine:
    rule = Echo(when="echo", above=above)
    return ScriptedEngine(Script(default=Behaviour(rules=(rule.model_copy(update={"say": Say(ms=900)}),))))


def a_call() -> list[AnyMessage]:
    """What goes up in a call in which somebody speaks, is answered, and barges in."""
    sounds = [QUIET, LOUD, LOUD, QUIET, QUIET, LOUD, QUIET, QUIET, QUIET]
    up: list[AnyMessage] = [CallOpened(CALL, 0, 0, GatewayId("g1"), Codec.PCMU, "front-desk")]
    for index, payload in enumerate(sounds):
        up.append(AudioChunk(CALL, 0, len(up), index, index * 3_200, 0.0, payload))
        if index == 4:
            up.append(TurnCancelled(CALL, 0, len(up), TurnId(1), 1_000, "barged_in"))
            up.append(Dtmf(CALL, 0, len(up), "1", 16_000))
    return up


def with_decisions(up: list[AnyMessage]) -> list[AnyMessage]:
    """The call as a gateway records it: each decision where it came."""
    loop = EngineLoop(engine(), lambda: 0.0)
    told: list[AnyMessage] = []
    for message in up:
        told.append(message)
        loop.receive(message, 0.0, 0.0)
        while loop.due:
            told += [down for _, down in loop.step(0.0) if isinstance(down, Decision)]
    return told


def test_a_file_gives_back_what_was_written():
    up = a_call()
    header, messages = read(begin(HEADER) + b"".join(map(append, up)))
    assert header == HEADER
    assert list(messages) == up


@pytest.mark.parametrize(
    "data",
    [b"", b"RIFF....", b"TWOWIRE-CALL 1\n{", b"TWOWIRE-CALL 1\n{}\n", begin(HEADER) + b"T\x01\x00"],
    ids=["empty", "another file", "no end of the header", "header without fields", "cut in a frame"],
)
def test_what_is_no_recorded_call_is_named(data: bytes):
    with pytest.raises(BadRecordingError):
        list(read(data)[1])


def test_the_same_engine_decides_the_same_again():
    told = with_decisions(a_call())
    comparison = compare(HEADER, recorded(told), run(engine(), told))
    assert comparison.same
    assert comparison.decisions == 9
    assert comparison.turns == [0.0, 0.0]


def test_times_do_not_count_and_turns_do():
    told = with_decisions(a_call())
    slower = [
        replace(one, chunk_age_s=1.0, queue_s=1.0, step_s=1.0) if isinstance(one, Decision) else one for one in told
    ]
    assert compare(HEADER, recorded(slower), run(engine(), told)).same


def test_another_setting_is_told_by_the_first_difference_and_by_how_much_later_it_would_speak():
    told = with_decisions(a_call())
    deaf = compare(HEADER, recorded(told), run(engine(above=math.floor(2**15)), told))
    assert not deaf.same
    assert deaf.different[0].at_s == pytest.approx(1.6)
    assert deaf.different[0].recorded is not None
    assert deaf.different[0].recorded.kind is DecisionKind.SPEAK
    assert (deaf.only_recorded, deaf.only_replayed) == (2, 0)


def test_a_call_that_moved_between_workers_is_told_as_one():
    told = with_decisions(a_call())
    moved = [replace(message, epoch=2) if index > 6 else message for index, message in enumerate(told)]
    assert compare(HEADER, recorded(moved), run(engine(), moved)).same


def test_an_engine_that_gives_the_call_up_says_so():
    script = Script(agents={"other": Behaviour()})
    with pytest.raises(RuntimeError, match="unknown_agent"):
        run(ScriptedEngine(script), a_call())


def test_frames_are_those_of_the_wire():
    up = a_call()
    assert append(up[0]) == encode(up[0])
