"""Recognition of small grammars by PocketSphinx, in processes that can be killed.

What is said is decoded while it is spoken: the result is there 3 ms after the end of a phrase, and
costs 80 ms of CPU per second of the caller's speech. A hypothesis is rejected when a free loop of
phones explains the sound much better (``recognizer``). Measured 2026-11-23 with 14 phrases, over
µ-law with noise; four espeak-ng voices; 34 pieces of 2.5 s of real speech for the last column:

=============== ============== ============== ================== ==================
signal to noise limit distance right, accepted other sentences    real speech taken
                                               taken for a phrase for a phrase
=============== ============== ============== ================== ==================
30 dB            8 / 10 / 12   80 / 91 / 93 % 0 / 3 / 8 %        12 / 29 / 41 %
20 dB            8 / 10 / 12   62 / 77 / 84 % 0 / 2 / 8 %        21 / 41 / 50 %
=============== ============== ============== ================== ==================

Wrong phrases among those accepted: 2 to 4 %. One in three pieces of real talk still passes at 10. That
is why the agent confirms, and why keys always work.

The limit was chosen on those voices. Four others, and the 39 phrases of the shipped agent, fare worse
(the same day): at 30 / 20 dB 75 / 69 % of the phrases lead to the right question and 3 / 3 % to a wrong
one; 2 / 4 of 60 other sentences, and 6 / 7 of 23 pieces of the same real talk, are taken for a phrase. What
is lost is mostly single words ("address", "reception"), and an accent.
"""

import itertools
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from model_worker.asr.grammar import Grammar, build_grammar, without_fillers
from model_worker.asr.protocol import Begin, Command, Drop, Feed, Finish, Hypothesis, read_hypothesis, write
from model_worker.seams import Pcm, Recognition
from wire.ids import CallId

NOTHING = Recognition("", 0.0)
EVEN_DISTANCE = 10.0  # confidence 0.5: see above
MAX_UTTERANCE_SAMPLES = 15 * 16_000  # no phrase is longer than 15 s
MAX_BACKLOG = 5_000  # messages that wait for a child: half a minute of 64 calls, half an hour of one
MAX_FRUITLESS_STARTS = 3  # a child that cannot run must not be tried at every word of every caller
RESTART_PAUSE_S = 1.0
KEPT_GRAMMARS = 256


@dataclass(slots=True)
class _Utterance:
    """What a call is saying, or has said and awaits the result of."""

    call: CallId
    number: int
    operator: "_Operator"
    samples: int = 0
    due: float | None = None
    """When its result must be there, once it is finished."""
    answered: int = 0
    """How many results its child had given then."""


class SphinxAsr:
    """``Asr`` for many calls. No method but ``poll`` waits, and that no longer than it is told.

    An utterance whose result is late yields nothing heard. A child that gave no result at all meanwhile is killed
    and replaced, and what it was hearing yields nothing heard; ``hangs`` counts them.
    ``on_child_lost`` is told the exit code of every child that ended though nobody closed this; on a thread of ours.
    """

    def __init__(
        self,
        processes: int = 2,
        deadline_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        on_child_lost: Callable[[int], None] = lambda code: None,
    ) -> None:
        self.hangs = 0
        self._deadline_s = deadline_s
        self._clock = clock
        self._grammars: dict[tuple[str, ...], Grammar] = {}
        self._numbers = itertools.count()
        self._open: dict[CallId, _Utterance] = {}
        self._asked: dict[CallId, _Utterance] = {}
        self._done: _Results = queue.SimpleQueue()
        self._operators = [_Operator(self._done, clock, on_child_lost) for _ in range(processes)]
        for operator in self._operators:
            operator.start()

    @property
    def pids(self) -> list[int]:
        """Of the children that run now."""
        return [operator.child.pid for operator in self._operators if operator.child is not None]

    def start(self, call: CallId, phrases: Sequence[str]) -> None:
        """Begin an utterance. Raises UnknownWordError for a phrase that cannot be pronounced."""
        self._forget(call)
        grammar = self._grammar(tuple(phrases))
        utterance = _Utterance(call, next(self._numbers), self._least_busy())
        self._open[call] = utterance
        utterance.operator.tell(Begin(utterance.number, grammar.jsgf, grammar.dictionary))

    def feed(self, call: CallId, pcm: Pcm) -> None:
        """Add 16 kHz int16; what exceeds 15 s is not listened to."""
        utterance = self._open.get(call)
        if utterance is None or utterance.samples >= MAX_UTTERANCE_SAMPLES:
            return
        utterance.samples += len(pcm)
        utterance.operator.tell(Feed(utterance.number, pcm.tobytes()))
        if utterance.operator.backlog > MAX_BACKLOG:
            self.hangs += utterance.operator.kill()
            for lost in self._open.values():
                if lost.operator is utterance.operator:
                    lost.samples = MAX_UTTERANCE_SAMPLES  # the next child does not know it: send it no more of this

    def finish(self, call: CallId) -> None:
        """The utterance is over. Without one, nothing happens."""
        utterance = self._open.pop(call, None)
        if utterance is not None:
            utterance.due = self._clock() + self._deadline_s
            utterance.answered = utterance.operator.answered
            self._asked[call] = utterance
            utterance.operator.tell(Finish(utterance.number))

    def poll(self, timeout_s: float) -> dict[CallId, Recognition]:
        """Results that became ready. An utterance whose child missed its deadline yields nothing heard."""
        results: dict[CallId, Recognition] = {}
        by_number = {utterance.number: utterance for utterance in self._asked.values()}
        until = self._clock() + timeout_s
        while self._asked:
            try:
                number, hypothesis = self._done.get(timeout=max(0.0, until - self._clock()))
            except queue.Empty:
                break
            if (utterance := by_number.get(number)) is not None:  # else another one of its call has begun since
                del self._asked[utterance.call]
                results[utterance.call] = _judge(hypothesis)
        now = self._clock()
        late = [utterance for utterance in self._asked.values() if utterance.due is not None and now >= utterance.due]
        for utterance in late:
            if utterance.operator.answered == utterance.answered:  # else it is only busy with the calls before
                self.hangs += utterance.operator.kill()  # it starts another
            del self._asked[utterance.call]
            results[utterance.call] = NOTHING
        return results

    def close(self) -> None:
        """End the children and their threads."""
        for operator in self._operators:
            operator.end()
        for operator in self._operators:
            operator.join()

    def _grammar(self, phrases: tuple[str, ...]) -> Grammar:
        if phrases not in self._grammars:
            if len(self._grammars) >= KEPT_GRAMMARS:
                self._grammars.clear()
            self._grammars[phrases] = build_grammar(phrases)
        return self._grammars[phrases]

    def _least_busy(self) -> "_Operator":
        taken = [utterance.operator for utterance in self._open.values()]
        return min(self._operators, key=taken.count)

    def _forget(self, call: CallId) -> None:
        self._asked.pop(call, None)
        if (utterance := self._open.pop(call, None)) is not None:
            utterance.operator.tell(Drop(utterance.number))


_Results = queue.SimpleQueue[tuple[int, Hypothesis]]
_NOTHING_HEARD = Hypothesis("", 0.0)


class _Operator(threading.Thread):
    """Writes to one child what it is told, and reads what it answers; starts another child when it is gone."""

    def __init__(self, done: _Results, clock: Callable[[], float], on_child_lost: Callable[[int], None]) -> None:
        super().__init__(name="sphinx", daemon=True)
        self._clock = clock
        self._on_child_lost = on_child_lost
        self.answered = 0
        self._started_at = float("-inf")
        self._fruitless_starts = 0
        self.child: subprocess.Popen[bytes] | None = None
        self._killed: subprocess.Popen[bytes] | None = None
        self._closing = False
        self._todo: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._done = done
        self._begun: set[int] = set()  # utterances that this child knows

    @property
    def backlog(self) -> int:
        """Messages that the child has not been told yet."""
        return self._todo.qsize()

    def tell(self, command: Command) -> None:
        """From another thread: pass a message on. Never waits."""
        self._todo.put(command)

    def kill(self) -> bool:
        """From another thread: interrupt what the child is doing. False when this child was killed before."""
        child = self.child
        if child is None or child is self._killed:
            return False
        self._killed = child
        child.kill()
        return True

    def end(self) -> None:
        """From another thread: end the child and this thread, whatever they do."""
        self._closing = True
        self._todo.put(None)
        self.kill()

    def run(self) -> None:
        self._try_to_start()
        while (command := self._todo.get()) is not None and not self._closing:
            try:
                self._pass_on(command)
            except (OSError, msgspec.DecodeError):
                self._end_child()
                if isinstance(command, Finish):
                    self._done.put((command.utterance, _NOTHING_HEARD))
                self._try_to_start()
        self._end_child()

    def _try_to_start(self) -> None:
        """Start a child before there is work for it: models take 0.2 s to load, and a caller should not wait."""
        if not self._closing:
            with suppress(OSError):  # no process or file to be had now: the next utterance tries again
                self._ensure_child()

    def _pass_on(self, command: Command) -> None:
        if isinstance(command, Begin):
            self._ensure_child()
            self._begun.add(command.utterance)
        elif command.utterance not in self._begun:  # it was lost with the child before
            if isinstance(command, Finish):
                self._done.put((command.utterance, _NOTHING_HEARD))
            return
        child = self.child
        assert child is not None, "it has begun this utterance"
        assert child.stdin is not None, "asked for as a pipe"
        assert child.stdout is not None, "asked for as a pipe"
        write(child.stdin, command)
        if isinstance(command, Finish | Drop):
            self._begun.discard(command.utterance)
        if isinstance(command, Finish):
            hypothesis = read_hypothesis(child.stdout)
            if hypothesis is None:
                raise BrokenPipeError("the recognizer's process has ended")
            self._fruitless_starts = 0
            self.answered += 1
            self._done.put((command.utterance, hypothesis))

    def _ensure_child(self) -> None:
        """Raises OSError when none is to be had now."""
        if self.child is not None and self.child.poll() is not None:
            self._end_child()
        if self.child is None:
            now = self._clock()
            if self._fruitless_starts >= MAX_FRUITLESS_STARTS and now - self._started_at < RESTART_PAUSE_S:
                raise ChildProcessError("the recognizer's process ends before it answers")
            self._started_at = now
            self._fruitless_starts += 1
            self.child = subprocess.Popen(
                [sys.executable, "-m", "model_worker.asr.sphinx_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C in a terminal is for the worker, which drains its calls first
            )

    def _end_child(self) -> None:
        self._begun.clear()
        if self.child is not None:
            self.child.kill()
            self.child.communicate()  # closes the pipes and reaps it
            if not self._closing:
                self._on_child_lost(self.child.returncode)
            self.child = None


def _judge(hypothesis: Hypothesis) -> Recognition:
    """Words with their confidence, or nothing where that is below even."""
    # From 2/3 at distance 7 to 1/3 at 13, between which right and wrong answers cannot be told apart for sure.
    confidence = 1.0 / (1.0 + 2.0 ** ((hypothesis.distance - EVEN_DISTANCE) / 3.0)) if hypothesis.words else 0.0
    return Recognition(without_fillers(hypothesis.words), confidence) if confidence >= 0.5 else NOTHING
