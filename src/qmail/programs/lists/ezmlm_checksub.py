"""ezmlm-checksub: refuse messages from those who are not on a mailing list.

A program for lines of .qmail files.

Usage: ezmlm-checksub [-nNvV] [-m TEXT] DIR [DATABASE...]

    |ezmlm-checksub -n /home/joe/sos deny
    |ezmlm-checksub /home/joe/sos . digest allow mod

    -n  the opposite: refuse messages from those who are
    -N  (default) refuse those who are not
    -m TEXT  what the sender is told
    -v, -V  show the version

DATABASEs are those of ezmlm-issubn.

Environment: SENDER.
Files: DIR/subscribers/, DIR/DATABASE/subscribers/.
Runs as: the owner of the list.
Exit codes: 0 the sender may write; 100 refused, usage, or SENDER is not set; 111
    a failure that may pass.
See also: ezmlm(5), ezmlm-issubn(1).
"""

from __future__ import annotations

from qmail.formats import listoptions
from qmail.formats.verdict import SUCCESS, Permanent
from qmail.stores import listrights
from qmail.stores.listdir import MailingList

USAGE = b"ezmlm-checksub: usage: ezmlm-checksub [ -nNvV ] [ -m message ] dir [ subdir ... ]"
STRANGER = b"Only subscribers may write to this list. (#5.7.2)"
UNWANTED = b"You may not write to this list. (#5.7.2)"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"nNm:", USAGE)
    known = listrights.asked(MailingList(words[0]), environ, words[1:])
    if known != (b"n" not in said):
        raise Permanent(said.get(b"m", STRANGER if b"n" not in said else UNWANTED), plain=True)
    return SUCCESS
