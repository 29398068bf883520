"""CPU time and memory of other processes, from Linux' ``/proc``."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")  # 10 ms nearly everywhere: windows of 10 s and more


def parse_cpu_ticks(stat: str) -> int:
    """User and system time from ``/proc/PID/stat`` (proc(5), fields 14 and 15), in clock ticks, all threads.

    Their sum is exact; how it is split is a guess of the kernel. The second field, the name, may
    hold blanks and brackets: the fields after it begin behind the last bracket.
    """
    fields = stat[stat.rindex(")") + 2 :].split()
    return int(fields[11]) + int(fields[12])


def parse_peak_kib(status: str) -> int:
    """The largest resident size so far (``VmHWM``) from ``/proc/PID/status``, in KiB."""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise ValueError("no VmHWM in the status: is this a kernel thread?")


def parse_machine_ticks(stat: str) -> tuple[int, int]:
    """(idle, all) ticks of the machine since its start, from the first line of ``/proc/stat``."""
    numbers = [int(number) for number in stat.splitlines()[0].split()[1:9]]  # guest time is part of user time
    return numbers[3] + numbers[4], sum(numbers)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is watched. Both readings raise OSError once it has ended."""

    name: str
    pid: int

    def cpu_s(self) -> float:
        """CPU time since its start, to 10 ms."""
        return parse_cpu_ticks(Path(f"/proc/{self.pid}/stat").read_text()) * _TICK_S

    def peak_mib(self) -> float:
        """Its largest resident size so far."""
        return parse_peak_kib(Path(f"/proc/{self.pid}/status").read_text()) / 1_024


def machine_ticks() -> tuple[int, int]:
    """(idle, all) ticks of this machine so far."""
    return parse_machine_ticks(Path("/proc/stat").read_text())


def machine_busy_s() -> float:
    """CPU time that this machine has spent so far, all cores together."""
    idle, total = machine_ticks()
    return (total - idle) * _TICK_S
