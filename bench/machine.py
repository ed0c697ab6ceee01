"""What a server spent: CPU of its control group, and of the machine context switches, forks, disk flushes, memory."""

from __future__ import annotations

import os
import time
from pathlib import Path

from disks import flushes


class Group:
    """A control group that a server runs in, for its CPU time alone (cpuacct, or version 2)."""

    def __init__(self, name: str) -> None:
        old = Path("/sys/fs/cgroup/cpuacct")
        self._old = old.is_dir()
        self.path = (old if self._old else Path("/sys/fs/cgroup")) / f"pyqmail-bench-{name}"

    def enter(self) -> None:
        """Between fork and exec: this process and its children belong to the group."""
        self.path.mkdir(exist_ok=True)
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def cpu(self) -> float:
        """Seconds."""
        if self._old:
            return int((self.path / "cpuacct.usage").read_text()) / 1e9
        return int((self.path / "cpu.stat").read_text().split()[1]) / 1e6


class Counters:
    """The counters at one moment."""

    def __init__(self, group: Group, place: Path) -> None:
        self.flushes = flushes(place)
        fields = dict(line.split(" ", 1) for line in Path("/proc/stat").read_text().splitlines())
        self.cpu = group.cpu()
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
