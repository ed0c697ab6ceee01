"""svok: does a supervise run in this directory?

For scripts, which can ask before they use svc, or wait for a new service.

Usage: svok DIRECTORY

    until svok /service/somed; do sleep 1; done

Behaviour:
It opens supervise/ok, a fifo that a running supervise holds open. It prints
nothing where it can tell. Whether the service itself is up is not asked: svstat
says that.

Files: DIRECTORY/supervise/ok.
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
