"""bouncesaying: the message bounced, perhaps only if a program says so, from a line of a .qmail file.

Usage: bouncesaying TEXT [PROGRAM [ARGUMENT...]]

    |bouncesaying 'This address no longer accepts mail.'

Without PROGRAM the message bounces with TEXT. PROGRAM gets the message on descriptor 0: where it exits
0 the message bounces, where it exits 111 the delivery is tried again; anything else lets the delivery
go on.

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
