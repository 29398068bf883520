"""Recognition of small grammars by PocketSphinx, in processes that can be killed.

What it is good for, measured 2026-11-23 on 27 phrases of the shipped agent, µ-law, 20 and 30 dB, five espeak
voices: see docs/AGENTS.md. A hypothesis is rejected when a free loop of phones explains the audio
much better (``sphinx_child``): at distance 15, about one in six correct answers is lost, one in
eight sentences of other synthetic speech and one in four pieces of a real speech (a presidential
address) are taken for a phrase. That is why the agent confirms, and why keys always work.
"""

import queue
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from model_worker.asr.grammar import Grammar, build_grammar, without_fillers
from model_worker.seams import Pcm, Recognition
from wire.ids import CallId

NOTHING = Recognition("", 0.0)
EVEN_DISTANCE = 15.0  # confidence 0.5: see above
MAX_UTTERANCE_BYTES = 15 * 32_000  # 15 s: no phrase is that long, and decoding it takes a second
KEPT_GRAMMARS = 256


@dataclass(slots=True)
class _Job:
    """One finished utterance on its way through a child."""

    call: CallId
    request: bytes
    due: float
    wanted: bool = True
    child: subprocess.Popen[bytes] | None = None


@dataclass(slots=True)
class _Utterance:
    """What a call is saying now."""

    grammar: Grammar
    pcm: bytearray = field(default_factory=bytearray)


class SphinxAsr:
    """``Asr`` for many calls. No method but ``poll`` waits, and that no longer than it is told.

    ``hangs`` counts children that were killed because they missed the deadline.
    """

    def __init__(
        self, processes: int = 2, deadline_s: float = 2.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.hangs = 0
        self._deadline_s = deadline_s
        self._clock = clock
        self._grammars: dict[tuple[str, ...], Grammar] = {}
        self._open: dict[CallId, _Utterance] = {}
        self._asked: dict[CallId, _Job] = {}
        self._todo: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[_Job, Recognition]] = queue.SimpleQueue()
        self._operators = [_Operator(self._todo, self._done) for _ in range(processes)]
        for operator in self._operators:
            operator.start()

    @property
    def pids(self) -> list[int]:
        """Of the children that run now."""
        return [operator.child.pid for operator in self._operators if operator.child is not None]

    def start(self, call: CallId, phrases: Sequence[str]) -> None:
        """Begin an utterance. Raises UnknownWordError for a phrase that cannot be pronounced."""
        self._forget(call)
        key = tuple(phrases)
        if key not in self._grammars:
            if len(self._grammars) >= KEPT_GRAMMARS:
                self._grammars.clear()
            self._grammars[key] = build_grammar(phrases)
        self._open[call] = _Utterance(self._grammars[key])

    def feed(self, call: CallId, pcm: Pcm) -> None:
        """Add 16 kHz int16; what exceeds 15 s is not listened to."""
        utterance = self._open.get(call)
        if utterance is not None and len(utterance.pcm) < MAX_UTTERANCE_BYTES:
            utterance.pcm += pcm.tobytes()

    def finish(self, call: CallId) -> None:
        """The utterance is over. Without one, nothing happens."""
        utterance = self._open.pop(call, None)
        if utterance is not None:
            grammar = utterance.grammar
            request = msgspec.msgpack.encode((grammar.jsgf, grammar.dictionary, bytes(utterance.pcm)))
            self._asked[call] = job = _Job(call, request, self._clock() + self._deadline_s)
            self._todo.put(job)

    def poll(self, timeout_s: float) -> dict[CallId, Recognition]:
        """Results that became ready. An utterance whose child missed its deadline yields nothing heard."""
        results: dict[CallId, Recognition] = {}
        until = self._clock() + timeout_s
        while self._asked:
            try:
                job, recognition = self._done.get(timeout=max(0.0, until - self._clock()))
            except queue.Empty:
                break
            if self._asked.get(job.call) is job:
                del self._asked[job.call]
                results[job.call] = recognition
        now = self._clock()
        for call, job in list(self._asked.items()):
            if now >= job.due:
                self._give_up(job)
                results[call] = NOTHING
        return results

    def close(self) -> None:
        """End the children and their threads."""
        for operator in self._operators:
            operator.closing = True
            self._todo.put(None)
        for operator in self._operators:
            operator.kill()
            operator.join()

    def _forget(self, call: CallId) -> None:
        self._open.pop(call, None)
        if (job := self._asked.pop(call, None)) is not None:
            job.wanted = False

    def _give_up(self, job: _Job) -> None:
        del self._asked[job.call]
        job.wanted = False
        if job.child is not None:
            self.hangs += 1
            job.child.kill()  # its operator starts another


class _Operator(threading.Thread):
    """Hands utterances to one child, one at a time, and starts another child when it is gone."""

    def __init__(
        self, todo: "queue.SimpleQueue[_Job | None]", done: "queue.SimpleQueue[tuple[_Job, Recognition]]"
    ) -> None:
        super().__init__(name="sphinx", daemon=True)
        self.child: subprocess.Popen[bytes] | None = None
        self.closing = False
        self._todo = todo
        self._done = done

    def run(self) -> None:
        self._ensure_child()  # models take 0.2 s to load: not on the first caller's time
        while (job := self._todo.get()) is not None:
            if job.wanted:
                self._done.put((job, self._recognize(job)))
        self._end_child()

    def kill(self) -> None:
        """From another thread: interrupt what the child is doing."""
        if (child := self.child) is not None:
            child.kill()

    def _recognize(self, job: _Job) -> Recognition:
        child = job.child = self._ensure_child()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(struct.pack("!I", len(job.request)) + job.request)
            child.stdin.flush()
            (length,) = struct.unpack("!I", child.stdout.read(4))
            hypothesis, distance = msgspec.msgpack.decode(child.stdout.read(length), type=tuple[str, float])
        except (OSError, struct.error, msgspec.DecodeError):
            self._end_child()
            if not self.closing:
                self._ensure_child()
            return NOTHING
        finally:
            job.child = None
        confidence = _confidence(distance) if hypothesis else 0.0
        return Recognition(without_fillers(hypothesis), confidence) if confidence >= 0.5 else NOTHING

    def _ensure_child(self) -> subprocess.Popen[bytes]:
        if self.child is None:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "model_worker.asr.sphinx_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self.child

    def _end_child(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.communicate()  # closes the pipes and reaps it
            self.child = None


def _confidence(distance: float) -> float:
    """0 to 1; 0.5 at the distance where words count as not understood."""
    return float(1.0 / (1.0 + 2.0 ** ((distance - EVEN_DISTANCE) / 3.0)))
