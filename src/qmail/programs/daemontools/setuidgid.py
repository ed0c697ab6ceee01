"""setuidgid: become an account, then run a program.

In a run script it is how a service that root starts gives root up.

Usage: setuidgid ACCOUNT PROGRAM [ARGUMENT...]

    exec setuidgid qmaill multilog t /var/log/qmail/smtpd

Behaviour:
The supplementary groups are reduced to the group of ACCOUNT, then its gid and
its uid are taken on; none of them can be taken back. ACCOUNT is a user's name,
never a group's. The environment (HOME, USER) stays as it is. PROGRAM takes the
place of setuidgid, and is not run unless all of this has worked.

Environment: PATH, to find PROGRAM.
Runs as: root.
Exit codes: 100 usage; 111 no such account, or the system refuses, or PROGRAM
    cannot be run; else those of PROGRAM.
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
        raise Temporary(b"unknown account " + argv[1] + _perhaps_group(argv[1])) from None
    try:
        identity.become(entry.pw_uid, entry.pw_gid)
    except OSError as error:
        step = os.fsencode(error.filename or "become " + os.fsdecode(argv[1]))
        raise Temporary(b"unable to " + step + b": " + reason(error)) from None
    try:
        execute.replace(argv[2:], environ)
    except OSError as error:
        raise Temporary(b"unable to run " + argv[2] + b": " + reason(error)) from None


def _perhaps_group(name: bytes) -> bytes:
    # A group in an account's place is a common slip, and the service would fail every second.
    import grp

    try:
        grp.getgrnam(os.fsdecode(name))
    except KeyError:
        return b""
    return b" (there is a group of this name)"
