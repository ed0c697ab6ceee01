"""Programs run to their end, with the most memory that they needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from conftest import BIN

# From a process that is small itself: what a child was before exec counts as well.
MEASURE = """
import os, sys
pid = os.fork()
if not pid:
    os.close(3)
    if sys.argv[1] != "-":
        os.setgroups([])
        os.setgid(int(sys.argv[1]))
        os.setuid(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(pid, 0)
os.write(3, b"%d %d" % (os.waitstatus_to_exitcode(status), usage.ru_maxrss // 1024))
"""


class Measured:
    """How a program ended: exit code, what it said on both descriptors, and the MiB that it had at most."""

    def __init__(self, code: int, out: bytes, err: bytes, memory: int) -> None:
        self.code, self.out, self.err, self.memory = code, out, err, memory


def measured(
    *argv: str | Path,
    place: Path,
    stdin: bytes = b"",
    envelope: bytes | None = None,
    env: Mapping[str, str] | None = None,
    user: int | None = None,
) -> Measured:
    """Run a program in the directory `place`, as `user` where root may say so.

    `envelope`: what it finds on descriptor 1; then both are files.
    """
    result = place / "measured"
    # A shell has the result on 3, which a program that is measured must not see.
    command = ["/bin/sh", "-c", 'exec "$0" "$@" 3>"$MEASURED"', sys.executable, "-IS", "-c", MEASURE]
    command += ["-" if user is None else str(user), str(BIN / argv[0]), *map(str, argv[1:])]
    environ = {"PATH": f"{BIN}:/usr/bin:/bin", "MEASURED": str(result), **(env or {})}
    if envelope is None:
        done = subprocess.run(
            command, input=stdin, capture_output=True, cwd=place, timeout=110, check=True, env=environ
        )
    else:
        (place / "stdin").write_bytes(stdin)
        (place / "envelope").write_bytes(envelope)
        with open(place / "stdin", "rb") as zero, open(place / "envelope", "rb") as one:
            done = subprocess.run(
                command, stdin=zero, stdout=one, stderr=subprocess.PIPE, cwd=place, timeout=110, check=True,
                env=environ,
            )  # fmt: skip
    code, memory = result.read_bytes().split()
    return Measured(int(code), done.stdout or b"", done.stderr, int(memory))
