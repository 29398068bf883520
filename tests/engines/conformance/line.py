"""A worker's host in small: one engine, some callers who talk on, and what comes back.

Media time is the chunks that were given, many times as fast as a telephone; whoever is to be waited for (a server, an
engine's own thread) wakes us. What a caller hears plays in media time.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from model_worker.seams import Action, CallSpec, Engine, Pcm, Said, StepInput, StepOutput
from tests.engines.subject import Subject
from wire.ids import NO_TURN, CallId, TurnId
from wire.messages import DecisionKind

GRACE_S = 0.01  # so long a chunk waits at least for what a server on this machine may say at once
FASTEST = 40  # times as fast as a telephone: chunks of a second would leave a busy machine no time for a handshake
LONGEST_S = 120.0  # of a call in media time; a condition that does not hold by then never will


@dataclass
class Heard:
    """All that came of one turn."""

    pcm: list[Pcm] = field(default_factory=list)
    text: str = ""
    done: int = 0

    @property
    def samples(self) -> int:
        return sum(map(len, self.pcm))

    @property
    def sound(self) -> Pcm:
        return np.concatenate(self.pcm) if self.pcm else np.empty(0, np.int16)


class Caller:
    """One call on the host."""

    def __init__(self, call: CallId, host: "Host", agent: str) -> None:
        self.call = call
        self.index = -1
        self.decisions: dict[int, DecisionKind] = {}
        self.turns: dict[TurnId, Heard] = {}
        self.said: list[Said] = []
        self.actions: list[tuple[TurnId, Action]] = []
        self.fault: Exception | None = None
        self.stopped: TurnId = NO_TURN
        """The newest turn that was interrupted; what comes of it later is ``stale``."""
        self.stale = 0
        self.playing: tuple[TurnId, float] = (NO_TURN, 0.0)
        self._host = host
        host.engine.open(call, CallSpec(agent))

    @property
    def rate_hz(self) -> int:
        return self._host.engine.capabilities.output_rate_hz

    @property
    def chunk_s(self) -> float:
        return self._host.engine.capabilities.chunk_ms / 1_000

    def next_input(self) -> StepInput:
        self.index += 1
        can = self._host.engine.capabilities
        chunk_ms = can.first_chunk_ms if self.index == 0 else can.chunk_ms
        turn, heard_s = self.playing
        generated_s = self.turns[turn].samples / self.rate_hz if turn in self.turns else 0.0
        self.playing = (turn, min(generated_s, heard_s + self.chunk_s))
        pcm = self._host.subject.caller(self.index, can.input_rate_hz * chunk_ms // 1_000)
        return StepInput(self.call, self.index, pcm, self.playing)

    def take(self, output: StepOutput) -> None:
        assert self.fault is None, "nothing comes after a fault"
        self.fault = output.fault
        if output.decision is not None:
            assert output.index not in self.decisions, "a chunk is decided on once"
            assert output.index <= self.index, "no chunk is decided on before it came"
            self.decisions[output.index] = output.decision
            assert output.p_speak is None or 0.0 <= output.p_speak <= 1.0
        self.said += output.said
        self.actions += [(output.turn, action) for action in output.actions]
        if not output.speech and not output.turn_done:
            return
        assert output.turn != NO_TURN, "speech belongs to a turn"
        assert output.decision is not DecisionKind.LISTEN or not output.speech, "who listens says nothing"
        if output.turn <= self.stopped:
            self.stale += sum(len(piece.pcm) for piece in output.speech)
            return
        turn = self.turns.setdefault(output.turn, Heard())
        assert not turn.done, "nothing is said in a turn that is over"
        turn.pcm += [piece.pcm for piece in output.speech]
        turn.text = " ".join([turn.text, *(piece.text for piece in output.speech)]).strip()
        turn.done += output.turn_done
        if output.turn > self.playing[0]:
            self.playing = (output.turn, 0.0)

    def stop(self) -> None:
        """The caller barges in now."""
        turn, heard_s = self.playing
        self.stopped = turn
        self._host.engine.interrupt(self.call, turn, heard_s)


class Host:
    def __init__(self, subject: Subject, engine: Engine) -> None:
        self.subject = subject
        self.engine = engine
        self.callers: dict[CallId, Caller] = {}
        self._grace_s = max(GRACE_S, engine.capabilities.chunk_ms / 1_000 / FASTEST)
        self._woken = threading.Event()
        engine.on_ready(self._woken.set)

    def call(self, name: str = "call-1", agent: str | None = None) -> Caller:
        caller = Caller(CallId(name), self, agent or self.subject.brief.name)
        self.callers[caller.call] = caller
        return caller

    def hang_up(self, caller: Caller) -> None:
        del self.callers[caller.call]
        self.engine.close(caller.call)

    def step(self, inputs: list[StepInput]) -> None:
        for output in self.engine.step(inputs):
            if (caller := self.callers.get(output.call)) is not None:
                caller.take(output)

    def settle(self) -> None:
        """Take what there is, until nothing more comes for a moment."""
        while True:
            while self.engine.busy:
                self.step([])
            self._woken.clear()
            if not self.engine.busy and not self._woken.wait(self._grace_s):
                return

    def chunk(self) -> None:
        """The next chunk of everybody."""
        due = [caller for caller in self.callers.values() if caller.fault is None]
        self.step([caller.next_input() for caller in due])
        self.settle()

    def chunks(self, count: int) -> None:
        for _ in range(count):
            self.chunk()

    def until(self, condition: Callable[[], bool]) -> bool:
        """The callers talk on until ``condition`` holds; False when it never does."""
        chunk_s = self.engine.capabilities.chunk_ms / 1_000
        for _ in range(round(LONGEST_S / chunk_s)):
            if condition():
                return True
            self.chunk()
        return condition()
