"""svok: does a supervise run in this directory?

Usage: svok DIRECTORY

Prints nothing.

Runs as: whoever may write to supervise/ok, usually root.
Exit codes: 0 it runs; 100 it does not, or usage; 111 that cannot be told.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import PERMANENT, Temporary, Usage
from qmail.host.reasons import reason
from qmail.stores import servicedir

USAGE = b"svok: usage: svok dir"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    try:
        os.chdir(argv[1])
    except OSError as error:
        raise Temporary(b"unable to chdir to " + argv[1] + b": " + reason(error)) from None
    try:
        return 0 if servicedir.supervised() else PERMANENT
    except FileNotFoundError:
        return PERMANENT
    except OSError as error:
        raise Temporary(b"unable to open " + argv[1] + b"/supervise/ok: " + reason(error)) from None
