"""ezmlm-unsub: addresses taken off a mailing list by hand.

Usage: ezmlm-unsub [-nNmMHvV] [-h HASH] DIR [DATABASE] [ADDRESS...]

    ezmlm-unsub ~/sos joe@example.org
    ezmlm-unsub ~/sos deny joe@example.org

    -n  each ADDRESS is followed by a name, which goes into the Log
    -N  (default) only addresses
    -m, -M, -H, -h HASH  taken for the sake of old scripts; mean nothing
    -v, -V  show the version

DIR is the list's directory; DATABASE one of its other lists of addresses, as of
ezmlm-sub. Without an ADDRESS they are read from descriptor 0, one a line.

Behaviour:
Nobody is asked or told. An address goes whatever the case of its letters.

Files: DIR/subscribers/, DIR/DATABASE/subscribers/, DIR/lock, DIR/Log.
Runs as: the owner of the list.
Exit codes: 0; 100 usage, no list, or an ADDRESS that is none, the others were
    taken off; 111 a failure that may pass.
See also: ezmlm(5), ezmlm-sub(1), ezmlm-list(1).
"""

from __future__ import annotations

from qmail.formats import listoptions
from qmail.stores.listdir import MailingList
from qmail.stores.roll import change_all

USAGE = b"ezmlm-unsub: usage: ezmlm-unsub [ -mMnNvVH ] [ -h hash ] dir [ subdir ] [ box@domain [ name ] ... ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"nNmMHh:", USAGE)
    return change_all(b"ezmlm-unsub", MailingList(words[0]), words[1:], b"-manual", named=b"n" in said)
