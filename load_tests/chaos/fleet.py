"""Gateways, workers and their Redis as processes of this machine, each of which can be broken."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from load_tests.chaos.server import RedisServer, SentinelGroup
from load_tests.stack import StackError, free_ports, is_ready
from wire.bus.embedded import HOST

READY_WITHIN_S = 30.0
GONE_WITHIN_S = 8.0
_POLL_S = 0.02


@dataclass(slots=True)
class Member:
    """One process of the fleet. ``url`` is where it answers ``/readyz`` and ``/metrics``."""

    name: str
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended is left alone."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.signal(signal.SIGKILL)
        self.process.wait(GONE_WITHIN_S)

    def said(self) -> str:
        """The last lines it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


@dataclass(slots=True)
class FleetPlan:
    """``slots`` are those of one worker; ``script`` is what it plays."""

    script: str
    workers: int = 2
    gateways: int = 1
    slots: int = 64
    settings: Mapping[str, str] = field(default_factory=dict)
    redis_options: tuple[str, ...] = ()
    sentinels: bool = False
    """Redis is a master with two replicas, watched by Sentinels."""


class Fleet:
    """Runs within the ``with`` block; ends by process id whatever happens."""

    def __init__(self, plan: FleetPlan) -> None:
        self.auth_token = secrets.token_hex(16)
        self.api_token = secrets.token_hex(16)
        self.workers: list[Member] = []
        self.gateways: list[Member] = []
        self._plan = plan
        self._members: list[Member] = []
        self._exit = ExitStack()

    def __enter__(self) -> "Fleet":
        try:
            self._directory = Path(self._exit.enter_context(tempfile.TemporaryDirectory(prefix="twowire-chaos-")))
            if self._plan.sentinels:
                self.group = self._exit.enter_context(SentinelGroup(self._directory))
                self.redis, self._redis_url = self.group.master, self.group.url
            else:
                self.redis = self._exit.enter_context(RedisServer(self._directory, self._plan.redis_options))
                self._redis_url = self.redis.url
            self._script = self._directory / "script.yaml"
            self._script.write_text(self._plan.script)
            for _ in range(self._plan.workers):
                self.start_worker(wait=False)
            for _ in range(self._plan.gateways):
                self.start_gateway(wait=False)
            for member in self._members:
                self.wait_ready(member)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for member in reversed(self._members):
            member.signal(signal.SIGCONT)
            member.signal(signal.SIGTERM)
        for member in reversed(self._members):
            try:
                member.process.wait(GONE_WITHIN_S)
            except subprocess.TimeoutExpired:
                member.kill()
        self._members.clear()
        self._exit.close()

    @property
    def gateway(self) -> Member:
        """The first gateway."""
        return self.gateways[0]

    def start_worker(self, script: str | None = None, *, wait: bool = True) -> Member:
        """One more worker, under a name of its own."""
        number = len(self._members)
        file = self._script
        if script is not None:
            file = self._directory / f"script-{number}.yaml"
            file.write_text(script)
        port = free_ports(1)[0]
        environment = {
            "TWOWIRE_ENGINE": "scripted",
            "TWOWIRE_SCRIPT": str(file),
            "TWOWIRE_SLOTS": str(self._plan.slots),
            "TWOWIRE_METRICS_PORT": str(port),
            "TWOWIRE_WORKER_ID": f"worker-{number}",
        }
        member = self._spawn("worker", f"worker-{number}", environment, f"http://{HOST}:{port}")
        self.workers.append(member)
        if wait:
            self.wait_ready(member)
        return member

    def start_gateway(self, *, wait: bool = True) -> Member:
        """One more gateway."""
        number = len(self._members)
        port = free_ports(1)[0]
        environment = {
            "TWOWIRE_HOST": HOST,
            "TWOWIRE_PORT": str(port),
            "TWOWIRE_TWILIO_AUTH_TOKEN": self.auth_token,
            "TWOWIRE_API_TOKEN": self.api_token,
            "TWOWIRE_GATEWAY_ID": f"gateway-{number}",
        }
        member = self._spawn("serve", f"gateway-{number}", environment, f"http://{HOST}:{port}")
        self.gateways.append(member)
        if wait:
            self.wait_ready(member)
        return member

    def wait_ready(self, member: Member) -> None:
        """Raises StackError."""
        give_up_at = time.monotonic() + READY_WITHIN_S
        while not is_ready(member.url):
            if member.process.poll() is not None or time.monotonic() > give_up_at:
                raise StackError(f"{member.name} is not ready:\n{member.said()}")
            time.sleep(_POLL_S)

    def _spawn(self, command: str, name: str, environment: Mapping[str, str], url: str) -> Member:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("TWOWIRE_")}
        common = {"TWOWIRE_REDIS_URL": self._redis_url, "TWOWIRE_LOG_LEVEL": "info", "TWOWIRE_DRAIN_LIMIT_S": "30"}
        log = self._directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "twowire", command],
                env=inherited | common | dict(environment) | dict(self._plan.settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        member = Member(name, process, url, log)
        self._members.append(member)
        return member
