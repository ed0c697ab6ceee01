"""tai64nlocal: turn TAI64N stamps at the start of lines into local time.

For people who read what multilog or tai64n wrote.

Usage: tai64nlocal

    tai64nlocal < /var/log/qmail/smtpd/current | less

    @4000000037c219bf2ef02e94 hello    becomes
    1999-08-24 04:04:05.787492500 hello

Behaviour:
Reads descriptor 0, writes descriptor 1. Lines without a stamp pass unchanged,
and so does a stamp that names no time. A stamp that the end of the input cuts
short is not written.

Environment: TZ says what is local.
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
    waiting = b""  # the start of a line that may still become a stamp
    inside = False  # the start of the line has been written
    try:
        for chunk in fds.chunks(0):
            *lines, last = (waiting + chunk).split(b"\n")
            out: list[bytes] = []
            for line in lines:
                out += (line if inside else local(line), b"\n")
                inside = False
            waiting = b"" if inside or not undecided(last) else last
            if last and not waiting:
                out.append(last if inside else local(last))
                inside = True
            fds.write_all(1, b"".join(out))
    except OSError:
        raise Temporary from None
    return 0


def undecided(line: bytes) -> bool:
    """May more bytes still make a stamp of this start of a line?"""
    return line[:1] == b"@" and len(line) <= 1 + tai64n.DIGITS and tai64n.HEXADECIMAL.issuperset(line[1:])


def local(line: bytes) -> bytes:
    """The line with local time in place of its stamp."""
    when = tai64n.leading(line)
    if when is None:
        return line
    seconds, nanoseconds = when
    try:
        moment = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return line
    stamp = b"%d-%02d-%02d %02d:%02d:%02d.%09d" % (*moment[:6], nanoseconds)
    return stamp + line[1 + tai64n.DIGITS :]
