"""What the machine spent: CPU of everything but the load, context switches, forks, memory."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


class Counters:
    """The machine's counters at one moment."""

    def __init__(self) -> None:
        fields = dict(line.split(" ", 1) for line in Path("/proc/stat").read_text().splitlines())
        cpu = [int(word) for word in fields["cpu"].split()]
        busy = sum(cpu[:3]) + sum(cpu[5:8])  # user, nice, system, irq, softirq, steal
        load = resource.getrusage(resource.RUSAGE_CHILDREN)
        us = resource.getrusage(resource.RUSAGE_SELF)
        self.cpu = busy / TICK - load.ru_utime - load.ru_stime - us.ru_utime - us.ru_stime
        self.switches = int(fields["ctxt"])
        self.forks = int(fields["processes"])
        self.when = time.time()


def processes_of(session_leaders: list[int]) -> list[int]:
    """Every process that descends from one of these, or shares a session with one that does."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(name)] = int(fields[1])
    found = set(session_leaders)
    for _ in range(20):
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            break
        found |= more
    return sorted(found & set(parents))


def proportional_memory(pids: list[int]) -> float:
    """PSS of these processes in MiB."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total / 1024
