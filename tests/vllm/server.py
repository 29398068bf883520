"""vLLM's own OpenAI server as a process on the loopback, and its figures."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

MODEL = "tiny"
START_S = 300.0  # 25 s on two free cores; a busy machine imports torch for minutes
STOP_S = 30.0
LOOK_EVERY_S = 0.02
# No network, no telemetry, and a cache that holds a few conversations rather than most of the memory.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "0",
}


@dataclass(frozen=True, slots=True)
class VllmServer:
    """A server that answers. ``url`` is the one of its API, with the version."""

    url: str
    process: "subprocess.Popen[bytes]"

    def figure(self, name: str) -> float:
        """The sum of a metric over its labels, as the server tells it at this moment."""
        with urlopen(f"{self.url.removesuffix('/v1')}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        found = re.findall(rf"^vllm:{name}(?:{{[^}}]*}})? (\S+)$", page, re.MULTILINE)
        assert found, f"this vLLM has no metric {name}"
        return sum(float(value) for value in found)

    def await_figure(self, name: str, holds: Callable[[float], bool], within_s: float = 30.0) -> float:
        """Wait until a metric is as it should be; raises AssertionError when it never is."""
        until = time.monotonic() + within_s
        while not holds(value := self.figure(name)):
            assert time.monotonic() < until, f"{name} is still {value}"
            time.sleep(LOOK_EVERY_S)
        return value


@contextmanager
def serving(model: Path, log: Path, context_tokens: int) -> Iterator[VllmServer]:
    """Start the server on a free port, wait until it answers, and end it and its children afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    command = ["taskset", "--cpu-list", "0", sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(model), "--served-model-name", MODEL, "--load-format", "dummy"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(context_tokens)]
    command += ["--enforce-eager", "--dtype", "float32"]  # without Triton for CPUs there is nothing to compile
    environment = os.environ | ENVIRONMENT | {"VLLM_CACHE_ROOT": str(log.parent / "vllm-cache")}
    with _other_cores(), log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            _await_health(process, port, log)
            yield VllmServer(f"http://127.0.0.1:{port}/v1", process)
        finally:
            _end(process)


@contextmanager
def _other_cores() -> Iterator[None]:
    """Keep out of the server's core.

    Its processes spin on sched_yield while they wait for each other, and on Linux 6.18 that has starved whoever shared
    a core with them for seconds.
    """
    before = os.sched_getaffinity(0)
    others = before - {0} or before
    _move(others)
    try:
        yield
    finally:
        _move(before)


def _move(cores: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)


def _await_health(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(
        f"vLLM does not answer (exit code {process.poll()}):\n{log.read_text(errors='replace')[-4_000:]}"
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """First politely; then the whole group of it, since its engine is a process of its own."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_S)
