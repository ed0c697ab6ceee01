"""fixcrio: run a program, and put missing CRs into its conversation.

For clients that end lines in a bare LF, where the program wants CR LF.

Usage: fixcrio PROGRAM [ARGUMENT...]

    tcpserver 0 smtp fixcrio qmail-smtpd

Behaviour:
Every LF without a CR in front gets one, in what PROGRAM reads from descriptor 0
and in what it writes to descriptor 1; everything else passes unchanged, an
unfinished last line too. PROGRAM takes the place of fixcrio, and so has its
process id; a child of it copies, and ends with the output of PROGRAM.

Runs as: whoever started it.
Exit codes: 100 usage; 111 PROGRAM cannot be run; else those of PROGRAM.
"""

from __future__ import annotations

from qmail.formats.carriage import Completed
from qmail.formats.verdict import Temporary, Usage
from qmail.host.pump import Flow, relay, stand_between
from qmail.host.reasons import reason

USAGE = b"fixcrio: usage: fixcrio program [ arg ... ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)

    def copy(to: int, from_: int) -> None:
        output = Flow(from_, 1, Completed())
        relay([Flow(0, to, Completed()), output], output)

    try:
        stand_between(argv[1:], environ, copy)
    except OSError as error:
        raise Temporary(b"unable to run " + argv[1] + b": " + reason(error)) from error
