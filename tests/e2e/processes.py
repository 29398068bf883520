"""Run ``twowire`` as its users do: processes of their own, found by what they print, ended by PID."""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

AUTH_TOKEN = "auth-token-of-the-tests"
API_TOKEN = "api-token-of-the-tests"
START_S = 60.0
STOP_S = 20.0


class Running:
    """One process and all that it wrote to stderr."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.written = ""

    async def until(self, pattern: str) -> re.Match[str]:
        """Read on until a line matches; fails with all that was written when the process ends before."""
        assert self.process.stderr is not None
        async with asyncio.timeout(START_S):
            while True:
                line = (await self.process.stderr.readline()).decode()
                self.written += line
                if match := re.search(pattern, line):
                    return match
                assert line, f"ended without {pattern!r}:\n{self.written}"

    async def stop(self) -> int:
        """SIGTERM, then as ``ended``."""
        if self.process.returncode is None:
            self.process.terminate()
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end, by itself or killed when it takes too long; the exit code."""
        try:
            async with asyncio.timeout(STOP_S):
                _, rest = await self.process.communicate()
        except TimeoutError:
            self.process.kill()
            _, rest = await self.process.communicate()
        self.written += rest.decode() if rest else ""
        code = self.process.returncode
        assert code is not None
        return code


@asynccontextmanager
async def twowire(*arguments: str, **settings: str) -> AsyncIterator[Running]:
    """``twowire ARGUMENTS`` with ``TWOWIRE_`` settings; stopped at the end of the block, whatever happens."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TWOWIRE_")}
    environment |= {f"TWOWIRE_{name.upper()}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "twowire", *arguments, env=environment, stderr=asyncio.subprocess.PIPE
    )
    running = Running(process)
    try:
        yield running
    finally:
        await running.stop()


async def place_call(url: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """``twowire call`` on the gateway at ``url``: its exit code, and the object that it prints."""
    tokens = ("--auth-token", AUTH_TOKEN, "--api-token", API_TOKEN)
    command = (sys.executable, "-m", "twowire", "call", "--url", url, *tokens, "--json", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    try:
        out, trouble = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert out, trouble.decode()
    code = process.returncode
    assert code is not None
    result: dict[str, Any] = json.loads(out)
    return code, result
