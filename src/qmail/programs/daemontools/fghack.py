"""fghack: keep a program in the foreground that puts itself into the background.

supervise must know when a service ends. A program that forks and lets its first
process exit looks as if it had ended. An option of the program that keeps it in
the foreground is always better; fghack is for those that have none.

Usage: fghack PROGRAM [ARGUMENT...]

    exec fghack somed -f /etc/somed.conf

Behaviour:
PROGRAM runs with 31 more descriptors than it needs, all of them one end of a
pipe. fghack ends when PROGRAM has ended and no process has that end open any
more. A program that closes all descriptors it does not know cannot be kept.
Signals that supervise sends reach fghack, and not the process in the
background: `svc -d` does not end that.

Environment: PATH, to find PROGRAM.
Runs as: anybody.
Exit codes: 100 usage; 111 PROGRAM cannot be run, or was ended by a signal
    (`child crashed`); else those of PROGRAM.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary, Usage
from qmail.host import execute, fds, program
from qmail.host.reasons import reason

USAGE = b"fghack: usage: fghack child"
COPIES = 30  # descriptors to the pipe


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    step = b"create pipe"
    try:
        reader, writer = os.pipe()
        step = b"fork"
        pid = os.fork()
    except OSError as error:
        raise Temporary(b"unable to " + step + b": " + reason(error)) from None
    if not pid:
        os._exit(program.ended(argv[0], lambda: _become(argv[1:], environ, (reader, writer))))
    os.close(writer)
    for _ in fds.chunks(reader):
        pass  # what is written there is nothing to us
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code < 0:
        raise Temporary(b"child crashed")
    return code


def _become(words: list[bytes], environ: dict[bytes, bytes], pipe: tuple[int, int]) -> int:
    os.close(pipe[0])
    os.set_inheritable(pipe[1], True)
    for _ in range(COPIES):
        os.set_inheritable(os.dup(pipe[1]), True)
    try:
        execute.replace(words, environ)
    except OSError as error:
        raise Temporary(b"unable to run " + words[0] + b": " + reason(error)) from None
