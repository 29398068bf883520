"""The thread that owns the engine loop, and the bounded mailbox in front of it.

The event loop appends, the thread takes everything at once, steps, and hands all that a step
brought back to the event loop in a single ``call_soon_threadsafe``: two crossings per step,
however many calls it served.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from model_worker.engine import EngineLoop, EngineStep, Fault
from model_worker.engine.loop import Outgoing
from wire.messages import AnyMessage, AudioChunk

# 64 s of every call at 0.4 s a chunk: the whole log of calls that come here from another worker.
MAILBOX_CHUNKS_PER_SLOT = 160


@dataclass(frozen=True, slots=True)
class Report:
    """What the engine's thread brought since the report before. ``turns_s``: speech of each turn that ended."""

    outgoing: list[Outgoing]
    steps: list[EngineStep]
    turns_s: list[float]
    faults: list[Fault]


Command = Callable[[EngineLoop, float], None]
"""Work for the engine's thread: gets the loop and ``now``."""


class EngineThread:
    """Runs one ``EngineLoop``. ``on_report`` and ``on_exit`` are called on that thread.

    ``on_exit`` gets None after ``stop``, or the exception that ended the thread: a fault of the
    loop itself, since those of the engine cost single calls.
    """

    def __init__(
        self,
        loop: EngineLoop,
        clock: Callable[[], float],
        on_report: Callable[[Report], None],
        on_exit: Callable[[Exception | None], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._on_report = on_report
        self._on_exit = on_exit
        self._max_chunks = loop.slots * MAILBOX_CHUNKS_PER_SLOT
        self._wake = threading.Condition()
        self._inbox: deque[tuple[AnyMessage, float, float]] = deque()
        self._commands: deque[Command] = deque()
        self._waiting = False
        self._stopping = False
        self._busy_since: float | None = None
        loop.on_ready(self._look)
        # Daemon: an engine that hangs in a kernel must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def deliver(self, message: AnyMessage, lag_s: float) -> bool:
        """Hand over a message; False when it is audio and the mailbox is full. Never blocks for long."""
        with self._wake:
            if len(self._inbox) >= self._max_chunks and isinstance(message, AudioChunk):
                return False
            self._inbox.append((message, lag_s, self._clock()))
            self._notify()
        return True

    def command(self, command: Command) -> None:
        """Have something done on the engine's thread, after the messages delivered so far."""
        with self._wake:
            self._commands.append(command)
            self._notify()

    def stop(self) -> None:
        """Finish what is due, then end the thread; ``on_exit`` tells when."""
        with self._wake:
            self._stopping = True
            self._notify()

    def stalled_s(self) -> float:
        """For how long the thread has had work and made no progress; 0 while it waits for some."""
        since = self._busy_since
        return 0.0 if since is None else self._clock() - since

    def _look(self) -> None:
        """Something outside of the engine answered."""
        with self._wake:
            self._notify()

    def _notify(self) -> None:
        if self._waiting:
            self._waiting = False  # one notification is enough for whatever is delivered until it wakes
            self._wake.notify()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except Exception as error:
            self._on_exit(error)
        else:
            self._on_exit(None)

    def _turn(self) -> bool:
        """Take what came, make one step, report; False when it is time to end."""
        with self._wake:
            while not (self._inbox or self._commands or self._stopping or self._loop.due):
                self._busy_since = None
                self._waiting = True
                self._wake.wait()
            self._waiting = False
            now = self._busy_since = self._clock()
            inbox, self._inbox = self._inbox, deque()
            commands, self._commands = self._commands, deque()
            stopping = self._stopping
        loop = self._loop
        for message, lag_s, received_at in inbox:
            loop.receive(message, lag_s, received_at)
        for command in commands:
            command(loop, now)
        outgoing = loop.step(now)
        faults = loop.take_faults()
        emptied = bool(inbox or commands) and not loop.stats.open_calls  # a drain waits for that
        if outgoing or faults or emptied:  # a step that brought nothing is told of with the next one that did
            self._on_report(Report(outgoing, loop.take_steps(), loop.take_turns_s(), faults))
        return loop.due or not stopping
