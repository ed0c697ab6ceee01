"""envuidgid: put the numbers of an account into the environment, then run a program.

For programs that start as root and give it up by themselves later, when they
have done what only root may, such as `tcpserver -U`.

Usage: envuidgid ACCOUNT PROGRAM [ARGUMENT...]

    envuidgid qmaild tcpserver -U 0 smtp qmail-smtpd

Behaviour:
UID and GID are set to the numbers of ACCOUNT; where they were set before, the
old values go. The identity itself does not change: that is what setuidgid does.
PROGRAM takes the place of envuidgid.

Environment: UID and GID are set; PATH, to find PROGRAM.
Runs as: anybody.
Exit codes: 100 usage; 111 no such account, or PROGRAM cannot be run; else those
    of PROGRAM.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary, Usage
from qmail.host import execute
from qmail.host.reasons import reason

USAGE = b"envuidgid: usage: envuidgid account child"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 3:
        raise Usage(USAGE)
    import pwd

    try:
        entry = pwd.getpwnam(os.fsdecode(argv[1]))
    except KeyError:
        raise Temporary(b"unknown account " + argv[1]) from None
    kept = {name: value for name, value in environ.items() if name not in (b"GID", b"UID")}
    try:
        execute.replace(argv[2:], kept | {b"GID": b"%d" % entry.pw_gid, b"UID": b"%d" % entry.pw_uid})
    except OSError as error:
        raise Temporary(b"unable to run " + argv[2] + b": " + reason(error)) from None
