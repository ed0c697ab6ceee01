"""printmaillist: show the members of a binary mailing list.

Usage: printmaillist < BIN

    printmaillist < /etc/staff.bin

What it prints is a list that setmaillist understands, and makes the same binary
list of. Lists may have any length.

Runs as: whoever may read BIN.
Exit codes: 0; 100 this is no binary mailing list, and what could be read of it is
    shown; 111 it cannot be read, or the output not be written.
"""

from __future__ import annotations

from qmail.formats import maillist
from qmail.formats.verdict import Permanent, Temporary
from qmail.host import fds
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HELD = 1000  # members that are gathered before they are printed


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    held: list[bytes] = []
    try:
        for member in maillist.members(_input()):
            held.append(member)
            if len(held) == HELD:
                _print(held)
                held = []
    except maillist.Malformed as wrong:
        _print(held)
        raise Permanent(str(wrong).encode()) from None
    _print(held)
    return 0


def _input() -> Iterator[bytes]:
    try:
        yield from fds.chunks(0)
    except OSError as error:
        raise Temporary(b"unable to read input: " + reason(error)) from error


def _print(members: list[bytes]) -> None:
    try:
        fds.write_all(1, b"".join(member + b"\n" for member in members))
    except OSError as error:
        raise Temporary(b"unable to write output: " + reason(error)) from error
