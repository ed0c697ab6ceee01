"""A running process whose nth call of a kind goes wrong."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def failing(pid: int, output: Path, call: str, how: str, nth: int) -> Iterator[None]:
    """The nth such call of a running process goes wrong."""
    words = [
        "strace",
        "-f",
        "-p",
        str(pid),
        "-o",
        str(output),
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:{how}:when={nth}",
    ]
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
    return "(INJECTED)" in output.read_text()
