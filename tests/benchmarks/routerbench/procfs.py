"""What processes have used, as the kernel counts it: CPU time and memory, from /proc.

The kernel of most machines counts what it does for a process (system calls, and on loopback the receiving of what is
sent) as the process's own, so that a core on which only a router runs is as busy as the router.
"""

import os
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12
"""Places of utime and stime behind the name in /proc/PID/stat."""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of those it has started and that run, in user mode and in the kernel."""
    return sum(seconds_of_stat(Path(f"/proc/{member}/stat").read_text()) for member in family(pid))


def seconds_of_stat(stat: str) -> float:
    """The CPU time that a line of /proc/PID/stat tells. The name may hold spaces and brackets."""
    fields = stat[stat.rindex(")") + 1 :].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS


def memory_mb(pid: int) -> float:
    """Memory that a process and those it has started hold now (VmRSS), in units of 2^20 bytes."""
    return sum(mb_of_status(Path(f"/proc/{member}/status").read_text()) for member in family(pid))


def mb_of_status(status: str) -> float:
    """The resident memory that /proc/PID/status tells."""
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def family(pid: int) -> list[int]:
    """A process, its children and theirs."""
    found = [pid]
    for member in found:
        for task in Path(f"/proc/{member}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found
