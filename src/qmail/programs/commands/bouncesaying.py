"""bouncesaying: bounce a message, always or if a program says so.

A program for lines of .qmail files.

Usage: bouncesaying TEXT [PROGRAM [ARGUMENT...]]

    |bouncesaying 'This address no longer accepts mail.'
    |bouncesaying 'Too large.' sh -c 'test $(wc -c) -gt 1000000'

Without PROGRAM the message bounces with TEXT.

Behaviour:
PROGRAM gets the message on descriptor 0: where it exits 0 the message bounces,
where it exits 111, or crashes, the delivery is tried again; anything else lets
the delivery go on with the next line. TEXT is what the sender is told.
Deliveries of earlier lines stay done.

Environment: PATH, to find PROGRAM; PROGRAM finds the variables of qmail-local.
Runs as: the recipient.
Exit codes: 100 bounced, or usage; 0 not bounced; 111 try again.
"""

from __future__ import annotations

from qmail.formats.verdict import PERMANENT, SUCCESS, Usage
from qmail.host import program
from qmail.stores import children

USAGE = b"bouncesaying: usage: bouncesaying error [ program [ arg ... ] ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    if len(argv) > 2 and not children.ask(argv[2:], environ):
        return SUCCESS
    # Several lines are allowed: they go into the bounce.
    program.say(2, argv[1] + b"\n")
    return PERMANENT
