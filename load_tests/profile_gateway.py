"""``python -m load_tests.profile_gateway``: where the gateway's CPU goes, under the load of load_tests.twilio.

py-spy samples the gateway from outside, native frames included. It samples running threads by the
wall clock, so a gateway that waits for its core would look busy where it was interrupted: the
gateway therefore gets a core of its own, and everybody else the others.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from load_tests.command import end_cleanly_when_told
from load_tests.figures import ms_per_call_second, table
from load_tests.generator import Plan
from load_tests.stack import Stack, StackError
from load_tests.twilio import measure
from wire.bus.embedded import EmbeddedValkeyError

SAMPLES_A_SECOND = 100  # each stops the gateway for about a millisecond: native stacks need it
_START_S = 2.0  # py-spy reads the symbols of all libraries before its first sample
_STOP_WITHIN_S = 30.0

PARTS: tuple[tuple[str, str], ...] = (
    ("kernel: waiting for sockets", r"^(epoll_\w+|ppoll|poll|select) \(libc"),
    ("kernel: reading sockets", r"^(read|readv|recv|recvfrom|recvmsg) \(libc"),
    ("kernel: writing sockets", r"^(write|writev|send|sendto|sendmsg) \(libc"),
    ("Twilio door: messages, clock", r"\(gateway/twilio/"),
    ("Twilio door: socket shells", r"\(gateway/transports/"),
    ("runner: sessions, ticker", r"\(gateway/runner/"),
    ("call core: call, turns, playout", r"\(gateway/(call|turn/|effects|events|seams)"),
    ("voice detection (webrtcvad)", r"webrtcvad|\(_webrtcvad"),
    ("wire: codec and messages", r"\(wire/(codec|messages|audio/|ids)"),
    ("wire: bus over Redis", r"\(wire/bus/"),
    ("redis-py, hiredis", r"\((redis|hiredis)/|hiredis"),
    ("msgspec (JSON, MessagePack)", r"\(msgspec/|msgspec/_core"),
    ("picows", r"\(picows/|picows"),
    ("uvloop, libuv", r"\(uvloop/|\(loop\.c|uv__|libuv|uvloop"),
    ("asyncio", r"\(asyncio/"),
    ("metrics (prometheus-client)", r"\(prometheus_client/"),
    ("HTTP (aiohttp)", r"\(aiohttp/"),
)
"""A sample belongs to the part of the innermost frame that one of these fits."""
OTHER = "other"
_COMPILED = tuple((name, re.compile(pattern)) for name, pattern in PARTS)


def folded(text: str) -> Iterator[tuple[list[str], int]]:
    """py-spy's raw output: ``frame;frame;frame count``, outermost first."""
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if count.isdecimal():
            yield stack.split(";"), int(count)


def part_of(frames: list[str]) -> str:
    """The part of the gateway that a sample falls into."""
    for frame in reversed(frames):
        for name, pattern in _COMPILED:
            if pattern.search(frame):
                return name
    return OTHER


def function_of(frames: list[str]) -> str:
    """The innermost frame without its line number."""
    return re.sub(r":\d+\)$", ")", frames[-1])


def profile_table(samples: Iterable[tuple[list[str], int]], cost_ms: float, functions: int) -> str:
    """Parts and the dearest functions; ``cost_ms`` (ms of CPU per call-second) is shared out by samples."""
    parts: Counter[str] = Counter()
    leaves: Counter[str] = Counter()
    for frames, count in samples:
        parts[part_of(frames)] += count
        leaves[function_of(frames)] += count
    total = parts.total()
    if total == 0:
        return "no samples"

    def rows(counted: list[tuple[str, int]]) -> list[tuple[str, str]]:
        return [(name, f"{count / total:6.1%}  {cost_ms * count / total:.3f}") for name, count in counted]

    head = [("part", " share  ms per call-second")]
    middle = [("", ""), ("function, alone", "")]
    return table(head + rows(parts.most_common()) + middle + rows(leaves.most_common(functions)))


def pin(pid: int, cores: set[int]) -> None:
    """Keep all threads of a process on some cores."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--calls", type=click.IntRange(1, 5_000), default=400, show_default=True)
@click.option("--seconds", type=click.IntRange(5, 600), default=15, show_default=True)
@click.option("--every-chunks", type=click.IntRange(5), default=7, show_default=True)
@click.option("--answer-ms", type=click.IntRange(20, 60_000), default=1_200, show_default=True)
@click.option("--functions", type=click.IntRange(0), default=25, show_default=True, help="How many to list.")
@click.option("--py-spy", default="py-spy", show_default=True, help="The program.")
def main(calls: int, seconds: int, every_chunks: int, answer_ms: int, functions: int, py_spy: str) -> None:
    """Profile the gateway under load. Needs py-spy and the right to trace (root, or ptrace_scope 0)."""
    end_cleanly_when_told()
    program = shutil.which(py_spy)
    if program is None:
        raise click.ClickException(f"{py_spy} is not here; pip install py-spy, or name it with --py-spy")
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        raise click.ClickException("a profile needs two cores, one of them for the gateway alone")
    own_core = {min(cores)}
    profilers: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="twowire-profile-") as directory:
        output = Path(directory) / "stacks"
        try:
            with Stack(calls, answer_ms) as stack:
                gateway = stack.processes[0]
                os.sched_setaffinity(0, cores - own_core)
                for process in stack.processes:
                    pin(process.pid, own_core if process is gateway else cores - own_core)

                def begin() -> None:
                    command = [program, "record", "--pid", str(gateway.pid), "--native", "--format", "raw"]
                    command += ["--rate", str(SAMPLES_A_SECOND), "--duration", str(seconds), "--output", str(output)]
                    profilers.append(subprocess.Popen(command, stdout=sys.stderr))

                plan = Plan(stack.gateway_url, calls, seconds + _START_S, every_chunks, answer_ms)
                try:
                    observed = measure(plan, stack.auth_token, stack.processes, begin)
                finally:
                    for profiler in profilers:
                        end(profiler)
        except (StackError, EmbeddedValkeyError) as error:
            raise click.ClickException(str(error)) from None
        if not output.exists():
            raise click.ClickException("py-spy wrote nothing; what it said stands above")
        samples = list(folded(output.read_text()))
    cost_ms = ms_per_call_second(observed.cpu_s["gateway"], max(1, observed.calls_up), observed.window_s)
    print(f"{observed.calls_up} calls, gateway {cost_ms:.3f} ms of CPU per call-second while being sampled\n")
    print(profile_table(samples, cost_ms, functions))


def end(profiler: subprocess.Popen[bytes]) -> None:
    """Let a profiler finish, or make it."""
    try:
        profiler.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        profiler.kill()
        profiler.wait()


if __name__ == "__main__":
    main()
