"""setlock: hold a lock on a file while a program runs.

With one lock file for all of its copies, a job that cron starts every minute
never runs twice at once.

Usage: setlock [-nNxX] FILE PROGRAM [ARGUMENT...]

    setlock -nx /run/backup.lock backup-everything

    -n  do not wait: somebody else's lock is an error
    -N  wait until the lock is free (default)
    -x  where there is no lock to be had, end silently with 0
    -X  say why, and end with 111 (default)

Behaviour:
FILE is made where it is missing, with mode 600; what is in it stays. The lock
is one of flock(2). PROGRAM takes the place of setlock and inherits FILE, open
for writing, as the lowest free descriptor: the lock lasts until PROGRAM, and
every process that it gave the descriptor to, has ended or closed it.

Environment: PATH, to find PROGRAM.
Runs as: anybody who may write to FILE.
Exit codes: 100 usage; 111 FILE cannot be opened or locked (without -x), or
    PROGRAM cannot be run; 0 no lock, with -x; else those of PROGRAM.
"""

from __future__ import annotations

import fcntl
import os

from qmail.formats.options import Wrong, options
from qmail.formats.verdict import Temporary, Usage
from qmail.host import execute, program
from qmail.host.reasons import reason

USAGE = b"setlock: usage: setlock [ -nNxX ] file program [ arg ... ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    waits, silent = True, False
    try:
        found, words = options(argv[1:], b"nNxX")
    except Wrong as wrong:
        program.say(2, b"setlock: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    for letter, _ in found:
        waits = letter == b"N" if letter in (b"n", b"N") else waits
        silent = letter == b"x" if letter in (b"x", b"X") else silent
    if len(words) < 2:
        raise Usage(USAGE)
    step = b"open "
    try:
        descriptor = os.open(words[0], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o600)
        os.set_inheritable(descriptor, True)
        step = b"lock "
        fcntl.flock(descriptor, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if silent:
            return 0
        raise Temporary(b"unable to " + step + words[0] + b": " + reason(error)) from None
    try:
        execute.replace(words[1:], environ)
    except OSError as error:
        raise Temporary(b"unable to run " + words[1] + b": " + reason(error)) from None
