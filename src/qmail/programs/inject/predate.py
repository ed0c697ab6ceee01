"""predate: a program run with a Date line in front of its input, in local time.

Usage: predate PROGRAM [ARGUMENT...]

    predate qmail-inject < message

Behaviour:
PROGRAM reads a Date line and then the input from descriptor 0. The date is that
of this moment in the time zone of TZ. A PROGRAM that does not read all of its
input is no error.

Environment: TZ; PATH, to find PROGRAM.
Runs as: the user.
Exit codes: those of PROGRAM; 100 usage; 111 PROGRAM crashed, or cannot be run.
"""

from __future__ import annotations

import time

from qmail.formats import received
from qmail.formats.verdict import TEMPORARY, Usage
from qmail.stores import children

USAGE = b"predate: usage: predate child"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    now = int(time.time())
    head = b"Date: " + received.date(now, time.localtime(now).tm_gmtoff) + b"\n"
    return children.feed(b"predate", argv[1:], environ, head, unable=TEMPORARY)
