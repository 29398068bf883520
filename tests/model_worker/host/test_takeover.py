"""A call that another worker served before: together both give exactly what one alone would have given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from gateway.effects import Effect, NoteDropped, NoteMissing, SendAgain, SendUp
from gateway.seams import CallSetup, PlayoutProfile
from gateway.serving import Patience, Serving
from gateway.turn.ledger import NewestTurn
from model_worker.duplex.script import Script
from model_worker.duplex.scripted import ScriptedEngine
from model_worker.engine import EngineLoop
from model_worker.engine.loop import SNAPSHOT_EVERY_CHUNKS, Outgoing
from model_worker.engine.takeover import LoopState, TurnNumbers, pack, unpack
from model_worker.seams import BadSnapshotError, CallSpec, Capabilities, Engine, Said
from tests.model_worker.host.fakes import CALL, GATEWAY, Caller, Clock, FakeEngine, speak
from wire.audio import g711
from wire.audio.codecs import Codec
from wire.bus.seam import Lease
from wire.ids import NO_TURN, CallId, TurnId, WorkerId
from wire.messages import (
    AudioChunk,
    Decision,
    DownMessage,
    Dtmf,
    Line,
    OverlapRules,
    Past,
    Playback,
    Say,
    Snapshot,
    SpeechChunk,
    ToolCall,
    Transcript,
    TurnCancelled,
    TurnDone,
    UpMessage,
    Voice,
    WorkerDraining,
)

CHUNKS = 30
CHUNK_S = 0.4
Planned = AudioChunk | TurnCancelled | Dtmf | Say
SETUP = CallSetup("twilio", Codec.PCMU, PlayoutProfile(0.2, 0.1, marks=True), "any")


def script(delivery: str) -> Script:
    """Talks whenever it was silent for a while, answers keys and a caller who falls silent."""
    words = "one two three four five"
    return Script.model_validate(
        {
            "default": {
                "rules": [
                    {"when": "digit", "digit": "5", "say": {"ms": 600, "text": "good bye then"}, "hang_up": True},
                    {"when": "digit", "digit": "7", "say": {"ms": 1_500, "text": words, "delivery": delivery}},
                    {"when": "echo", "say": {"ms": 900, "text": "did you say so", "delivery": delivery}},
                    {"when": "talk", "rest": 3, "say": {"ms": 1_300, "text": words, "delivery": delivery}},
                ]
            }
        }
    )


class OneByOne(ScriptedEngine):
    """Takes one chunk of a call in a step."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, chunks_per_step=1)


class Forgetful(ScriptedEngine):
    """Takes no snapshots: everything is replayed."""

    def snapshot(self, call: CallId) -> bytes | None:
        return None


@dataclass
class Heard:
    """All that a gateway got of a call, whoever said it."""

    decisions: list[tuple[object, ...]] = field(default_factory=list)
    transcripts: list[tuple[object, ...]] = field(default_factory=list)
    actions: list[tuple[object, ...]] = field(default_factory=list)
    speech: dict[TurnId, bytes] = field(default_factory=dict)
    words: dict[TurnId, list[str]] = field(default_factory=dict)
    ends: dict[TurnId, int] = field(default_factory=dict)


class Front:
    """A gateway's end of one call: the real ``Serving``, and a ledger that takes speech in its place only."""

    def __init__(self, codec: Codec = Codec.PCMU) -> None:
        self.got = Heard()
        self.newest = NO_TURN
        self.open = False
        self.cancelled: set[TurnId] = set()
        self.dropped: list[DownMessage] = []
        self.now = 0.0
        self._width = codec.bytes_per_sample
        self._effects: list[Effect] = []
        self._setup = replace(SETUP, codec=codec)
        self._moves = 0
        self.serving = Serving(
            self._lease(), GATEWAY, self._setup, 0.0, Patience(10.0, 60.0), 60.0, self._effects.append
        )

    def _lease(self) -> Lease:
        return Lease(CALL, WorkerId(f"w{self._moves}"), "scripted", 400, 400)

    def sent(self) -> list[UpMessage]:
        """What the worker of now was sent since the last time."""
        messages = [
            e.message for e in self._effects if isinstance(e, SendUp | SendAgain) and e.to == self._lease().worker
        ]
        assert not [effect for effect in self._effects if isinstance(effect, NoteDropped | NoteMissing)]
        self._effects.clear()
        return messages

    def send(self, planned: Planned) -> None:
        call, epoch, seq = self.serving.stamp()
        message = changed(planned, call=call, epoch=epoch, seq=seq)
        if isinstance(message, AudioChunk):
            self.now = CHUNK_S * (message.index + 1)
            self.serving.send_chunk(message, self.now)
            return
        if isinstance(message, TurnCancelled):
            self._cancel(message.turn)
        self.serving.send(message, self.now)

    def move(self) -> None:
        """Another worker takes over."""
        self._moves += 1
        speech = self.got.speech.get(self.newest, b"")
        newest = NewestTurn(self.newest, len(speech) // self._width, self.open, crc32(speech))
        self.serving.move(self._lease(), newest, (), self.now)

    def take(self, outgoing: Sequence[DownMessage]) -> None:
        for message in outgoing:
            assert message.epoch == self.serving.epoch
            self._take(message)

    def _take(self, message: DownMessage) -> None:
        got = self.got
        match message:
            case Decision():
                assert self.serving.answered(message, self.now) is not None, f"chunk {message.index} was decided on"
                got.decisions.append((message.index, message.kind, message.turn, message.p_speak, message.floor))
                self._open(message.turn)
            case Transcript():
                self.serving.told()
                got.transcripts.append((message.voice, message.text, message.turn, message.confidence))
            case ToolCall():
                self.serving.told()
                got.actions.append((message.name, message.arguments, message.turn))
            case SpeechChunk():
                if self._open(message.turn):
                    here = got.speech[message.turn]
                    assert message.start_samples == len(here) // self._width, "no gap, no repetition"
                    got.speech[message.turn] = here + message.payload
                    got.words[message.turn] += message.text.split()
                else:
                    self.dropped.append(message)
            case TurnDone():
                if self._open(message.turn):
                    got.ends[message.turn] = message.total_samples
                    self.open = False
                else:
                    self.dropped.append(message)
            case Snapshot():
                self.serving.keep(message)
            case _:
                raise AssertionError(message)

    def _open(self, turn: TurnId) -> bool:
        if turn > self.newest:
            if self.open:
                self.send(TurnCancelled(CALL, 0, 0, self.newest, 0, "superseded"))
            self.newest, self.open = turn, True
            self.got.speech[turn], self.got.words[turn] = b"", []
        return turn == self.newest and self.open

    def _cancel(self, turn: TurnId) -> None:
        self.cancelled.add(turn)
        if turn == self.newest:
            self.open = False


@dataclass(frozen=True)
class Death:
    """After which step a worker dies, how much of its last words still came, how many steps later it is noticed."""

    step: int
    share: float = 1.0
    unnoticed: int = 0


def run(loop: EngineLoop, given: Sequence[UpMessage] = ()) -> list[DownMessage]:
    """Give messages, then step until nothing is due; what comes out."""
    for message in given:
        loop.receive(message, 0.0, 0.0)
    outgoing: list[Outgoing] = []
    while loop.due:
        outgoing += loop.step(0.0)
    assert loop.take_faults() == []
    return [message for _, message in outgoing]


class Story:
    """What the caller, an operator and the gateway do in each step of a call; a step ends with a chunk."""

    def __init__(
        self,
        keys: Mapping[int, str] | None = None,
        orders: Mapping[int, str] | None = None,
        stops: frozenset[int] = frozenset(),
        loud: frozenset[int] = frozenset(),
        codec: Codec = Codec.PCMU,
    ) -> None:
        self.codec = codec
        self._keys, self._orders, self._stops, self._loud = keys or {}, orders or {}, stops, loud

    def steps(self, engine: Engine) -> tuple[list[list[Planned]], Front]:
        """The call served by one worker that never dies: what the gateway sent in each step, and what it got."""
        front = Front(self.codec)
        loop = EngineLoop(engine, Clock())
        begun: dict[TurnId, int] = {}
        steps: list[list[Planned]] = []
        for index in range(CHUNKS):
            samples = front.got.speech.get(front.newest, b"")
            begun.setdefault(front.newest, index)
            chunk_samples = self.codec.sample_rate_hz * 2 // 5
            generated = len(samples) // self.codec.bytes_per_sample
            played = min(generated, chunk_samples * (index - begun[front.newest]))
            step: list[Planned] = []
            if index in self._stops and front.newest and front.newest not in front.cancelled and played < generated:
                step.append(TurnCancelled(CALL, 0, 0, front.newest, played, "barged_in"))
            if index in self._keys:
                step.append(Dtmf(CALL, 0, 0, self._keys[index], 0))
            if index in self._orders:
                step.append(Say(CALL, 0, 0, self._orders[index]))
            level = 3_000 if index in self._loud else 0
            payload = g711.encode(self.codec, np.full(chunk_samples, level, np.int16))
            playback = Playback(front.newest, generated, generated, played) if front.newest else None
            step.append(AudioChunk(CALL, 0, 0, index, index * chunk_samples, 0.0, payload, playback))
            steps.append(step)
            for planned in step:
                front.send(planned)
            front.take(run(loop, front.sent()))
        return steps, front


def relayed(steps: list[list[Planned]], deaths: Sequence[Death], make: Callable[[], Engine], codec: Codec) -> Front:
    """The same call, whose workers die; a worker may die of the replay already."""
    front = Front(codec)
    loop = EngineLoop(make(), Clock())
    dying = sorted(deaths, key=lambda death: death.step)
    coming = iter(range(CHUNKS))
    outgoing: list[DownMessage] = []
    for n in coming:
        for planned in steps[n]:
            front.send(planned)
        outgoing = run(loop, front.sent())
        while dying and dying[0].step <= n:
            death = dying.pop(0)
            front.take(outgoing[: round(death.share * len(outgoing))])
            n = _go_on_unheard(front, steps, n, coming, death.unnoticed)
            front.sent()
            front.move()
            loop = EngineLoop(make(), Clock())
            outgoing = run(loop, front.sent())
        front.take(outgoing)
    return front


def _go_on_unheard(front: Front, steps: list[list[Planned]], n: int, coming: Iterator[int], unnoticed: int) -> int:
    """The gateway sends some more steps; it cannot stop a turn that it has not heard of."""
    for _ in range(unnoticed):
        if n + 1 == CHUNKS or any(isinstance(m, TurnCancelled) and m.turn > front.newest for m in steps[n + 1]):
            break
        n = next(coming)
        for planned in steps[n]:
            front.send(planned)
    return n


def assert_same(front: Front, alone: Front) -> None:
    """Nothing is missing, nothing came twice; of a turn that was stopped, what was on its way may be missing."""
    assert front.got.decisions == alone.got.decisions
    assert front.got.transcripts == alone.got.transcripts
    assert front.got.actions == alone.got.actions
    assert front.dropped == []
    for turn, whole in alone.got.speech.items():
        if turn in alone.cancelled:
            assert whole.startswith(front.got.speech[turn])
            assert alone.got.words[turn][: len(front.got.words[turn])] == front.got.words[turn]
        else:
            assert front.got.speech[turn] == whole
            assert front.got.words[turn] == alone.got.words[turn]
            assert front.got.ends.get(turn) == alone.got.ends.get(turn)


STORY = Story(
    keys={6: "7", 17: "5"}, orders={24: "one moment please"}, stops=frozenset({4, 8}), loud=frozenset({12, 13})
)


@pytest.mark.parametrize("delivery", ["paced", "at_once"])
@pytest.mark.parametrize("kind", [ScriptedEngine, Forgetful])
@pytest.mark.parametrize("unnoticed", [0, 2])
def test_a_worker_may_die_after_any_chunk(delivery: str, kind: type[ScriptedEngine], unnoticed: int) -> None:
    steps, alone = STORY.steps(kind(script(delivery)))
    assert len(alone.got.speech) >= 4
    assert {type(message) for step in steps for message in step} == {AudioChunk, TurnCancelled, Dtmf, Say}
    for step in range(CHUNKS):
        for share in (0.0, 0.3, 0.6, 1.0):
            death = Death(step, share, unnoticed)
            assert_same(relayed(steps, [death], lambda: kind(script(delivery)), Codec.PCMU), alone)


indexes = st.integers(0, CHUNKS - 1)


@given(
    delivery=st.sampled_from(["paced", "at_once"]),
    kind=st.sampled_from([ScriptedEngine, Forgetful, OneByOne]),
    story=st.builds(
        Story,
        st.dictionaries(indexes, st.sampled_from("57"), max_size=4),
        st.dictionaries(indexes, st.just("one moment please"), max_size=2),
        st.frozensets(indexes, max_size=8),
        st.frozensets(indexes, max_size=8),
        st.sampled_from([Codec.PCMU, Codec.PCMU, Codec.L16_16K]),
    ),
    deaths=st.lists(st.builds(Death, indexes, st.floats(0.0, 1.0), st.integers(0, 3)), min_size=1, max_size=3),
)
def test_any_call_whose_workers_die_anywhere_is_the_call_of_one_worker(
    delivery: str, kind: type[ScriptedEngine], story: Story, deaths: list[Death]
) -> None:
    steps, alone = story.steps(kind(script(delivery)))
    assert_same(relayed(steps, deaths, lambda: kind(script(delivery)), story.codec), alone)


@given(
    delivery=st.sampled_from(["paced", "at_once"]),
    keys=st.dictionaries(indexes, st.sampled_from("57"), max_size=4),
    stops=st.frozensets(indexes, max_size=8),
    loud=st.frozensets(indexes, max_size=8),
)
def test_several_chunks_in_one_step_give_what_they_give_one_by_one(
    delivery: str, keys: dict[int, str], stops: frozenset[int], loud: frozenset[int]
) -> None:
    steps, _ = Story(keys, {}, stops, loud).steps(Forgetful(script(delivery)))
    front = Front()
    up = [front.sent()]
    for step in steps:
        for planned in step:
            front.send(planned)
        up.append(front.sent())
    one_by_one, at_once = (EngineLoop(Forgetful(script(delivery)), Clock()) for _ in range(2))
    expected = [message for given in up for message in run(one_by_one, given)]
    assert run(at_once, [message for given in up for message in given]) == expected


def test_a_chunk_before_which_a_turn_was_stopped_is_not_joined_to_the_one_before() -> None:
    engine = FakeEngine()
    engine.capabilities = replace(engine.capabilities, chunks_per_step=4)
    caller = Caller()
    given: list[UpMessage] = [caller.opens(), *(caller.speaks() for _ in range(3)), caller.stops(1, 800)]
    run(EngineLoop(engine, Clock()), [*given, *(caller.speaks() for _ in range(6))])
    assert engine.batches == [[CALL] * 3, [CALL] * 4, [CALL] * 2]
    assert [event[2] for event in engine.events if event[0] == "interrupt"] == [1]
    assert [event[:3] for event in engine.events[2:5]] == [
        ("chunk", CALL, 2),
        ("interrupt", CALL, 1),
        ("chunk", CALL, 3),
    ]


def test_the_first_chunk_of_which_nothing_is_known_is_not_joined_to_the_replay() -> None:
    engine = FakeEngine()
    engine.capabilities = replace(engine.capabilities, chunks_per_step=4)
    taken_over(engine, Past(3), chunks=7)
    assert engine.batches == [[CALL] * 3, [CALL], [CALL] * 3]


class Restorable(FakeEngine):
    """Keeps what it was told at the beginning of a call; ``good`` is the one snapshot that it knows."""

    def __init__(self, good: bytes = b"good") -> None:
        super().__init__()
        self.good = good
        self.specs: list[CallSpec] = []
        self.restored: list[bytes] = []

    def open(self, call: CallId, spec: CallSpec) -> OverlapRules | None:
        self.specs.append(spec)
        return super().open(call, spec)

    def restore(self, call: CallId, spec: CallSpec, state: bytes) -> OverlapRules | None:
        if state != self.good:
            raise BadSnapshotError("not mine")
        self.restored.append(state)
        return super().open(call, spec)


def taken_over(
    engine: FakeEngine, past: Past, chunks: int, first: int = 0
) -> tuple[EngineLoop, Caller, list[DownMessage]]:
    """A call that begins at this worker with a past and a log of ``chunks``; what comes out of the replay."""
    loop, caller = EngineLoop(engine, Clock()), Caller(epoch=1)
    opened = changed(caller.opens(), past=past)
    caller.index = first
    return loop, caller, run(loop, [opened, *(caller.speaks() for _ in range(chunks))])


def payload_of(samples: int) -> bytes:
    """What ``speak`` of the fakes says in the codec of the call."""
    return g711.encode(Codec.PCMU, (np.arange(samples) % 1_000 * 10).astype(np.int16))


SAID = (Line(Voice.CALLER, "opening hours"), Line(Voice.AGENT, "we open at"))
WORDS = (Said(Voice.CALLER, "opening hours"), Said(Voice.AGENT, "we open at"))


def test_a_replay_without_a_snapshot_begins_the_call_anew_and_is_counted() -> None:
    engine = Restorable()
    loop, _, out = taken_over(engine, Past(4, said=SAID), chunks=4)
    assert out == []
    assert loop.stats.taken_over == 1
    assert [spec.said for spec in engine.specs] == [()]  # it hears for itself what was said
    assert [event[2] for event in engine.events] == [0, 1, 2, 3]


def test_a_turn_goes_on_after_the_samples_that_are_there() -> None:
    engine = Restorable()
    engine.answers = {1: speak(1, 800), 2: speak(1, 400, done=True)}
    past = Past(2, turn=TurnId(1), generated=500, open=True, checksum=crc32(payload_of(800)[:500]))
    loop, _, out = taken_over(engine, past, chunks=3)
    assert loop.take_turns_s() == [1_200 / 8_000]
    assert [type(message) for message in out] == [SpeechChunk, Decision, SpeechChunk, TurnDone]
    assert [(m.start_samples, len(m.payload)) for m in out if isinstance(m, SpeechChunk)] == [(500, 300), (800, 400)]
    assert isinstance(out[0], SpeechChunk)
    assert out[0].payload == payload_of(800)[500:]
    assert not [event for event in engine.events if event[0] == "interrupt"]
    assert [(message.epoch, message.seq) for message in out] == [(1, n) for n in range(4)]


def test_turns_that_ended_in_the_worker_before_are_not_counted_again() -> None:
    engine = Restorable()
    engine.answers = {0: speak(1, 800, done=True), 1: speak(2, 16, done=True)}
    loop, _, out = taken_over(engine, Past(3, turn=TurnId(2), generated=16), chunks=3)
    assert out == []
    assert (loop.take_turns_s(), loop.stats.silent_turns) == ([], 0)


def test_words_of_a_piece_that_is_there_in_part_come_once() -> None:
    rules = [{"when": "chunk", "index": 0, "say": {"ms": 400, "text": "one two three four"}}]
    engine = ScriptedEngine(Script.model_validate({"default": {"rules": rules}}))
    whole = run(EngineLoop(engine, Clock()), [(caller := Caller()).opens(), caller.speaks()])
    (piece,) = [message for message in whole if isinstance(message, SpeechChunk)]
    assert piece.word_starts == (0, 800, 1_600, 2_400)
    past = Past(1, told=1, turn=TurnId(1), generated=801, open=True, checksum=crc32(piece.payload[:801]))
    caller = Caller(epoch=1)
    again = run(EngineLoop(engine, Clock()), [changed(caller.opens(), past=past), caller.speaks()])
    rest = changed(piece, epoch=1, seq=0, start_samples=801, payload=piece.payload[801:])
    rest = changed(rest, text="three four", word_starts=(1_600, 2_400))
    assert again == [rest, TurnDone(CALL, 1, 1, TurnId(1), 3_200)]


def test_an_engine_that_says_something_else_ends_the_open_turn_where_it_is() -> None:
    engine = Restorable()
    engine.answers = {1: speak(1, 800), 2: speak(1, 400), 3: speak(1, 400, done=True), 4: speak(2, 80)}
    past = Past(2, turn=TurnId(1), generated=800, open=True, checksum=crc32(b"something else"))
    loop, caller, out = taken_over(engine, past, chunks=4)
    assert [type(message) for message in out] == [TurnDone, Decision, Decision]
    assert out[0] == TurnDone(CALL, 1, 0, TurnId(1), 800)
    assert [event[:3] for event in engine.events[1:4]] == [
        ("chunk", CALL, 1),
        ("interrupt", CALL, 1),
        ("chunk", CALL, 2),
    ]
    assert engine.events[2][3] == pytest.approx(0.1)  # of it, 800 samples are to be heard
    assert loop.stats.diverged_turns == 1
    out = run(loop, [caller.speaks()])
    assert [type(message) for message in out] == [Decision, SpeechChunk]  # the next turn is heard


def test_an_engine_that_begins_a_turn_of_its_own_in_the_replay_is_stopped_in_it() -> None:
    engine = Restorable()
    engine.answers = {0: speak(1, 800, done=True), 1: speak(2, 800), 2: speak(2, 800), 3: speak(3, 80)}
    checksum = crc32(payload_of(800))
    past = Past(2, turn=TurnId(1), generated=800, open=False, checksum=checksum)
    _, _, out = taken_over(engine, past, chunks=4)
    assert [type(message) for message in out] == [Decision, Decision, SpeechChunk]
    assert [event[2:] for event in engine.events if event[0] == "interrupt"] == [(2, 0.0)]
    assert isinstance(out[2], SpeechChunk)
    assert (out[2].turn, out[2].start_samples) == (3, 0)


def test_an_inexact_takeover_says_nothing_of_the_replay_and_numbers_turns_after_the_old_ones() -> None:
    engine = Restorable()
    engine.answers = {41: speak(1, 800), 43: speak(1, 800, done=True), 44: speak(2, 400)}
    past = Past(43, turn=TurnId(5), generated=900, open=True, checksum=1, exact=False, said=SAID)
    loop, caller, out = taken_over(engine, past, chunks=3, first=40)
    assert out == []
    assert [tuple(spec.said) for spec in engine.specs] == [WORDS]
    out = run(loop, [caller.speaks(), caller.speaks()])
    assert [type(message) for message in out] == [TurnDone, Decision, Decision, SpeechChunk]
    assert out[0] == TurnDone(CALL, 1, 0, TurnId(5), 900)  # of the old turn no more will come
    assert [event[2:] for event in engine.events if event[0] == "interrupt"] == [(1, 0.0)]
    speech = out[3]
    assert isinstance(speech, SpeechChunk)
    assert (speech.turn, speech.start_samples) == (7, 0)
    run(loop, [caller.stops(7, 200), caller.speaks(playback=Playback(TurnId(7), 400, 400, 200))])
    assert engine.events[-2:] == [("interrupt", CALL, 2, 0.025), ("chunk", CALL, 45, "", (2, 0.025))]


def packed(turn_offset: int, state: bytes) -> bytes:
    return pack(LoopState(TurnNumbers(turn_offset, 2), state))


def test_a_snapshot_is_restored_and_turns_keep_their_numbers() -> None:
    engine = Restorable()
    engine.answers = {6: speak(3, 80)}
    past = Past(6, turn=TurnId(4), state=packed(2, b"good"), said=SAID)
    loop, _, out = taken_over(engine, past, chunks=2, first=5)
    assert engine.restored == [b"good"]
    assert engine.specs == []
    assert [message.turn for message in out if isinstance(message, SpeechChunk)] == [5]
    assert loop.stats.bad_snapshots == 0


@pytest.mark.parametrize("state", [packed(2, b"of another version"), b"\xc1 no snapshot at all", b"\x01"])
def test_a_bad_snapshot_falls_back_to_what_was_said(state: bytes) -> None:
    engine = Restorable()
    engine.answers = {6: speak(1, 80)}
    past = Past(6, turn=TurnId(4), generated=50, open=True, state=state, said=SAID)
    loop, _, out = taken_over(engine, past, chunks=2, first=5)
    assert loop.stats.bad_snapshots == 1
    assert [tuple(spec.said) for spec in engine.specs] == [WORDS]
    assert [type(message) for message in out] == [TurnDone, Decision, SpeechChunk]
    assert [message.turn for message in out if isinstance(message, SpeechChunk)] == [5]


def test_a_snapshot_comes_every_ten_chunks_and_only_between_turns() -> None:
    rules = [{"when": "chunk", "index": 9, "say": {"ms": 1_600, "delivery": "paced"}}]
    caller = Caller()
    loop = EngineLoop(ScriptedEngine(Script.model_validate({"default": {"rules": rules}})), Clock())
    out = run(loop, [caller.opens()])
    for _ in range(36):
        out += run(loop, [caller.speaks()])
    taken = [message.index for message in out if isinstance(message, Snapshot)]
    assert taken == [12, 12 + SNAPSHOT_EVERY_CHUNKS, 12 + 2 * SNAPSHOT_EVERY_CHUNKS]  # the turn ends with chunk 12


def test_a_draining_worker_gives_a_snapshot_at_once() -> None:
    caller, loop = Caller(), EngineLoop(ScriptedEngine(script("paced")), Clock())
    run(loop, [caller.opens(), caller.speaks(), caller.speaks()])
    assert run(loop) == []
    loop.drain(30.0, 0.0)
    out = run(loop)
    assert [type(message) for message in out] == [WorkerDraining]  # in the middle of a turn
    caller, loop = Caller(), EngineLoop(ScriptedEngine(Script.model_validate({"default": {}})), Clock())
    run(loop, [caller.opens(), caller.speaks(), caller.speaks()])
    loop.drain(30.0, 0.0)
    out = run(loop)
    assert [type(message) for message in out] == [Snapshot, WorkerDraining]
    assert isinstance(out[0], Snapshot)
    assert out[0].index == 1


def test_an_engine_whose_snapshot_fails_is_not_asked_again_and_goes_on() -> None:
    class Failing(FakeEngine):
        asked = 0

        def snapshot(self, call: CallId) -> bytes | None:
            self.asked += 1
            raise RuntimeError("no memory")

    engine, caller = Failing(), Caller()
    loop = EngineLoop(engine, Clock())
    given: list[UpMessage] = [caller.opens(), *(caller.speaks() for _ in range(40))]
    for message in given:
        loop.receive(message, 0.0, 0.0)
    while loop.due:
        loop.step(0.0)
    assert [(fault.stage, engine.asked) for fault in loop.take_faults()] == [("snapshot", 1)]
    assert loop.stats.decided_chunks == 40


@pytest.mark.parametrize("open_", [True, False])
def test_an_engine_that_said_fewer_turns_in_the_replay_is_heard_all_the_same(open_):
    engine = Restorable()
    engine.answers = {3: speak(1, 80)}
    past = Past(2, turn=TurnId(1), generated=800, open=open_, checksum=1)
    _, _, out = taken_over(engine, past, chunks=4)
    assert [message for message in out if isinstance(message, SpeechChunk)]


def test_an_inexact_takeover_tells_nothing_of_the_replay():
    def says_noon(given):
        return replace(speak(1, 800, done=True)(given), said=(Said(Voice.AGENT, "noon"),))

    engine = Restorable()
    engine.answers = {42: says_noon}
    past = Past(43, turn=TurnId(5), generated=900, exact=False, said=SAID)
    _, _, out = taken_over(engine, past, chunks=3, first=40)
    assert out == []


class Counting(FakeEngine):
    """Its snapshot is the number of chunks that it has heard."""

    def snapshot(self, call):
        return str(len(self.events) - 1).encode()


def test_a_snapshot_holds_no_chunk_after_its_own():
    engine, caller = Counting(), Caller()
    engine.capabilities = replace(engine.capabilities, chunks_per_step=8)
    loop = EngineLoop(engine, Clock())
    told: list[UpMessage] = [caller.opens(), *(caller.speaks() for _ in range(40))]
    for message in told:
        loop.receive(message, 0.0, 0.0)
    out = []
    while loop.due:
        out += loop.step(0.0)
    taken = [(message.index, int(unpack(message.state).engine)) for _, message in out if isinstance(message, Snapshot)]
    assert taken
    assert all(index == newest for index, newest in taken)
