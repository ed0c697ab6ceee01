"""setmaillist: make a binary mailing list for fastforward.

Usage: setmaillist BIN TMP

    setmaillist list.bin list.tmp < list

Each line of standard input is a member:

    joe@a.example       a recipient, with its host
    &/joe@a.example     a recipient that begins with / or .
    /home/sue/list.bin  another binary list, also ./list.bin

Empty lines and lines that begin with # mean nothing; blanks at the end of a line
do not count. NUL is not permitted. An address may have 800 bytes, a file name
4095.

Behaviour:
Lists are read and written piece by piece, and may have any length. In BIN an &
stands in front of each recipient, and a NUL behind each member. BIN is replaced
by a rename of TMP, on the same file system: fastforward sees the old list or the
new one, whole. It can be read by everybody, as fastforward wants it. Where a line
is wrong BIN stays as it was.

Files: BIN; TMP is left where something fails.
Runs as: whoever may write there.
Exit codes: 0; 100 usage; 111 a line that is no member, or a file that cannot be
    read, written or moved.
"""

from __future__ import annotations

from qmail.formats import maillist
from qmail.formats.verdict import Temporary, Usage
from qmail.host import fds
from qmail.host.reasons import reason
from qmail.stores import forwardfiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

USAGE = b"setmaillist: usage: setmaillist list.bin list.tmp"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 3:
        raise Usage(USAGE)
    try:
        forwardfiles.replace_list(argv[1], argv[2], _members())
    except maillist.Malformed as wrong:
        raise Temporary(str(wrong).encode()) from None
    return 0


def _members() -> Iterator[bytes]:
    for line in maillist.lines(_input()):
        entry = maillist.member(line)
        if entry is not None:
            yield entry


def _input() -> Iterator[bytes]:
    try:
        yield from fds.chunks(0)
    except OSError as error:
        raise Temporary(b"unable to read input: " + reason(error)) from error
