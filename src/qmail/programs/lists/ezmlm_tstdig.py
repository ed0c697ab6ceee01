"""ezmlm-tstdig: is it time for a digest?

A program for lines of .qmail files, and for scripts.

Usage: ezmlm-tstdig [-vV] [-m MESSAGES] [-k KILOBYTES] [-t HOURS] DIR

    |if ezmlm-tstdig /home/joe/sos; then ezmlm-get /home/joe/sos || exit 0; fi

    -m MESSAGES  as many have come since the last digest (default DIR/digcount, else 30)
    -k KILOBYTES  so much text has come (default DIR/digsize, else 64)
    -t HOURS  so long ago was the last one (default DIR/digtime, else 48)
    -v, -V  show the version

Behaviour:
One of the three is enough; 0 switches one off, and all three off means at once.
Where nothing is new it is never time. No time is kept in DIR/tstdig: ezmlm-get
looks again, and one of two that begin together finds nothing new.

Files: DIR/: num, dignum, digcount, digsize, digtime.
Runs as: the owner of the list.
Exit codes: 0 it is time; 99 it is not; 100 usage, or no list; 111 a failure that
    may pass.
See also: ezmlm(5), ezmlm-get(1).
"""

from __future__ import annotations

from qmail.formats import listoptions
from qmail.formats.listaddress import number
from qmail.formats.verdict import STOP, SUCCESS, Usage
from qmail.host import clock
from qmail.rules import listget
from qmail.stores import listarchive, listdigest
from qmail.stores.listdir import MailingList

USAGE = b"ezmlm-tstdig: usage: ezmlm-tstdig [ -vV ] [ -k kbytes ] [ -m messages ] [ -t hours ] dir"
LIMITS = ((b"m", b"digcount", 30), (b"k", b"digsize", 64), (b"t", b"digtime", 48))


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"m:k:t:", USAGE)
    mlist = MailingList(words[0])
    limits = [_limit(said.get(letter), mlist.line(file), default) for letter, file, default in LIMITS]
    now = int(clock.now())
    due = listget.is_due(listarchive.last(mlist), listdigest.before(mlist), now, (limits[0], limits[1], limits[2]))
    return SUCCESS if due else STOP


def _limit(told: bytes | None, line: bytes | None, default: int) -> int:
    found, rest = number(line or b"") if told is None else number(told)
    if told is not None and (found is None or rest):
        raise Usage(USAGE)
    return default if found is None else found
