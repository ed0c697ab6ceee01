"""delcr: take the CR at the end of each line out.

The opposite of addcr.

Usage: delcr

    tcpcat ftp.example.org 21 | delcr

Behaviour:
One CR in front of each LF of standard input goes; every other CR stays, as does
an unfinished last line.

Runs as: whoever started it.
Exit codes: 0; 111 reading or writing failed.
"""

from __future__ import annotations

from qmail.formats.carriage import Removed
from qmail.formats.verdict import Temporary
from qmail.host import pump


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        pump.copy(0, 1, Removed())
    except OSError as error:
        raise Temporary from error
    return 0
