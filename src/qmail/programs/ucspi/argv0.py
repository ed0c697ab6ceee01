"""argv0: run a program under another name.

    argv0 /bin/csh -csh

REALNAME is run with NAME as its 0th argument and the rest as the following ones.

Usage: argv0 REALNAME NAME [ARGUMENT...]

Runs as: whoever started it.
Exit codes: 100 usage; 111 the program cannot be run; else those of the program.
"""

from __future__ import annotations

from qmail.formats.verdict import Temporary, Usage
from qmail.host import execute
from qmail.host.reasons import reason

USAGE = b"argv0: usage: argv0 realname program [ arg ... ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 3:
        raise Usage(USAGE)
    try:
        execute.replace(argv[2:], environ, name=argv[1])
    except OSError as error:
        raise Temporary(b"unable to run " + argv[1] + b": " + reason(error)) from error
