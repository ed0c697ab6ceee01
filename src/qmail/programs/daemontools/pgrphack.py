"""pgrphack: run a program in a process group of its own.

Some programs signal their whole process group. Under supervise that is also the
group of supervise and svscan; with pgrphack it is theirs alone.

Usage: pgrphack PROGRAM [ARGUMENT...]

    exec pgrphack ppp-on-demand

Behaviour:
The group, and the session, are new. Where the process leads a group already,
the kernel allows no new session, and none is needed: PROGRAM is run as it is.
PROGRAM takes the place of pgrphack.

Environment: PATH, to find PROGRAM.
Runs as: anybody.
Exit codes: 100 usage; 111 PROGRAM cannot be run; else those of PROGRAM.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary, Usage
from qmail.host import execute
from qmail.host.reasons import reason

USAGE = b"pgrphack: usage: pgrphack child"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    try:
        os.setsid()
    except OSError:
        pass  # we lead a group already, which is what is wanted
    try:
        execute.replace(argv[1:], environ)
    except OSError as error:
        raise Temporary(b"unable to run " + argv[1] + b": " + reason(error)) from None
