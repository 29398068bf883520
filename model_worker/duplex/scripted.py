"""An engine that plays a script: decisions from a table, deterministic tones. For tests and load only."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

import msgspec
import numpy as np
import numpy.typing as npt

from model_worker.duplex.script import (
    Behaviour,
    Delivery,
    Echo,
    Marker,
    OnChunk,
    OnDigit,
    Periodic,
    Rule,
    Say,
    Script,
    Talk,
)
from model_worker.seams import (
    Action,
    BadSnapshotError,
    CallSpec,
    Capabilities,
    Pcm,
    Said,
    Speech,
    StepInput,
    StepOutput,
    UnknownAgentError,
)
from wire.ids import NO_TURN, CallId, TurnId
from wire.messages import DecisionKind, Floor, OverlapRules, Voice

RATE_HZ = 8_000  # of the telephone, in and out: a load test then measures no resampling
MARKER_SAMPLES = RATE_HZ // 50  # 20 ms
WATERMARKS = 40
WORD_MS = 300  # of an operator's words: 200 a minute


@dataclass(slots=True)
class _Turn:
    """A turn that is being said; ``said_samples`` of ``say`` have left."""

    id: TurnId
    say: Say
    hang_up: bool
    said_samples: int = 0

    @property
    def total_samples(self) -> int:
        return self.say.ms * RATE_HZ // 1_000

    def next_piece(self, samples: int) -> Speech:
        """The next piece of at most ``samples``: the tone goes on in phase, its words begin in it."""
        start = self.said_samples
        stop = self.said_samples = min(start + samples, self.total_samples)
        text = words_between(self.say, start, stop)
        each = word_samples(self.say)
        first = math.ceil(start / each)
        starts = tuple(round((first + n) * each) - start for n in range(len(text.split())))
        return Speech(tone(self.say, start, stop), text, starts)


TOLERANCE_S = 0.002  # the ledger counts in samples of the codec and rounds
MAX_HISTORY = 200  # turns of one call
CHUNKS_PER_STEP = 8  # its step takes the same time, whatever is in it
SNAPSHOT_HISTORY = 4  # the last of them may still be interrupted


@dataclass(slots=True)
class _Call:
    behaviour: Behaviour
    floor: Floor | None = None
    history: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_HISTORY))
    turn: _Turn | None = None
    last_turn: TurnId = NO_TURN
    caller_spoke: bool = False
    silent_chunks: int = 0
    """Chunks since the agent's last turn ended, at the caller's ear where the gateway tells of it."""
    last_turn_s: float = 0.0
    """How long the last turn is; 0 when it was cut."""


def word_samples(say: Say) -> float:
    """How long a word of a turn is, its text being spread evenly over it."""
    return say.ms * RATE_HZ / 1_000 / max(1, len(say.text.split()))


def watermark_hz(words: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The pitch of each word of a turn by its number: 60 Hz from the next one's, and not there again for 40 words."""
    return 400.0 + 60.0 * (words % WATERMARKS)


def tone(say: Say, start: int, stop: int) -> Pcm:
    """Samples ``start`` to ``stop`` of a turn's tone at 8 kHz."""
    if say.watermark:
        at = np.arange(start, stop)
        hz = watermark_hz(np.floor(at / word_samples(say)))
        marked: npt.NDArray[np.float64] = np.sin(2 * np.pi * hz / RATE_HZ * at)
        return np.rint(say.level * marked).astype(np.int16)
    wave: npt.NDArray[np.float64] = np.sin(2 * np.pi * say.tone_hz / RATE_HZ * np.arange(start, stop))
    return np.rint(say.level * wave).astype(np.int16)


def words_between(say: Say, start: int, stop: int) -> str:
    """The words of a turn that begin within its samples ``start`` to ``stop``."""
    words, each = say.text.split(), word_samples(say)
    return " ".join(word for n, word in enumerate(words) if start <= n * each < stop)


class ScriptedEngine:
    """An ``Engine`` without a model. ``sleep`` stands for the time a model takes; without it a step takes none."""

    def __init__(self, script: Script, sleep: Callable[[float], None] | None = None) -> None:
        self._script = script
        self._sleep = sleep
        self._calls: dict[CallId, _Call] = {}
        self._steps = 0
        self._capabilities = Capabilities(
            engine="scripted",
            chunk_ms=script.chunk_ms,
            first_chunk_ms=script.first_chunk_ms or script.chunk_ms,
            input_rate_hz=RATE_HZ,
            output_rate_hz=RATE_HZ,
            explicit_decision=True,
            hears_while_speaking=True,
            sessions=script.sessions,
            licence_note="ours, no weights",
            chunks_per_step=CHUNKS_PER_STEP,
            says_given_words=True,
        )

    @property
    def busy(self) -> bool:
        """Never: every step answers all it is given."""
        return False

    @property
    def context_positions(self) -> None:
        """None: there is no model."""
        return

    def on_ready(self, wake: Callable[[], None]) -> None:
        """Nothing outside ever answers."""

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def open(self, call: CallId, spec: CallSpec) -> OverlapRules | None:
        """Begin a call; whose caller is in the script's ``judge`` is judged. Raises UnknownAgentError."""
        behaviour = self._script.agents.get(spec.agent, self._script.default)
        if behaviour is None:
            raise UnknownAgentError(f"no agent {spec.agent!r} in the script, it has {sorted(self._script.agents)}")
        floor = behaviour.judge.get(spec.caller)
        self._calls[call] = _Call(behaviour, floor)
        return None if floor is None else OverlapRules(model_judges=True)

    def snapshot(self, call: CallId) -> bytes | None:
        """Counts, and how its turns went; None while it says one."""
        served = self._calls.get(call)
        if served is None or served.turn is not None:
            return None
        history = [{**entry, "say": entry["say"].model_dump(mode="json")} for entry in served.history]
        counts = (served.caller_spoke, served.silent_chunks, served.last_turn, served.last_turn_s)
        return msgspec.msgpack.encode((*counts, history[-SNAPSHOT_HISTORY:]))

    def restore(self, call: CallId, spec: CallSpec, state: bytes) -> OverlapRules | None:
        """As ``open``, and be what ``snapshot`` saw. Raises UnknownAgentError and BadSnapshotError."""
        rules = self.open(call, spec)
        served = self._calls[call]
        try:
            spoken, silent_chunks, last_turn, last_turn_s, history = msgspec.msgpack.decode(state)
            served.history.extend({**entry, "say": Say.model_validate(entry["say"])} for entry in history)
            served.caller_spoke, served.silent_chunks = bool(spoken), int(silent_chunks)
            served.last_turn, served.last_turn_s = TurnId(int(last_turn)), float(last_turn_s)
        except (ValueError, TypeError, KeyError) as error:
            self.close(call)
            raise BadSnapshotError(f"not a snapshot of a script: {type(error).__name__}") from None
        return rules

    def step(self, inputs: Sequence[StepInput]) -> list[StepOutput]:
        """Decide on one chunk of each call."""
        step_s = self._script.step_time_s + self._script.step_time_per_call_s * len(inputs)
        slow = self._script.slow
        if slow is not None and slow.after_steps <= self._steps < slow.after_steps + slow.steps:
            step_s += slow.step_time_s
        self._steps += 1
        if self._sleep is not None and step_s > 0:
            self._sleep(step_s)
        return [self._judged(one, self._decide(one, self._calls[one.call])) for one in inputs]

    def interrupt(self, call: CallId, turn: TurnId, heard_s: float) -> None:
        """End a turn where the caller stopped it; its text is cut to the words that had begun by then."""
        served = self._calls.get(call)
        if served is None:
            return
        if served.turn is not None and served.turn.id == turn:
            served.turn = None
        if served.last_turn == turn:
            served.silent_chunks, served.last_turn_s = 0, 0.0
        entry = next((entry for entry in reversed(served.history) if entry["turn"] == turn), None)
        if entry is not None:
            heard = words_between(entry["say"], 0, round(heard_s * RATE_HZ))
            entry.update(text=heard, cut=True, heard_s=heard_s)

    def history(self, call: CallId) -> list[dict[str, Any]]:
        """The agent's turns, oldest first; an interrupted one tells its ``heard_s``."""
        served = self._calls.get(call)
        entries = served.history if served is not None else ()
        return [{key: value for key, value in entry.items() if key != "say"} for entry in entries]

    def close(self, call: CallId) -> None:
        """End a call. Unknown calls are ignored."""
        self._calls.pop(call, None)

    def _judged(self, heard: StepInput, output: StepOutput) -> StepOutput:
        floor = self._calls[heard.call].floor
        return output if heard.overlap_s <= 0.0 or floor is None else replace(output, floor=floor)

    def _decide(self, heard: StepInput, call: _Call) -> StepOutput:
        said: tuple[Said, ...] = ()
        rule = self._next_rule(heard, call) if call.turn is None else None
        if heard.say:
            say, hang_up = _as_tone(heard.say), False
        elif rule is not None:
            say, hang_up = rule.say, rule.hang_up
        else:
            say = None
        if say is not None:
            call.last_turn = TurnId(call.last_turn + 1)
            call.turn = _Turn(call.last_turn, say, hang_up)
            call.history.append(
                {"voice": Voice.AGENT.value, "text": say.text, "turn": call.last_turn, "cut": False, "say": say}
            )
            if say.text:
                said = (Said(Voice.AGENT, say.text),)
        if call.turn is None:
            turn, heard_s = heard.playback_s
            sounds = turn == call.last_turn and heard_s < call.last_turn_s - TOLERANCE_S
            call.silent_chunks = 0 if sounds else call.silent_chunks + 1
            return StepOutput(heard.call, heard.index, DecisionKind.LISTEN, p_speak=0.0)
        return self._speak(heard, call, call.turn, said)

    def _speak(self, heard: StepInput, call: _Call, turn: _Turn, said: tuple[Said, ...]) -> StepOutput:
        at_once = turn.say.delivery is Delivery.AT_ONCE
        piece = turn.next_piece(turn.total_samples if at_once else self._script.chunk_ms * RATE_HZ // 1_000)
        done = turn.said_samples == turn.total_samples
        if done:
            call.turn = None
            call.silent_chunks, call.last_turn_s = 0, turn.total_samples / RATE_HZ
        return StepOutput(
            heard.call,
            heard.index,
            DecisionKind.SPEAK,
            turn.id,
            (piece,),
            turn_done=done,
            said=said,
            actions=(Action("hangup"),) if done and turn.hang_up else (),
            p_speak=1.0,
        )

    def _next_rule(self, heard: StepInput, call: _Call) -> Rule | None:
        """The first rule that fits. Every rule is asked, since some remember what they heard."""
        fitting = [rule for rule in call.behaviour.rules if self._fits(rule, heard, call)]
        return fitting[0] if fitting else None

    def _fits(self, rule: Rule, heard: StepInput, call: _Call) -> bool:
        match rule:
            case OnChunk():
                return heard.index == rule.index
            case Periodic():
                return heard.index >= rule.first and (heard.index - rule.first) % rule.every == 0
            case Marker():
                return _loudness(heard.pcm[-MARKER_SAMPLES:]) > rule.above
            case Echo():
                speaks = _loudness(heard.pcm) > rule.above
                fell_silent = call.caller_spoke and not speaks
                call.caller_spoke = speaks
                return fell_silent
            case Talk():
                return call.last_turn == NO_TURN or call.silent_chunks >= rule.rest
            case OnDigit():
                return rule.digit in heard.dtmf
            case _:
                assert_never(rule)


def _as_tone(texts: Sequence[str]) -> Say:
    """An operator's words, as long as they take to say."""
    text = " ".join(texts)
    return Say(ms=WORD_MS * max(1, len(text.split())), text=text)


def _loudness(pcm: Pcm) -> float:
    """Mean of |sample|."""
    return float(np.abs(pcm.astype(np.int32)).mean())
