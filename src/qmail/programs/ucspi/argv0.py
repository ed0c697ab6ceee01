"""argv0: run a program under another name.

The 0th argument is what a program is told of its own name, and some act
differently by it.

Usage: argv0 REALNAME NAME [ARGUMENT...]

    argv0 /bin/sh -sh            # a shell that takes itself for a login shell

Behaviour:
REALNAME is run with NAME as its 0th argument and the rest as the following
ones; it takes the place of argv0.

Environment: PATH, to find REALNAME.
Runs as: whoever started it.
Exit codes: 100 usage; 111 REALNAME cannot be run; else those of REALNAME.
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
