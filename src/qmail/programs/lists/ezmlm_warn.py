"""ezmlm-warn: tell subscribers that their mail came back.

A program for lines of .qmail files, and for cron.

Usage: ezmlm-warn [-dDvV] [-t DAYS] [-l SECONDS] DIR

    |ezmlm-warn /home/joe/sos || exit 0

    -d  only about the digest
    -D  only about the list itself
    -t DAYS  when notices are old enough (default 10); 0 all of them
    -l SECONDS  how long to wait between two looks (default a fiftieth of -t)
    -v, -V  show the version

DIR is the list's directory.

Behaviour:
When ten days have gone since a message came back, its subscriber is sent the
numbers of all that did. If this warning comes back, and ten days more have gone,
he is sent one last message, and if that comes back too, ezmlm-return takes him
off the list. Who is not on the list any more is sent nothing. Notices are kept
in directories of 10,000 seconds, and a directory is looked at when all of it is
old enough. Nothing happens where DIR/nowarn exists.

Environment: QMAILQUEUE replaces qmail-queue.
Files: DIR/bounce/, DIR/digest/bounce/, DIR/lockbounce, DIR/key, DIR/text/,
DIR/nowarn, DIR/copylines, DIR/charset, DIR/subscribers/.
Runs as: the owner of the list.
Exit codes: 0 done; 100 usage, or no list; 111 try again.
See also: ezmlm(5), ezmlm-return(1).
"""

from __future__ import annotations

import os

from qmail.formats import listcookie, listoptions
from qmail.formats.verdict import Permanent, Usage
from qmail.host import clock, program
from qmail.stores import home, subscribers
from qmail.stores.listbounces import Bounces
from qmail.stores.listdir import MailingList
from qmail.stores.listmail import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.listbounces import Notice

USAGE = b"ezmlm-warn: usage: ezmlm-warn [ -dDvV ] [ -t timeout ] [ -l lockout ] dir"
DAY = 86400
DAYS = 10


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"dDt:l:", USAGE)
    mlist = MailingList(words[0])
    if mlist.has(b"nowarn"):
        return 0
    timeout = _number(said.get(b"t"), DAYS) * DAY
    lockout = _number(said.get(b"l"), timeout // 50)
    for database, option in ((b"", b"D"), (b"digest", b"d")):
        if (option in said) >= (option.swapcase() in said):
            _Warnings(mlist, database, home.find(argv[0], environ), environ).look(timeout, lockout)
    return 0


def _number(text: bytes | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdigit() or len(text) > 9:
        raise Usage(USAGE)
    return int(text)


class _Warnings:
    """What is due on a list, or on its digest."""

    def __init__(self, mlist: MailingList, database: bytes, place: home.Home, environ: dict[bytes, bytes]) -> None:
        self.mlist, self.database, self.home, self.environ = mlist, database, place, environ
        self.bounces = Bounces(mlist, database)
        self.now = int(clock.now())

    def look(self, timeout: int, lockout: int) -> None:
        """Send what is due, unless somebody has looked a moment ago."""
        if not os.path.isdir(self.mlist.file(subscribers.below(self.database, b"bounce"))):
            return
        self.mlist.suffix = b"-" + self.database if self.database else b""
        descriptor = self.mlist.lock(subscribers.below(self.database, b"lockbounce"))
        try:
            if 0 <= self.now - self.bounces.looked() < lockout:
                return
            before = self.now - timeout if timeout else self.now + DAY
            for notice in self.bounces.old(before):
                if subscribers.contains(self.mlist, self.database, notice.address):
                    self._send(notice)
                if not notice.of_warning:
                    self.bounces.forget_numbers(notice.address)
                self.bounces.remove(notice)
            self.bounces.look(self.now)
        finally:
            os.close(descriptor)

    def _send(self, notice: Notice) -> None:
        mark = b"probe" if notice.of_warning else b"warn"
        name = self.mlist.name + b"@" + self.mlist.host
        reply = Reply(
            self.mlist, notice.address, b"ezmlm %b from %b" % (mark if notice.of_warning else b"warning", name)
        )
        tags = {b"A": notice.address}
        reply.add(self.mlist.words(b"top", tags), self.mlist.words(b"bounce-" + mark, tags))
        if not notice.of_warning:
            reply.add(self.mlist.words(b"dig-bounce-num" if self.database else b"bounce-num", tags))
            reply.add(self.bounces.numbers(notice.address), b"\n")
        reply.add(self.mlist.words(b"bounce-bottom", tags), self._excerpt(notice.text))
        cookie = listcookie.make(self.mlist.key(self.database), mark, self.now, notice.address)
        back = cookie.text.replace(b".", b"-", 1)
        envelope = b"%b-return-%b@%b" % (self.mlist.name, back, self.mlist.host)
        try:
            qp = reply.send(self.home, self.environ, envelope, [notice.address])
            program.say(2, b"ezmlm-warn: info: qp %d\n" % qp)
        except Permanent as refused:
            # An address that the queue refuses for good must not hold up the others.
            program.say(2, program.line(b"ezmlm-warn: warning: " + notice.address + b": " + refused.text))

    def _excerpt(self, text: bytes) -> bytes:
        head, gap, body = text.partition(b"\n\n")
        return head + gap + b"".join(body.splitlines(keepends=True)[: self.mlist.count(b"copylines")])
