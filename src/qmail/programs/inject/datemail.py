"""datemail: sendmail with a Date line in local time.

qmail-inject writes dates in universal time; with this one your own clock is
shown.

Usage: datemail [SENDMAIL-OPTION...] [RECIPIENT...]

    datemail -t < message

Behaviour:
It is `predate sendmail`, with the same arguments.

Environment: TZ; see sendmail.
Runs as: the user.
Exit codes: those of predate and sendmail.
"""

from __future__ import annotations

from qmail.formats.verdict import Temporary
from qmail.host import execute
from qmail.host.reasons import reason
from qmail.stores import home


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    place = home.find(argv[0], environ)
    first = place.program(b"predate")
    try:
        execute.replace([first, place.program(b"sendmail"), *argv[1:]], environ)
    except OSError as error:
        raise Temporary(b"unable to run " + first + b": " + reason(error)) from error
