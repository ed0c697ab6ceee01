"""ezmlm-get: messages from the archive of a mailing list, one by one, or as a digest.

A program for lines of .qmail files.

Usage: ezmlm-get [-bBcCpPsSvV] [-f FORM] DIR [CODE]

    |ezmlm-get /home/joe/sos
    |ezmlm-manage /home/joe/sos

    -B  answers come without general help and without a copy of the request
    -C  answer nothing but LIST-dig
    -f FORM  the form where none is asked for; else the first letter of DIR/digformat
    -p  the archive is open to all, also where the list is not public
    -P  the archive is for moderators
    -s  the archive is for subscribers, as with DIR/subgetonly
    -S  the archive is not for subscribers alone, whatever DIR/subgetonly says
    -b, -c  (default) the opposite of -B and -C
    -v, -V  show the version

It answers these, and leaves other addresses to the lines behind it:

    LIST-get.12        message 12
    LIST-get.12_45     messages 12 to 45, at most 100; LIST-get is what is new since the last digest
    LIST-index.12_450  subjects and authors, by hundreds, at most 2,000
    LIST-thread.12     all messages with the subject of number 12, from 2,000 before to 2,000 behind,
                       at most 1,000
    LIST-dig.CODE      no answer, but a digest for all its subscribers

A letter behind the word is the form: `m` multipart/digest, `x` multipart/mixed,
`v` and `n` multipart/digest with whole messages, n without a table, `r` plain
text. CODE is that of the command line, or in DIR/digestcode; case does not count.

From DIR/editor, or by hand, ezmlm-get makes a digest at once.

Behaviour:
A digest holds what has come since the last one, at most the 1,000 newest
messages; where there is nothing new there is none. It is sent like a message of
the list, to the subscribers in DIR/digest/subscribers, and failures come back to
LIST-digest-return-N-, where N is its first message. DIR/dignum says what the
last one held, DIR/digissue which it was; they are written when the digest is in
the queue. The text of LIST-dig, up to a line that begins with `-`, is put on top.

Not answered are messages without a sender or with a Mailing-List field. Only
whole copies are sent, and the archive is for moderators where DIR/public is
missing or DIR/modgetonly exists.

Environment: SENDER, DEFAULT, LOCAL; QMAILQUEUE replaces qmail-queue.
Files: DIR/: archive/, num, dignum, digissue, digestcode, digformat, digheaders,
digest/, text/, headeradd, charset, copylines, omitbottom, public, modgetonly,
subgetonly, mod/, lock, outlocal, outhost, mailinglist, listid.
Runs as: the owner of the list.
Exit codes: 99 answered: later lines are not followed; 0 not for us, or a digest
    from DIR/editor or by hand; 100 refused, or usage; 111 try again.
See also: ezmlm(5), ezmlm-manage(1), ezmlm-tstdig(1).
"""

from __future__ import annotations

from qmail.formats import listaddress, listoptions
from qmail.formats.address import quote
from qmail.formats.digest import FORMS
from qmail.formats.header_fields import name
from qmail.formats.listtext import filled
from qmail.formats.received import date
from qmail.formats.verdict import STOP, SUCCESS, Permanent, Usage
from qmail.host import clock, program
from qmail.rules import listget
from qmail.stores import home, listarchive, listdigest, listmail, listrights, subscribers
from qmail.stores.listcollection import Collection, entries
from qmail.stores.listdir import MailingList
from qmail.stores.listmail import Incoming, Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmail.formats.listindex import Entry
    from qmail.rules.listget import Wanted

USAGE = b"ezmlm-get: usage: ezmlm-get [ -bBcCpPsSvV ] [ -f format ] dir [ digestcode ]"
NO_CODE = b"This is not how a digest of this list is begun. (#5.7.2)"
COPY = b"--- Below this line is what you have sent.\n\n"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"bBcCpPsSf:", USAGE)
    form = said.get(b"f", b"")
    if form and form not in FORMS:
        raise Usage(USAGE)
    get = _Get(MailingList(words[0]), said, home.find(argv[0], environ), environ)
    code = (words[1] if len(words) > 1 else get.mlist.line(b"digestcode") or b"").lower()
    text = listaddress.command(environ, get.mlist.local)
    if text is None:
        get.digest(form, b"")
        return SUCCESS
    asked = listget.wanted(text)
    if asked is None or (asked.action != b"dig" and b"C" in said):
        return SUCCESS
    sender = listmail.sender(environ)
    incoming = Incoming()
    if incoming.contents(b"mailing-list") is not None:
        raise Permanent(listmail.FROM_LIST)
    asked.form = asked.form or form
    if asked.action != b"dig":
        get.answer(asked, sender, incoming)
    elif code and asked.code == code:
        get.digest(asked.form, _administrivia(incoming.body()))
    else:
        raise Permanent(NO_CODE)
    return STOP


def _administrivia(body: Iterable[bytes]) -> bytes:
    """What a digest begins with: the request up to a line that begins with a hyphen, at most 64 KiB."""
    held = b""
    for piece in body:
        held += piece
        if len(held) > listmail.LONGEST_COPY:
            break
    return (b"\n" + held[: listmail.LONGEST_COPY]).partition(b"\n-")[0].strip(b"\n")


class _Get:
    """What is sent from one list."""

    def __init__(
        self, mlist: MailingList, said: dict[bytes, bytes], place: home.Home, environ: dict[bytes, bytes]
    ) -> None:
        self.mlist, self.said, self.home, self.environ = mlist, said, place, environ

    def answer(self, asked: Wanted, sender: bytes, incoming: Incoming) -> None:
        """Send what is asked for. Raises Permanent or Temporary."""
        said = self.said
        only = True if b"s" in said else False if b"S" in said else None
        if not listrights.may_read(
            self.mlist, sender, anybody=b"p" in said, moderators_only=b"P" in said, subscribers_only=only
        ):
            raise Permanent(listrights.NO_READER)
        newest, _ = listarchive.last(self.mlist)
        subject = b"ezmlm response from %b@%b" % (self.mlist.name, self.mlist.host)
        reply = Reply(self.mlist, sender, subject)
        start, end = self.mlist.words(b"top", {}), b""
        if not (b"B" in self.said or self.mlist.has(b"omitbottom")):
            end = self.mlist.words(b"bottom", {}) + COPY
            end += incoming.excerpt(sender, self.mlist.count(b"copylines"))
        envelope = b"%b-return-@%b" % (self.mlist.name, self.mlist.host)
        if asked.action == b"index":
            reply.add(start, *self._index(asked, newest), end)
            qp = reply.send(self.home, self.environ, envelope, [sender])
        else:
            collection = Collection(self.mlist, self._entries(asked, newest), asked.form)
            if not collection.groups:
                reply.add(start, self.mlist.words(b"get-bad", {}), end)
                qp = reply.send(self.home, self.environ, envelope, [sender])
            else:
                head = b"".join(reply.fields) + collection.frame.content_type() + b"\n"
                qp = self._send(head, collection.pieces(start, end, subject), envelope, [sender])
        program.say(2, b"ezmlm-get: info: qp %d\n" % qp)

    def digest(self, form: bytes, administrivia: bytes) -> None:
        """Send what is new to the subscribers of the digest. Raises Permanent or Temporary."""
        self.mlist.lock()  # until the end
        issue = listdigest.Issue(self.mlist)
        if not issue.first:
            program.say(2, b"ezmlm-get: info: nothing is new\n")
            return
        self.mlist.suffix = b"-digest"
        collection = Collection(self.mlist, entries(self.mlist, issue.first, issue.last), form)
        if collection.groups:
            title = b"%b Digest" % self.mlist.local
            words = [self.mlist.words(b"digest", {b"n": b"%d" % issue.first})]
            start = b"%b\n\n" % self._title(issue)
            start += b"Administrivia:\n\n%b\n\n" % administrivia.rstrip(b"\n") if administrivia else b""
            head = b"".join(self._fields(issue)) + collection.frame.content_type() + b"\n"
            envelope = b"%b-return-%d-@%b-@[]" % (self.mlist.name, issue.first, self.mlist.host)
            pieces = collection.pieces(start + b"".join(words), b"", title)
            qp = self._send(head, pieces, envelope, subscribers.everyone(self.mlist, b"digest"))
            program.say(2, b"ezmlm-get: info: digest %d: qp %d\n" % (issue.number, qp))
        issue.done()

    def _fields(self, issue: listdigest.Issue) -> list[bytes]:
        reply = Reply(self.mlist, self.mlist.address, self._title(issue))
        added = filled(self.mlist.text(b"headeradd") or b"", self.mlist.tags() | {b"n": b"%d" % issue.first})
        lines = [line + b"\n" for line in added.splitlines() if name(line)]
        there = {name(line).lower() for line in lines} | {b"auto-submitted"}
        return [field for field in reply.fields if name(field).lower() not in there] + [
            *lines, b"Reply-To: %b\n" % quote(self.mlist.address),
        ]  # fmt: skip

    def _title(self, issue: listdigest.Issue) -> bytes:
        return b"%b Digest %b Issue %d" % (self.mlist.local, date(int(clock.now())), issue.number)

    def _send(self, head: bytes, pieces: Iterable[bytes], envelope: bytes, recipients: Iterable[bytes]) -> int:
        whole = (piece for part in ([head], pieces) for piece in part)
        return listmail.send(self.home, self.environ, whole, envelope, recipients)

    def _entries(self, asked: Wanted, newest: int) -> list[Entry]:
        if asked.action == b"thread":
            if not asked.first or asked.first > newest:
                return []
            near = entries(self.mlist, max(1, asked.first - listget.FAR), min(newest, asked.first + listget.FAR))
            wanted = next(entry.thread for entry in near if entry.number == asked.first)
            return [entry for entry in near if entry.thread == wanted][-listget.MOST_IN_THREAD :] if wanted else []
        first, last = listget.messages(asked, newest, listdigest.before(self.mlist)[0])
        return entries(self.mlist, first, last)

    def _index(self, asked: Wanted, newest: int) -> list[bytes]:
        found = [
            entry for section in listget.indexes(asked, newest) for entry in listarchive.index(self.mlist, section)
        ]
        lines = [
            b"%d: %b%b\n\t%b %b\n"
            % (entry.number, b"Re: " if entry.reply else b"", entry.subject, entry.date, entry.author)
            for entry in found
        ]
        return lines or [self.mlist.words(b"get-bad", {})]
