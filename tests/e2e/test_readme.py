"""The README's commands do what the README says."""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines() if line]
WAIT_S = 300.0  # `make demo` may have to make the environment first

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Demo:
    url: str
    sip_port: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    """``make demo`` as written, but on ports of its own."""
    port, sip_port = str(free_port()), str(free_port())
    process = await asyncio.create_subprocess_exec(
        *shlex.split(COMMANDS[0]),
        cwd=ROOT,
        env={**os.environ, "TWOWIRE_PORT": port, "TWOWIRE_SIP_PORT": sip_port},
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    written = b""
    try:
        async with asyncio.timeout(WAIT_S):
            while b"Ctrl-C ends it" not in written:
                line = await process.stdout.readline()
                assert line, written.decode()
                written += line
        yield Demo(f"http://127.0.0.1:{port}", sip_port)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        async with asyncio.timeout(30):
            await process.communicate()


async def run(command: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_shell(command, cwd=ROOT, stdout=PIPE, stderr=STDOUT)
    async with asyncio.timeout(WAIT_S):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


def test_the_readme_shows_the_commands_of_a_newcomer():
    assert COMMANDS[:4] == [
        "make demo",
        '.venv/bin/twowire call --say "What are your opening hours?"',
        '.venv/bin/twowire call sip:agent@127.0.0.1:5060 --say "What are your opening hours?"',
        "make test",
    ]
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("command", COMMANDS[1:3], ids=["twilio", "sip"])
async def test_the_demo_answers_the_question_of_the_readme(demo: Demo, command: str, tmp_path: Path):
    recording = tmp_path / "call.wav"
    command = command.replace(":5060", f":{demo.sip_port}")
    code, output = await run(f"{command} --url {demo.url} --json --record {recording}")
    assert code == 0, output
    call = json.loads(output.splitlines()[-1])
    heard = " ".join(entry["heard"] or "" for entry in call["record"]["transcript"] if entry["voice"] == "agent")
    assert "automated assistant" in heard
    assert "eight in the morning until six in the evening" in heard
    agent = call["timeline"]["agent"]
    assert len(agent) >= 2  # the greeting, and the answer
    assert recording.stat().st_size > 32_000 * agent[-1]["end_s"] * 0.9


@pytest.mark.parametrize(
    "command", sorted({match for line in COMMANDS for match in re.findall(r"twowire (\w+)", line)})
)
async def test_every_command_in_the_readme_explains_itself(command: str):
    code, output = await run(f".venv/bin/twowire {command} --help")
    assert code == 0
    assert output.startswith("Usage: twowire " + command)


async def test_every_option_the_readme_names_exists():
    options = set(re.findall(r"`(--[a-z-]+)", README))
    helps = [await run(f".venv/bin/twowire {command} --help") for command in ("call", "serve", "worker", "demo")]
    known = {option for _, output in helps for option in re.findall(r"--[a-z-]+", output)}
    assert options <= known
