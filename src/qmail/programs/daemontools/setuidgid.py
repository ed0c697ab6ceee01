"""setuidgid: become an account, then run a program.

Usage: setuidgid ACCOUNT PROGRAM [ARGUMENT...]

    setuidgid qmaill multilog t /var/log/qmail/smtpd

The uid and gid of ACCOUNT are taken on, supplementary groups are given up, and PROGRAM takes the
place of setuidgid.

Runs as: root.
Exit codes: 100 usage; 111 no such account, or the system refuses; else those of PROGRAM.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary, Usage
from qmail.host import execute, identity
from qmail.host.reasons import reason

USAGE = b"setuidgid: usage: setuidgid account child"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 3:
        raise Usage(USAGE)
    import pwd

    try:
        entry = pwd.getpwnam(os.fsdecode(argv[1]))
    except KeyError:
        raise Temporary(b"unknown account " + argv[1]) from None
    try:
        identity.become(entry.pw_uid, entry.pw_gid)
    except OSError as error:
        step = os.fsencode(error.filename or "become " + os.fsdecode(argv[1]))
        raise Temporary(b"unable to " + step + b": " + reason(error)) from None
    try:
        execute.replace(argv[2:], environ)
    except OSError as error:
        raise Temporary(b"unable to run " + argv[2] + b": " + reason(error)) from None
