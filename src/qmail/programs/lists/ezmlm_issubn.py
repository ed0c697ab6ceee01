"""ezmlm-issubn: is the sender on a mailing list?

A program for lines of .qmail files.

Usage: ezmlm-issubn [-nNvV] DIR [DATABASE...]

    |ezmlm-issubn /home/joe/sos . digest
    |ezmlm-send /home/joe/sos

    -n  the opposite: 99 where the sender is on one of them
    -N  (default) 0 where the sender is
    -v, -V  show the version

Later lines are followed only where the sender is in one of the DATABASEs of the
list: `.` (the default) is the list itself, the others are those of ezmlm-sub. Where
all of them are directories of other lists, DIR itself is asked too.

Environment: SENDER.
Files: DIR/subscribers/, DIR/DATABASE/subscribers/.
Runs as: the owner of the list.
Exit codes: 0 yes; 99 no, later lines are not followed; 100 usage, or SENDER is
    not set; 111 a failure that may pass.
See also: ezmlm(5), ezmlm-checksub(1).
"""

from __future__ import annotations

from qmail.formats import listoptions
from qmail.formats.verdict import STOP, SUCCESS
from qmail.stores import listrights
from qmail.stores.listdir import MailingList

USAGE = b"ezmlm-issubn: usage: ezmlm-issubn [ -nNvV ] dir [ subdir ... ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"nN", USAGE)
    known = listrights.asked(MailingList(words[0]), environ, words[1:])
    return SUCCESS if known == (b"n" not in said) else STOP
