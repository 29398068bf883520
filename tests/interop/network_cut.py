"""Cut what goes to and from one process, as a cable that is pulled: its UDP and its TCP, for a while. Needs root."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path

from tests.interop.peers import find_peer

_COMMENT = "twowire-tests"


def may_cut() -> bool:
    """Whether this user may change the rules of the kernel's filter."""
    return os.geteuid() == 0


@asynccontextmanager
async def cut_off(pid: int, tcp_port: int) -> AsyncIterator[None]:
    """Within the block nothing comes or goes: the UDP ports that the process has now, and its TCP port.

    It opens no new UDP ports meanwhile, for nobody can ask it to. The rules name ports of that process only.
    """
    ports = [("udp", port) for port in udp_ports(pid)] + [("tcp", tcp_port)]
    rules = list(product(("iptables", "ip6tables"), ports, ("--sport", "--dport")))
    for family, (kind, port), end in rules:
        await _rule("-I", family, kind, port, end)
    try:
        yield
    finally:
        for family, (kind, port), end in rules:
            await _rule("-D", family, kind, port, end)


def udp_ports(pid: int) -> set[int]:
    """The local ports of a process's UDP sockets, from Linux' ``/proc``."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = entry.readlink().name
        except OSError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    for table in ("udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


async def _rule(action: str, family: str, kind: str, port: int, end: str) -> None:
    # Each packet of this machine to itself passes INPUT once, from whichever end it comes.
    comment = ("-m", "comment", "--comment", _COMMENT)
    command = (find_peer(family), "-w", action, "INPUT", "-p", kind, end, str(port), *comment, "-j", "DROP")
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
