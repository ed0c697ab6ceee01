"""recordio: run a program, and show its conversation on descriptor 2.

For seeing what a client and a server really say to each other.

Usage: recordio PROGRAM [ARGUMENT...]

    tcpserver 0 smtp recordio qmail-smtpd

    14871 > 220 mail.example.org ESMTP +
    14871 < HELO me

Behaviour:
Each line shown begins with the process id of PROGRAM and `<` for input or `>`
for output. It ends with a blank where the line ended, with `+` where only the
packet did, and is `[EOF]` at the end. A packet of more than 256 bytes is shown
in pieces, each written at once, so that lines of several conversations do not
mix. Passwords are shown as everything else is. The program's own bytes pass
unchanged.

PROGRAM takes the place of recordio; a child of it copies, and ends with the
output of PROGRAM.

Runs as: whoever started it.
Exit codes: 100 usage; 111 PROGRAM cannot be run; else those of PROGRAM.
"""

from __future__ import annotations

import os

from qmail.formats.carriage import Kept
from qmail.formats.verdict import Temporary, Usage
from qmail.host.program import say
from qmail.host.pump import Flow, relay, stand_between
from qmail.host.reasons import reason

USAGE = b"recordio: usage: recordio program [ arg ... ]"
PIECE = 256  # bytes shown in one line


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    pid = b"%d" % os.getpid()

    def copy(to: int, from_: int) -> None:
        output = Flow(from_, 1, Kept(), lambda data: _show(pid + b" > ", data))
        relay([Flow(0, to, Kept(), lambda data: _show(pid + b" < ", data)), output], output)

    try:
        stand_between(argv[1:], environ, copy)
    except OSError as error:
        raise Temporary(b"unable to run " + argv[1] + b": " + reason(error)) from error


def _show(head: bytes, data: bytes) -> None:
    if not data:
        say(2, head + b"[EOF]\n")
    for at in range(0, len(data), PIECE):
        *whole, rest = data[at : at + PIECE].split(b"\n")
        text = b"".join(head + line + b" \n" for line in whole)
        say(2, text + (head + rest + b"+\n" if rest else b""))
