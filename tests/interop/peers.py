"""Foreign programs as bounded foreground processes: on loopback, found by what they print, ended by PID."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
INSTALL = "tests/interop/install.sh"
LOOPBACK = "127.0.0.1"

START_S = 20.0
STOP_S = 5.0
TAIL_CHARS = 4_000


class MissingPeerError(Exception):
    """A program that the tests need is not on this machine; the text names the command that installs it."""


def find_peer(name: str) -> str:
    """The path of a foreign program. A missing one is an error, never a reason to skip: a skipped check is no check."""
    # Debian keeps daemons in /usr/sbin, which is not on the PATH of everyone.
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    if (found := shutil.which(name, path=path)) is None:
        raise MissingPeerError(f"expected {name} on this machine; install the peers by: {INSTALL}")
    return found


def find_peers_python() -> str:
    """The Python that has PJSIP."""
    if not PEERS_PYTHON.exists():
        raise MissingPeerError(f"expected PJSIP in {PEERS_PYTHON.parents[1]}; install it by: {INSTALL} --pjsip")
    return str(PEERS_PYTHON)


def free_port(host: str = LOOPBACK) -> int:
    """A port that is free for UDP and TCP. Another process may take it before the peer does: start peers at once."""
    for _ in range(100):
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            stream.bind((host, 0))
            port: int = stream.getsockname()[1]
            try:
                datagrams.bind((host, port))
            except OSError:
                continue
            return port
    raise OSError(f"expected a port free for UDP and TCP on {host}, tried 100")


def free_media_ports(host: str = LOOPBACK, count: int = 4) -> int:
    """The first, even one of ``count`` neighbouring free UDP ports."""
    for _ in range(100):
        first = free_port(host) & ~1
        try:
            for port in range(first, first + count):
                with socket.socket(type=socket.SOCK_DGRAM) as probe:
                    probe.bind((host, port))
        except OSError:
            continue
        return first
    raise OSError(f"expected {count} neighbouring free UDP ports on {host}, tried 100 times")


class Peer:
    """One foreign process, and the file that holds all it printed."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log
        self._seen = 0

    @property
    def printed(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    async def until(self, pattern: str, within_s: float = START_S) -> re.Match[str]:
        """Wait until it prints what matches, after what an earlier ``until`` found."""
        deadline = time.monotonic() + within_s
        while True:
            ended = not self.running
            text = self.printed
            if match := re.compile(pattern, re.M).search(text, self._seen):
                self._seen = match.end()
                return match
            if ended:
                raise AssertionError(f"{self.name} ended without {pattern!r}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} did not print {pattern!r} within {within_s} s\n{self.tail()}")
            await asyncio.sleep(0.02)

    async def ended(self, within_s: float) -> int:
        """Wait for its own end and return the exit code; it is stopped, and the test fails, when it takes longer."""
        deadline = time.monotonic() + within_s
        while self.running:
            if time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"{self.name} still ran after {within_s} s\n{self.tail()}")
            await asyncio.sleep(0.02)
        return int(self.process.wait())

    def write(self, line: str) -> None:
        """One line to its standard input."""
        assert self.process.stdin is not None, f"{self.name} was started without an input"
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """End it by PID; SIGKILL when it does not listen. The exit code."""
        if self.running:
            self.process.send_signal(with_signal)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return int(self.process.wait())

    def tail(self) -> str:
        return f"--- {self.name} (pid {self.process.pid}), end of {self.log} ---\n{self.printed[-TAIL_CHARS:]}"


class Bench:
    """The peers of one test, in its folder. All are ended with the test; their logs stay there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.peers: list[Peer] = []

    def start(
        self,
        name: str,
        *command: str | Path,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: bool = False,
    ) -> Peer:
        """Run a command in the foreground; nothing is waited for."""
        log = self.folder / f"{len(self.peers):02}-{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd or self.folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        peer = Peer(name, process, log)
        self.peers.append(peer)
        return peer

    def folder_for(self, name: str) -> Path:
        """A new folder, for a peer that wants its configuration in one."""
        folder = self.folder / f"{len(self.peers):02}-{name}"
        folder.mkdir()
        return folder

    def stop(self) -> None:
        """End all peers, the last one first."""
        for peer in reversed(self.peers):
            peer.stop()

    def report(self) -> str:
        """The end of every log, for a test that failed."""
        return "\n".join(peer.tail() for peer in self.peers)


def listening(sockets: Sequence[tuple[int, bool]], host: str = LOOPBACK) -> bool:
    """Whether something has bound each ``(port, is_tcp)``."""
    for port, is_tcp in sockets:
        with socket.socket(type=socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return False
    return True
