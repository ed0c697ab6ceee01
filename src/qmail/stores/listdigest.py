"""Which messages were in digests of a list, and which come next (ezmlm(5)).

DIR/dignum     NUMBER:SIZE:TIME, what DIR/num said at the last digest, and when that was
DIR/digissue   how many digests there were
"""

from __future__ import annotations

from qmail.formats.listaddress import number
from qmail.host import clock, durable
from qmail.stores import listarchive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.listdir import MailingList

MOST = 1000  # messages in one digest


def before(mlist: MailingList) -> tuple[int, int, int]:
    """Number of the last message and size of all at the last digest, and its time. Raises Temporary."""
    parts = (mlist.line(b"dignum") or b"").split(b":")
    first, second, third = (number(part)[0] or 0 for part in (*parts, b"", b"", b"")[:3])
    return first, second, third


class Issue:
    """The next digest, while DIR/lock is held. `number`: which it is; `first` is 0 where there is nothing new."""

    def __init__(self, mlist: MailingList) -> None:
        self._mlist = mlist
        self.last, self._size = listarchive.last(mlist)
        done = before(mlist)[0]
        self.first = max(done + 1, self.last - MOST + 1) if done < self.last else 0
        self.number = mlist.count(b"digissue") + 1

    def done(self) -> None:
        """It is in the queue. Raises Temporary."""
        written = (
            (b"dignum", b"%d:%d:%d\n" % (self.last, self._size, int(clock.now()))),
            (b"digissue", b"%d\n" % self.number),
        )
        for name, text in written:
            try:
                durable.replace_file(self._mlist.file(name), self._mlist.file(name + b".new"), text, 0o600)
            except OSError as error:
                raise self._mlist.unwritable(name, error) from error
