"""PJSIP as a process of its own: the strictest of the foreign telephones, and an oracle for our scenarios."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from tests.interop.peers import Bench, Peer, find_peers_python, free_media_ports, free_port

AGENT = Path(__file__).with_name("pjsip_agent.py")
EVENT_S = 15.0


class Pjsip:
    """One telephone. ``await start()`` before use; see ``pjsip_agent`` for its commands and events."""

    def __init__(self, bench: Bench, *arguments: str) -> None:
        self.port = free_port()
        self._bench = bench
        self._arguments = arguments
        self._peer: Peer | None = None
        self._said: Path | None = None
        self._events: list[dict[str, Any]] = []
        self._seen = 0

    @property
    def peer(self) -> Peer:
        assert self._peer is not None, "start() comes first"
        return self._peer

    async def start(self) -> "Pjsip":
        ports = "--port", str(self.port), "--media-port", str(free_media_ports(count=8))
        self._said = self._bench.folder_for("pjsip") / "events"
        self._said.touch()
        self._peer = self._bench.start(
            "pjsip", find_peers_python(), str(AGENT), "--events", self._said, *ports, *self._arguments, stdin=True
        )
        await self.expect("ready")
        return self

    def do(self, what: str, **fields: str) -> None:
        self.peer.write(json.dumps({"do": what, **fields}))

    async def expect(self, event: str, within_s: float = EVENT_S, **fields: Any) -> dict[str, Any]:
        """The first event of this kind with these fields that was not taken yet; others stay for later."""
        deadline = time.monotonic() + within_s
        while True:
            self._read()
            for found in self._events:
                if found["event"] == event and fields.items() <= found.items():
                    self._events.remove(found)
                    return found
            if not self.peer.running or time.monotonic() > deadline:
                raise AssertionError(f"PJSIP: expected {event} {fields}, left are {self._events}\n{self.peer.tail()}")
            await asyncio.sleep(0.02)

    def _read(self) -> None:
        """Take what it has said since the last time, whole lines only."""
        assert self._said is not None, "start() comes first"
        said = self._said.read_text()
        whole = said.rfind("\n") + 1
        self._events += [json.loads(line) for line in said[self._seen : whole].splitlines()]
        self._seen = whole

    async def quit(self) -> None:
        """Let it end by itself, so that its recording is whole."""
        self.do("quit")
        code = await self.peer.ended(EVENT_S)
        assert code == 0, f"PJSIP ended with {code}\n{self.peer.tail()}"
