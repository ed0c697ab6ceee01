"""preline: a program run with the lines that old mail tools expect in front of the message.

Usage: preline [-dfr] PROGRAM [ARGUMENT...]

    |preline procmail

PROGRAM gets UFLINE (From_), RPLINE (Return-Path), DTLINE (Delivered-To), and then the message, on
descriptor 0. Left out are: -f UFLINE, -r RPLINE, -d DTLINE.

Runs as: the recipient.
Exit codes: those of PROGRAM; 100 usage, a variable is missing, or PROGRAM is; 111 it crashed, or did not
read all of its input.
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
    try:
        found, command = options(argv[1:], b"dfr")
    except Wrong as wrong:
        program.say(2, b"preline: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    if not command or any(variable not in environ for _, variable in LINES):
        raise Usage(USAGE)
    left_out = [letter for letter, _ in found]
    head = b"".join(environ[variable] for letter, variable in LINES if letter not in left_out)
    return children.feed(b"preline", command, environ, head, whole=True)
