"""preline: run a program with the lines that old mail tools expect before a message.

A program for lines of .qmail files.

Usage: preline [-dfr] PROGRAM [ARGUMENT...]

    |preline procmail

    -f  leave UFLINE out, the From_ line of an mbox
    -r  leave RPLINE out, the Return-Path field
    -d  leave DTLINE out, the Delivered-To field

Behaviour:
PROGRAM gets the three lines, in this order, and then the message, on descriptor
0. A PROGRAM that exits 0 without having read all of it is an error.

Environment: UFLINE, RPLINE, DTLINE, set by qmail-local; PATH, to find PROGRAM.
Runs as: the recipient.
Exit codes: those of PROGRAM; 100 usage, a variable is missing, or PROGRAM is;
    111 it crashed, or did not read all of its input.
"""

from __future__ import annotations

from qmail.formats.options import Wrong, options
from qmail.formats.verdict import Usage
from qmail.host import program
from qmail.stores import children

USAGE = b"preline: usage: preline cmd [ arg ... ]"
LINES = ((b"f", b"UFLINE"), (b"r", b"RPLINE"), (b"d", b"DTLINE"))


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if any(variable not in environ for _, variable in LINES):
        raise Usage(USAGE)
    try:
        found, command = options(argv[1:], b"dfr")
    except Wrong as wrong:
        program.say(2, b"preline: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    if not command:
        raise Usage(USAGE)
    left_out = [letter for letter, _ in found]
    head = b"".join(environ[variable] for letter, variable in LINES if letter not in left_out)
    return children.feed(b"preline", command, environ, head, whole=True)
