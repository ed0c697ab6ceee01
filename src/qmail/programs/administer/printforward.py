"""printforward: show the instructions in a forwarding database.

Usage: printforward < CDB

    printforward < /etc/aliases.cdb

What it prints is a table that setforward understands, and makes the same
database of.

Runs as: whoever may read CDB.
Exit codes: 0; 100 this is no forwarding database, or has more than 1 GiB; 111 it
    cannot be read, or the output not be written.
"""

from __future__ import annotations

from qmail.formats import cdb, forwardtable
from qmail.formats.verdict import Permanent, Temporary
from qmail.host import fds
from qmail.host.reasons import reason

LARGEST = 1 << 30  # bytes of a database
HELD = 65536  # bytes that are gathered before they are printed


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        data = fds.read_all(0, LARGEST)
    except OSError as error:
        raise Temporary(b"unable to read input: " + reason(error)) from error
    if data is None:
        raise Permanent(b"more than 1 GiB of input")
    try:
        _print(data)
    except (cdb.Corrupt, forwardtable.Malformed):
        raise Permanent(b"bad database format") from None
    except OSError as error:
        raise Temporary(b"unable to write output: " + reason(error)) from error
    return 0


def _print(data: bytes) -> None:
    held: list[bytes] = []
    size = 0
    for key, value in cdb.records(data):
        held.append(forwardtable.shown(key, value))
        size += len(held[-1])
        if size >= HELD:
            fds.write_all(1, b"".join(held))
            held, size = [], 0
    fds.write_all(1, b"".join(held))
