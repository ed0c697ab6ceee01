"""A process whose nth call of a kind goes wrong: which calls, with which errors, and how they are counted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ALL = os.environ.get("PYQMAIL_PROVE") == "all"
SHORTENING = Path(__file__).with_name("shortening.py")

CHANGING = (
    "openat", "write", "writev", "pwrite64", "fsync", "fdatasync", "syncfs", "ftruncate", "linkat", "unlink", "rename",
    "mkdir", "utimensat",
)  # fmt: skip
MAKING = ("openat", "write", "writev", "pwrite64", "fsync", "fdatasync", "syncfs", "linkat", "rename", "mkdir")
NAMING = ("openat", "linkat", "unlink", "rename", "mkdir", "ftruncate", "utimensat")
TALKING = ("connect", "sendto", "recvfrom", "sendmsg", "recvmsg", "accept4", "read")
DESCRIBING = ("openat", "socket", "socketpair", "pipe2", "accept4", "dup", "dup2", "eventfd2", "epoll_create1")
# What goes wrong, to the calls that it can happen to.
CALLS = {
    "KILL": (*CHANGING, *TALKING, "newfstatat", "flock", "fcntl"),
    "EIO": (*CHANGING, *TALKING, "newfstatat", "flock", "fcntl", "close"),
    "ENOSPC": MAKING,
    "EDQUOT": MAKING,
    "EROFS": NAMING,
    "EMFILE": DESCRIBING,
    "ENFILE": DESCRIBING,
    "ENOMEM": ("clone", "clone3", "fork", "vfork", "mmap", "openat", "socket"),
    "SHORT": ("write", "writev", "pwrite64", "sendto"),
}
ALWAYS = ("KILL", "EIO", "ENOSPC")  # at every call, in `make prove`
NIGHTLY = tuple(error for error in CALLS if error not in ALWAYS)  # there at some of them, in `make prove-all` at all
Visit = tuple[str, int]  # a call, and which one of its kind


def injection(error: str, call: str, nth: int) -> list[str]:
    """The words for strace that make it so."""
    how = "signal=KILL" if error == "KILL" else f"error={error}"
    return ["-e", f"trace={call}", "-e", f"inject={call}:{how}:when={nth}"]


def struck(output: Path, error: str, call: str, nth: int) -> list[str]:
    """The words in front of a command whose nth call is to go wrong."""
    if error == "SHORT":
        return [sys.executable, str(SHORTENING), str(output), call, str(nth)]
    return ["strace", "-qq", "-o", str(output), *injection(error, call, nth)]


@contextmanager
def failing(pid: int, output: Path, error: str, call: str, nth: int, *, children: bool = True) -> Iterator[None]:
    """The nth such call of a running process goes wrong; and of each of its children to come."""
    if error == "SHORT":
        words = [sys.executable, str(SHORTENING), str(output), call, str(nth), "-p", str(pid)]
    else:
        words = ["strace", *(["-f"] if children else []), "-p", str(pid), "-o", str(output)]
        words += injection(error, call, nth)
    with _tracing(words):
        yield


@contextmanager
def watched(pid: int, output: Path) -> Iterator[None]:
    """Nothing goes wrong; `visits` tells what was called."""
    kinds = {call for calls in CALLS.values() for call in calls}
    with _tracing(["strace", "-p", str(pid), "-o", str(output), "-e", f"trace={','.join(f'?{one}' for one in kinds)}"]):
        yield


@contextmanager
def _tracing(words: list[str]) -> Iterator[None]:
    tracer = subprocess.Popen(words, stderr=subprocess.PIPE)
    assert tracer.stderr
    line = tracer.stderr.readline()
    assert b"attached" in line, line
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
        tracer.stderr.close()


def injected(output: Path) -> bool:
    """Was there such a call?"""
    return output.exists() and "(INJECTED)" in output.read_text()


def visits(output: Path, error: str, since: str = "") -> list[Visit]:
    """Every call in a recording that this can happen to, from the first line that has `since` in it.

    Of writes that can be short, how many there are shows only when they are tried: the first of each kind.
    """
    found: list[Visit] = []
    count: Counter[str] = Counter()
    begun = not since
    for line in output.read_text().splitlines():
        call = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if call:
            count[call[1]] += 1
            begun = begun or since in line
            if begun and call[1] in CALLS[error]:
                found.append((call[1], count[call[1]]))
    return list({call: (call, 1) for call, _ in found}.values()) if error == "SHORT" else found
