"""ezmlm-sub: addresses put on a mailing list by hand.

Usage: ezmlm-sub [-nNmMHvV] [-h HASH] DIR [DATABASE] [ADDRESS...]

    ezmlm-sub ~/sos joe@example.org ann@example.com
    ezmlm-sub ~/sos mod joe@example.org
    ezmlm-sub ~/sos < addresses

    -n  each ADDRESS is followed by a name, which goes into the Log
    -N  (default) only addresses
    -m, -M, -H, -h HASH  taken for the sake of old scripts; mean nothing
    -v, -V  show the version

DIR is the list's directory, made by ezmlm-make. DATABASE is one of its other
lists of addresses: `digest` (who gets the digest), `mod` (moderators), `allow`
and `deny` (who may or may not write, see ezmlm-issubn). Without an ADDRESS they
are read from descriptor 0, one a line; with -n a name may stand behind a blank,
and lines that begin with `#` are ignored.

Behaviour:
Nobody is asked or told. Who is on the list already stays so, whatever the case
of the letters, and does not come into the Log. The host of an ADDRESS is kept
in small letters. When the program ends with 0, all addresses are on the disk.

Files: DIR/subscribers/, DIR/DATABASE/subscribers/, DIR/lock, DIR/Log.
Runs as: the owner of the list.
Exit codes: 0; 100 usage, no list, or an ADDRESS that is none (more than 400
    bytes, no host, control characters), the others were added; 111 a failure
    that may pass.
See also: ezmlm(5), ezmlm-unsub(1), ezmlm-list(1).
"""

from __future__ import annotations

from qmail.formats import listoptions
from qmail.stores.listdir import MailingList
from qmail.stores.roll import change_all

USAGE = b"ezmlm-sub: usage: ezmlm-sub [ -mMnNvVH ] [ -h hash ] dir [ subdir ] [ box@domain [ name ] ... ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"nNmMHh:", USAGE)
    return change_all(b"ezmlm-sub", MailingList(words[0]), words[1:], b"+manual", named=b"n" in said)
