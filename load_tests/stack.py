"""The system under test, started for one run: Valkey, a worker with a scripted engine, a gateway.

Three processes besides the generator, on free ports of the loopback interface, ended by their
process ids whatever happens.
"""

import json
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import redis

from load_tests.procfs import Process
from wire.bus.embedded import HOST, EmbeddedValkey

READY_WITHIN_S = 30.0
GONE_WITHIN_S = 8.0
_POLL_S = 0.05

SCRIPT = """\
sessions: {slots}
default:
  rules:
    - {{when: marker, above: {above}, say: {{ms: {answer_ms}, text: "{text}"}}}}
"""
"""The worker answers a chunk that ends loudly in the step that decides on it.

``above`` is ten times line noise: a chunk of the SIP door may end anywhere within the loud packet,
and the first samples of it shall do. The browser door takes ``OPUS_ABOVE``, for Opus rings on.
"""
ABOVE, OPUS_ABOVE = 400, 3_000

SIP_USER = "load"
SIP_PASSWORD = secrets.token_hex(8)
"""Of this run, for callers that are not on 127.0.0.1."""


RTP_PORTS_FROM, RTP_PORTS_TO = 10_240, 32_000  # below the ports that Linux gives away by itself
_PORTS_A_CALL = 4  # RTP and RTCP, and as many for calls that have just ended


class StackError(Exception):
    """The system under test did not start; the text holds what it said last."""


class Stack:
    """Everything a call needs, running within the ``with`` block."""

    def __init__(
        self,
        slots: int,
        answer_ms: int,
        *,
        sip: bool = False,
        webrtc: bool = False,
        script: str | None = None,
        engine: str = "scripted",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """``sip`` opens the SIP door, too, ``webrtc`` the browser door; ``script`` replaces that of the load tests.

        ``settings``: more of the environment of worker and gateway.
        """
        self.auth_token = secrets.token_hex(16)
        self.api_token = secrets.token_hex(16)
        self.gateway_url = ""
        self.sip_address = (HOST, 0)
        self._sip = sip
        self._webrtc = webrtc
        self._given_script = script
        self._engine = engine
        self._settings = dict(settings or {})
        self.processes: list[Process] = []
        self._slots = slots
        self._answer_ms = answer_ms
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._exit = ExitStack()

    def __enter__(self) -> "Stack":
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for _, process in reversed(self._running):
            process.terminate()
            try:
                process.wait(GONE_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
        self._exit.close()

    def _start(self) -> None:
        self._directory = Path(self._exit.enter_context(tempfile.TemporaryDirectory(prefix="twowire-load-")))
        valkey = self._exit.enter_context(EmbeddedValkey())
        script = self._directory / "script.yaml"
        words = max(1, self._answer_ms // 300)  # as many as speech of this length has
        text = " ".join(f"word{n}" for n in range(words))
        above = OPUS_ABOVE if self._webrtc else ABOVE
        own = SCRIPT.format(slots=self._slots, answer_ms=self._answer_ms, text=text, above=above)
        script.write_text(self._given_script or own)
        gateway_port, metrics_port = free_ports(2)
        environment = (
            {name: value for name, value in os.environ.items() if not name.startswith("TWOWIRE_")}
            | {
                "TWOWIRE_REDIS_URL": valkey.url,
                "TWOWIRE_ENGINE": self._engine,
                "TWOWIRE_SCRIPT": str(script),
                "TWOWIRE_SLOTS": str(self._slots),
                "TWOWIRE_METRICS_PORT": str(metrics_port),
                "TWOWIRE_HOST": HOST,
                "TWOWIRE_PORT": str(gateway_port),
                "TWOWIRE_TWILIO_AUTH_TOKEN": self.auth_token,
                "TWOWIRE_API_TOKEN": self.api_token,
                "TWOWIRE_LOG_LEVEL": "warning",
                "TWOWIRE_DRAIN_LIMIT_S": "2",
            }
            | self._settings
        )
        if self._sip:
            self.sip_address = (HOST, free_udp_port())
            environment |= sip_environment(self._directory, self.sip_address[1], rtp_ports(self._slots))
        if self._webrtc:
            environment |= webrtc_environment(self._directory, self._slots)
        worker = self._spawn("worker", environment)
        self._wait_ready("worker", f"http://{HOST}:{metrics_port}")
        gateway = self._spawn("serve", environment)
        self.gateway_url = f"http://{HOST}:{gateway_port}"
        self._wait_ready("serve", self.gateway_url)
        self.processes = [
            Process("gateway", gateway),
            Process("worker", worker),
            Process("valkey", server_pid(valkey.url)),
        ]

    def _spawn(self, command: str, environment: dict[str, str]) -> int:
        with (self._directory / f"{command}.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "twowire", command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._running.append((command, process))
        return process.pid

    def _wait_ready(self, command: str, url: str) -> None:
        """Raises StackError."""
        process = self._running[-1][1]
        give_up_at = time.monotonic() + READY_WITHIN_S
        while not is_ready(url):
            if process.poll() is not None:
                raise StackError(f"twowire {command} ended with {process.returncode}:\n{self.said(command)}")
            if time.monotonic() > give_up_at:
                raise StackError(f"twowire {command} is not ready after {READY_WITHIN_S} s:\n{self.said(command)}")
            time.sleep(_POLL_S)

    def said(self, command: str) -> str:
        """The last lines a process wrote."""
        return "\n".join((self._directory / f"{command}.log").read_text(errors="replace").splitlines()[-20:])


def sip_environment(directory: Path, port: int, media_ports: tuple[int, int]) -> dict[str, str]:
    """What opens the SIP door of a gateway: UDP on ``port``, calls from 127.0.0.1 without a password.

    Other addresses of the loopback interface (127.0.0.2) must show the digest user ``load``.
    """
    file = directory / "sip.yaml"
    trunk = {
        "name": "load",
        "peers": [f"{HOST}/32"],
        "inbound": {"user": SIP_USER, "password_env": "TWOWIRE_LOAD_SIP_PASSWORD"},
        "calls_per_s": 2_000,
        "codecs": ["PCMU"],
    }
    file.write_text(json.dumps({"listen": [f"udp:{HOST}:{port}"], "rtp_ports": list(media_ports), "trunks": [trunk]}))
    return {"TWOWIRE_SIP_FILE": str(file), "TWOWIRE_LOAD_SIP_PASSWORD": SIP_PASSWORD}


def webrtc_environment(directory: Path, calls: int) -> dict[str, str]:
    """What opens the browser door of a gateway for so many calls."""
    file = directory / "webrtc.yaml"
    file.write_text(json.dumps({"max_sessions": calls, "max_half_open": calls}))
    return {"TWOWIRE_WEBRTC_FILE": str(file)}


def rtp_ports(calls: int) -> tuple[int, int]:
    """The first and last port of a range for so many calls, at a random place so that two runs rarely meet."""
    count = calls * _PORTS_A_CALL + 32
    if count > RTP_PORTS_TO - RTP_PORTS_FROM:
        raise StackError(f"expected at most {(RTP_PORTS_TO - RTP_PORTS_FROM) // _PORTS_A_CALL} calls, got {calls}")
    first = random.randrange(RTP_PORTS_FROM, RTP_PORTS_TO - count, 2)
    return first, first + count - 1


def is_ready(url: str) -> bool:
    """Whether ``/readyz`` there says 200."""
    try:
        with urllib.request.urlopen(url + "/readyz", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def server_pid(redis_url: str) -> int:
    """The process behind a Redis address of this machine."""
    with redis.Redis.from_url(redis_url) as client:
        return int(client.info("server")["process_id"])


def free_udp_port() -> int:
    """A UDP port of the loopback interface that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that are free now."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in sockets]
