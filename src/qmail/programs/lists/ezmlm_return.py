"""ezmlm-return: take note of what did not reach a subscriber.

A program for lines of .qmail files.

Usage: ezmlm-return [-dDvV] DIR

    |ezmlm-weed
    |ezmlm-return -D /home/joe/sos

    -d  the notice is about the digest
    -D  it is about the list itself
    -v, -V  show the version

Without either the address says it. DIR is the list's directory.

Behaviour:
A notice of failure comes to an address that says what it is about:

    LIST-return-12-joe=example.org   message 12 did not reach joe@example.org
    LIST-return-12-                  message 12, and the notice says whom it did not reach, in
                                     qmail-send's own format
    LIST-return-warn-...             a warning of ezmlm-warn came back
    LIST-return-probe-...            its last message came back: the address is taken off the list
    LIST-return-                     an answer came back: nothing is done

The first two put the number among those of the address, and keep the first
notice. Warnings and last messages have a code in their addresses, good for
3,000,000 seconds, so that nobody is taken off by forged notices. Notices about
addresses that are not on the list are thrown away. Who bounces is told by
ezmlm-warn.

Environment: SENDER, DEFAULT (or LOCAL).
Files: DIR/bounce/, DIR/digest/bounce/, DIR/lockbounce, DIR/key,
DIR/subscribers/, DIR/Log.
Runs as: the owner of the list.
Exit codes: 99 done, or nothing to do: later lines are not followed; 100 usage,
    or no such address; 111 try again.
See also: ezmlm(5), ezmlm-warn(1), ezmlm-weed(1).
"""

from __future__ import annotations

from qmail.formats import listaddress, listcookie, listoptions, qsbmf
from qmail.formats.address import quote
from qmail.formats.verdict import STOP, Permanent
from qmail.host import clock, program
from qmail.stores import subscribers
from qmail.stores.listbounces import LARGEST, Bounces
from qmail.stores.listdir import MailingList
from qmail.stores.listmail import Incoming

USAGE = b"ezmlm-return: usage: ezmlm-return [ -dDvV ] dir"
LIFETIME = 3_000_000  # seconds that warnings are good for
MARKS = (b"warn", b"probe")


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"dD", USAGE)
    mlist = MailingList(words[0])
    if b"SENDER" not in environ:
        raise Permanent(b"SENDER not set")
    text, digest = _about(mlist, environ)
    if b"d" in said or b"D" in said:
        digest = b"d" in said
    database = b"digest" if digest else b""
    if not text:
        return _trash(b"an answer came back")
    mlist.lock(subscribers.below(database, b"lockbounce"))  # until the end
    return _Return(mlist, database, quote(environ[b"SENDER"])).take(text)


def _about(mlist: MailingList, environ: dict[bytes, bytes]) -> tuple[bytes, bool]:
    """What stands behind `return-`, and whether the digest's name stands before it."""
    text = environ.get(b"DEFAULT")
    local = environ.get(b"LOCAL", b"")
    if text is not None:
        before = local[: len(local) - len(text)].lower()
        return text, before.endswith(b"-digest-return-")
    behind = listaddress.command(environ, mlist.local)
    if behind is None:
        raise Permanent(b"DEFAULT not set")
    digest = behind.lower().startswith(b"digest-")
    return behind[len(b"digest-") if digest else 0 :].removeprefix(b"return-"), digest


class _Return:
    """One notice."""

    def __init__(self, mlist: MailingList, database: bytes, sender: bytes) -> None:
        self.mlist, self.database, self.sender = mlist, database, sender
        self.bounces = Bounces(mlist, database)
        self.now = int(clock.now())

    def take(self, text: bytes) -> int:
        """Do what the address says."""
        mark, _, rest = text.partition(b"-")
        if mark.lower() in MARKS:
            return self._marked(mark.lower(), rest)
        number, rest = listaddress.number(text)
        if number is None or not rest.startswith(b"-"):
            raise Permanent(b"This is no address that notices come to. (#5.1.1)")
        if address := listaddress.spelled(rest[1:]):
            self._failed(address, number, self._notice(), 0)
        else:
            incoming = Incoming()
            body = self._beginning(incoming)
            for index, (address, paragraph) in enumerate(qsbmf.failures(body)):
                self._failed(address, number, b"".join(incoming.fields) + b"\n" + paragraph, index)
        return STOP

    def _marked(self, mark: bytes, rest: bytes) -> int:
        """A warning, or the last message, came back."""
        cookie = listcookie.parse(mark + b"." + rest)
        if cookie is None or not cookie.good(self.mlist.key(self.database), self.now, LIFETIME):
            return _trash(b"the code is wrong or too old")
        if mark == b"probe":
            subscribers.change(self.mlist, self.database, [cookie.address], b"-probe")
        elif subscribers.contains(self.mlist, self.database, cookie.address):
            self.bounces.keep(cookie.address, self._notice(), self.now, of_warning=True)
        return STOP

    def _failed(self, address: bytes, number: int, notice: bytes, index: int) -> None:
        if not subscribers.contains(self.mlist, self.database, address):
            return
        # The notice first: numbers without one would never be looked at.
        if not self.bounces.numbers(address):
            self.bounces.keep(address, self._head() + notice, self.now, index=index)
        self.bounces.number(address, number)

    def _notice(self) -> bytes:
        incoming = Incoming()
        return b"".join(incoming.fields) + b"\n" + self._beginning(incoming)

    def _beginning(self, incoming: Incoming) -> bytes:
        held = b""
        for piece in incoming.body():
            held += piece
            if len(held) > LARGEST:
                break
        return held[:LARGEST]

    def _head(self) -> bytes:
        return b"Return-Path: <%b>\n" % self.sender.replace(b"\n", b"_")


def _trash(why: bytes) -> int:
    program.say(2, b"ezmlm-return: info: nothing to do: " + why + b"\n")
    return STOP
