"""Delivery reports: what a spawner tells qmail-send about a delivery (qmail-lspawn(8)).

A report begins with K (delivered), Z (try again) or D (failed for good); the rest is text for the
log and for a bounce.
"""

from __future__ import annotations

LONGEST = 3000  # bytes of what a local delivery says; more is cut and says so
_TOO_LONG = b"\nError report too long, sorry.\n"
_KEPT = LONGEST - len(_TOO_LONG) - 3

CRASHED = b"Zqmail-local crashed.\n"
NO_CDB = b"ZTrouble reading users/cdb in qmail-lspawn.\n"
NO_ALIAS = b"ZUnable to find alias user!\n"
NO_MEMORY = b"ZOut of memory in qmail-lspawn.\n"
NO_SYSTEM = b"ZTemporary failure in qmail-lspawn.\n"
ROOT = b"ZNot allowed to perform deliveries as root.\n"
BUG = b"ZInternal qmail-lspawn bug.\n"
NO_GETPW = b"ZUnable to run qmail-getpw.\n"

# Exit codes with a meaning of their own between qmail-lspawn and the programs it runs.
EXIT_USAGE, EXIT_ROOT, EXIT_NFS, EXIT_NO_ALIAS, EXIT_CDB = 112, 113, 115, 116, 117
EXIT_SYSTEM, EXIT_NO_MEMORY, EXIT_EXEC_SOFT, EXIT_GETPW, EXIT_EXEC_HARD = 118, 119, 120, 121, 126
_FIXED = {
    EXIT_USAGE: BUG,
    EXIT_ROOT: ROOT,
    EXIT_NFS: b"ZNFS failure in qmail-local.\n",
    EXIT_NO_ALIAS: NO_ALIAS,
    EXIT_CDB: NO_CDB,
    EXIT_SYSTEM: NO_SYSTEM,
    EXIT_NO_MEMORY: NO_MEMORY,
    EXIT_EXEC_SOFT: b"ZUnable to run qmail-local.\n",
    EXIT_GETPW: NO_GETPW,
    EXIT_EXEC_HARD: b"DUnable to run qmail-local.\n",
}
_SOFT = frozenset((111, 71, 74, 75))


def local(code: int | None, output: bytes) -> bytes:
    """The report of a qmail-local that ended with `code` (None: of a signal) and had said `output`."""
    if code is None:
        return CRASHED
    if code in _FIXED:
        return _FIXED[code]
    letter = b"K" if code == 0 else b"Z" if code in _SOFT else b"D"
    return letter + cut(output).partition(b"\0")[0]


def cut(output: bytes) -> bytes:
    """`output`, or its beginning and a line that says so, at most LONGEST bytes."""
    return output if len(output) <= LONGEST else output[:_KEPT] + _TOO_LONG
