"""Other processes: who they are to the kernel, and their end."""

from __future__ import annotations

import os

from qmail.host import signals


def children(pid: int) -> list[int]:
    """The pids of a process's children; none where it is gone."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def kill(pid: int, number: int = signals.KILL) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def reaped() -> list[tuple[int, int]]:
    """Pid and raw wait status of each child that has ended since the last call."""
    ended = []
    try:
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append(child)
    except ChildProcessError:
        pass
    return ended
