"""A kernel that refuses: calls of running processes fail with an error of our choice, until we stop it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def refusing(pids: Sequence[int], calls: str, error: str, when: str = "1+", path: Path | None = None) -> Iterator[None]:
    """These `calls` (commas between) of these processes, and of what they start, fail with `error`.

    `when`: which of them, as strace(1) has it. `path`: only those on this file.
    """
    words = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:error={error}:when={when}",
    ]
    if path is not None:
        words += ["-P", str(path)]
    for pid in pids:
        words += ["-p", str(pid)]
    tracer = subprocess.Popen(words, stderr=subprocess.PIPE)
    assert tracer.stderr
    try:
        for _ in pids:
            line = tracer.stderr.readline()
            while b"Requested path" in line:
                line = tracer.stderr.readline()
            assert b"attached" in line, line
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
        tracer.stderr.close()
