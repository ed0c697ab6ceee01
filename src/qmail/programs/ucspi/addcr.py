"""addcr: put a CR at the end of each line.

For talking by hand to servers that want CR LF.

Usage: addcr

    (echo NOOP; echo QUIT) | addcr | somewhere

Behaviour:
Every LF of standard input gets a CR in front, also where one stands there
already; everything else passes unchanged. An unfinished last line stays
unfinished.

Runs as: whoever started it.
Exit codes: 0; 111 reading or writing failed.
"""

from __future__ import annotations

from qmail.formats.carriage import Added
from qmail.formats.verdict import Temporary
from qmail.host import pump


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        pump.copy(0, 1, Added())
    except OSError as error:
        raise Temporary from error
    return 0
