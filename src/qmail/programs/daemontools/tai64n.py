"""tai64n: put a TAI64N stamp and a blank in front of each line.

Stamps are exact, sort as text, and mean the same everywhere; tai64nlocal turns
them into something for people.

Usage: tai64n

    long-job 2>&1 | tai64n > log; tai64nlocal < log

Behaviour:
Reads descriptor 0, writes descriptor 1. A stamp is `@` and 24 hexadecimal
digits, 16 for the seconds (2 to the power of 62, plus 10, plus seconds since
1970) and 8 for the nanoseconds. It says when the first byte of the line was
read. A line that comes in pieces is passed on in pieces; an unfinished last
line stays unfinished.

Runs as: anybody.
Exit codes: 0 the end of the input; 111 reading or writing failed.
"""

from __future__ import annotations

import time

from qmail.formats import tai64n
from qmail.formats.verdict import Temporary
from qmail.host import fds


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    inside = False  # the line has its stamp already
    try:
        for chunk in fds.chunks(0):
            *lines, last = chunk.split(b"\n")
            out: list[bytes] = []
            for line in lines:
                out += (line, b"\n") if inside else (_stamp(), line, b"\n")
                inside = False
            if last:
                out += (last,) if inside else (_stamp(), last)
                inside = True
            fds.write_all(1, b"".join(out))
    except OSError:
        raise Temporary from None
    return 0


def _stamp() -> bytes:
    return tai64n.label(time.time_ns()) + b" "
