"""newinclude: make a binary mailing list for fastforward from an :include: file.

Usage: newinclude LIST

    newinclude /etc/staff      writes /etc/staff.bin

LIST is a file as sendmail's aliases include it:

    # people
    joe@a.example, Sue Smith <sue@b.example> (since May)
    bill
    :include:/home/ann/list

Each line has any number of addresses, as in a header field. Incomplete ones are
completed as by qmail-inject. For an :include: file the list that newinclude makes
of it is meant (/home/ann/list.bin), which need not be there yet. Lines that begin
with # are comments. Programs and files are refused.

Behaviour:
LIST is read and the binary list written piece by piece, so that it may have any
length; a line may have 1 MiB, an address 800 bytes. LIST.bin is replaced by a
rename of LIST.tmp: fastforward sees the old list or the new one, whole. It can
be read by everybody. Where a line is wrong LIST.bin stays as it was. LIST itself
is never read by fastforward: after each change it has to be made anew.

Environment: QMAILDEFAULTHOST, QMAILDEFAULTDOMAIN, QMAILPLUSDOMAIN replace the
    control files.
Files: LIST, LIST.bin; LIST.tmp is left where something fails; control/: me,
    defaulthost, defaultdomain, plusdomain.
Runs as: whoever may write there.
Exit codes: 0; 100 usage; 111 a line that cannot be understood, or a file that
    cannot be read, written or moved.
"""

from __future__ import annotations

import os

from qmail.formats import forwardtable, maillist
from qmail.formats.verdict import Temporary, Usage
from qmail.host import fds
from qmail.rules import aliases
from qmail.rules.rewriting import Unparsable
from qmail.stores import completion, forwardfiles, home
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

USAGE = b"newinclude: usage: newinclude list"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    name = argv[1]
    hosts = completion.hosts(Control(home.find(argv[0], environ).path), environ)
    members = aliases.members(maillist.lines(_pieces(name)), hosts)
    try:
        forwardfiles.replace_list(name + aliases.BIN, name + b".tmp", members)
    except Unparsable as wrong:
        raise Temporary(b"unable to parse this line: " + wrong.text) from None
    except aliases.Unsupported as wrong:
        raise Temporary(wrong.text) from None
    except (maillist.Malformed, forwardtable.Malformed) as wrong:
        raise Temporary(str(wrong).encode()) from None
    return 0


def _pieces(path: bytes) -> Iterator[bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield from fds.chunks(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise forwardfiles.unreadable(path, error) from error
