"""ezmlm-list: the addresses on a mailing list, one a line.

Usage: ezmlm-list [-nNmMvV] DIR [DATABASE]

    ezmlm-list ~/sos
    ezmlm-list -n ~/sos digest

    -n  only how many there are
    -N  (default) all of them
    -m, -M  taken for the sake of old scripts; mean nothing
    -v, -V  show the version

DIR is the list's directory; DATABASE one of its other lists of addresses, as of
ezmlm-sub.

Behaviour:
Addresses come in no order. Most were written by strangers: what could mean
something to a terminal is shown as `?`.

Files: DIR/subscribers/, DIR/DATABASE/subscribers/.
Runs as: the owner of the list.
Exit codes: 0; 100 usage, or no list; 111 a failure that may pass, such as a file
    that cannot be read.
See also: ezmlm(5), ezmlm-sub(1), ezmlm-unsub(1).
"""

from __future__ import annotations

from qmail.formats import listoptions
from qmail.formats.verdict import Temporary
from qmail.host import fds
from qmail.host.reasons import reason
from qmail.stores import subscribers
from qmail.stores.listdir import MailingList
from qmail.stores.roll import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

USAGE = b"ezmlm-list: usage: ezmlm-list [ -mMnNvV ] dir [ subdir ]"
_SHOWN = bytes(ord("?") if byte < 32 or byte == 127 else byte for byte in range(256))


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"nNmM", USAGE)
    mlist, (database, _) = MailingList(words[0]), split(words[1:])
    try:
        if b"n" in said:
            fds.write_all(1, b"%d\n" % subscribers.count(mlist, database))
        else:
            _show(subscribers.everyone(mlist, database))
    except OSError as error:
        raise Temporary(b"unable to write: " + reason(error)) from error
    return 0


def _show(addresses: Iterable[bytes]) -> None:
    held: list[bytes] = []
    for address in addresses:
        held.append(address.translate(_SHOWN) + b"\n")
        if len(held) == 1000:
            fds.write_all(1, b"".join(held))
            held = []
    fds.write_all(1, b"".join(held))
