"""except: the opposite of what a program says.

A program for lines of .qmail files.

Usage: except PROGRAM [ARGUMENT...]

    |bouncesaying 'Not from here.' except grep -q '^From: .*@example.org'

Behaviour:
PROGRAM runs with the same descriptors and environment. Where it exits 0, except
fails for good, and where it exits anything but 0 and 111, except succeeds.

Environment: PATH, to find PROGRAM.
Runs as: the recipient.
Exit codes: 100 PROGRAM exited 0, or usage; 111 it exited 111, or crashed; 0 it
    exited anything else.
"""

from __future__ import annotations

from qmail.formats.verdict import PERMANENT, SUCCESS, Usage
from qmail.stores import children

USAGE = b"except: usage: except program [ arg ... ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    return PERMANENT if children.ask(argv[1:], environ) else SUCCESS
