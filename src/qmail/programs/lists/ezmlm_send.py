"""ezmlm-send: a message sent to everybody on a mailing list.

A program for lines of .qmail files.

Usage: ezmlm-send [-cCrRvV] [-h FIELD] DIR

    |ezmlm-send /home/joe/sos

    -r  all Received fields are sent on
    -R  (default) only the first one; the archive has all of them
    -h FIELD  where DIR is a sublist, a message with this field comes from the parent list too
    -c, -C  taken for the sake of old .qmail files; mean nothing
    -v, -V  show the version

Behaviour:
The message gets the next number N. It is put into the archive (where DIR/archived
exists) and its index (where DIR/indexed does), and queued once for all
subscribers, each with an envelope sender of its own,
LIST-return-N-SUBSCRIBER=HOST@HOST, so that a notice of failure says of whom and
of what it speaks. In front of the message come Mailing-List, List-ID from
DIR/listid, the fields in DIR/headeradd and a Delivered-To line. Of its own
header go the fields named in DIR/headerremove, or all that DIR/headerkeep does
not name. DIR/prefix goes in front of the subject, `#` in it is N. Of a multipart
message go the parts of the types in DIR/mimeremove, or all that DIR/mimekeep
does not name. DIR/text/trailer is put at the end of plain text, or as one more
part. With DIR/replytolist answers go to the list. With DIR/rewritefrom messages
come from `WRITER via LIST` at the list's address, for hosts that refuse mail of
others' names, and answers go to the writer.

Refused are messages without a sender, with a Mailing-List field, with this
list's Delivered-To line, and those of which no part remains. A sublist (the
parent's address is in DIR/sublist) takes only what its parent sends.

Nothing is sent where the archive cannot be written. A number that has been used
is not used again: a copy that is whole is never written over, also where DIR/num
was lost. Subscribers are read one file at a time while they are handed over.

Environment: SENDER; QMAILQUEUE replaces qmail-queue.
Files: DIR/: lock, num, archive/, archived, indexed, subscribers/, outlocal,
outhost, mailinglist, listid, headeradd, headerremove, headerkeep, prefix,
mimeremove, mimekeep, text/trailer, addtrailer, replytolist, rewritefrom,
sublist.
Runs as: the owner of the list.
Exit codes: 0 queued; 100 refused, or usage; 111 try again.
See also: ezmlm(5), ezmlm-reject(1), ezmlm-return(1).
"""

from __future__ import annotations

from qmail.formats import listaddress, listindex, listoptions, mimetype
from qmail.formats.address import quote
from qmail.formats.header_fields import name
from qmail.formats.listtext import filled
from qmail.formats.mailparameters import onward
from qmail.formats.mimeparts import Parts
from qmail.formats.verdict import Permanent, Temporary
from qmail.host import program
from qmail.host.reasons import reason
from qmail.rules import listheader
from qmail.stores import home, listarchive, listmail, submission, subscribers
from qmail.stores.listdir import MailingList

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.formats.mailparameters import Parameters
    from qmail.rules.listheader import Edited

USAGE = b"ezmlm-send: usage: ezmlm-send [ -cCrRvV ] [ -h header ] dir"
NO_PARTS = b"Nothing is left of this message: this list takes no parts of its types. (#5.6.1)"
NOT_PARENT = b"This list only takes what its parent list has sent. (#5.7.2)"
MAY_HAVE_MORE = (b"multipart/mixed", b"multipart/digest", b"multipart/parallel")


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"cCrRh:", USAGE)
    mlist = MailingList(words[0])
    sender = environ.get(b"SENDER")
    if sender in (b"", b"#@[]"):
        raise Permanent(listmail.BOUNCE)
    posting = _Posting(mlist, sender, said)
    mlist.lock()  # until the end
    try:
        message = submission.begin(home.find(argv[0], environ), environ)
    except OSError as error:
        raise Temporary(b"unable to fork: " + reason(error)) from error
    qp = posting.send(message, onward(environ, (), listed=True))
    program.say(2, b"ezmlm-send: info: qp %d\n" % qp)
    return 0


class _Posting:
    """One message on its way to the list."""

    def __init__(self, mlist: MailingList, sender: bytes | None, said: dict[bytes, bytes]) -> None:
        self.mlist, self.sender = mlist, sender
        self.incoming = listmail.Incoming()
        self.parent = mlist.line(b"sublist")
        self.settings = listheader.Settings()
        self.settings.received, self.settings.sublist = b"r" in said, self.parent is not None
        self.settings.mark = said.get(b"h", b"").partition(b":")[0].strip().lower()
        self.settings.delivered_to = b"Delivered-To: mailing list %b\n" % mlist.address
        if self.parent and sender is not None and not _from_parent(sender, self.parent):
            raise Permanent(NOT_PARENT)
        if (words := listheader.refusal(self.incoming.fields, self.settings)) is not None:
            raise Permanent(words)
        self.archived, self.size, self.passed = mlist.has(b"archived"), 0, True

    def send(self, message: submission.Submission, asked: Parameters | None) -> int:
        """Give it a number, keep it and queue it; its qp. Raises Permanent or Temporary, and then it was not sent."""
        before, size = listarchive.last(self.mlist)
        number = listarchive.following(self.mlist, before)
        self._set_up(self._sent_number(number))
        try:
            self._keep(message, number)
            listarchive.write_last(self.mlist, number, size + ((self.size + 128) >> 8))
        except BaseException:
            message.abandon()
            self._undo(number, before, size)
            raise
        try:
            envelope = b"%b-return-%d-@%b-@[]" % (self.mlist.local, self.settings.number, self.mlist.host)
            outcome = message.finish(envelope, subscribers.everyone(self.mlist, b""), asked)
        except BaseException:
            self._undo(number, before, size)
            raise
        if words := submission.words(outcome):
            # Where nobody can say whether it was taken, the number is used up.
            if outcome.code > 0 and outcome.code not in submission.UNCERTAIN:
                self._undo(number, before, size)
            raise (Permanent if words.startswith(b"D") else Temporary)(words[1:])
        return outcome.qp

    def _keep(self, message: submission.Submission, number: int) -> None:
        """Hand all of it to the queue, and put it into the archive."""
        edited = listheader.edited(self.incoming.fields, self.settings)
        copy = listarchive.Copy(self.mlist, number) if self.archived else None
        self._write(message, copy, edited)
        if copy is not None:
            copy.finish()
            self._index(number, edited)

    def _undo(self, number: int, before: int, size: int) -> None:
        """It was not sent: the next message gets this number."""
        if self.archived:
            listarchive.remove(self.mlist, number)
        if listarchive.last(self.mlist)[0] != before:
            listarchive.write_last(self.mlist, before, size)
        if self.archived:
            listarchive.cut_index(self.mlist, number)

    def _sent_number(self, number: int) -> int:
        """The number to be shown: a sublist without an archive tells that of its parent."""
        if self.parent and not self.archived and self.sender is not None:
            behind = self.sender[len(self.parent.rpartition(b"@")[0]) :].removeprefix(b"-return-")
            told, rest = listaddress.number(behind)
            if told and rest.startswith(b"-"):
                return told
        return number

    def _set_up(self, number: int) -> None:
        """What the list's files say of headers."""
        mlist, settings = self.mlist, self.settings
        settings.number = number
        removed = {line.rstrip(b":").lower() for line in mlist.lines(b"headerremove")}
        keep = mlist.text(b"headerkeep")
        settings.kept = None if keep is None else frozenset(line.rstrip(b":").lower() for line in keep.split(b"\n"))
        if not settings.sublist:
            settings.fields.append(b"Mailing-List: %b\n" % mlist.mailing_list())
            settings.prefix = mlist.line(b"prefix") or b""
            if listid := mlist.line(b"listid"):
                settings.fields.append(b"List-ID: %b\n" % listid)
                removed.add(b"list-id")
        settings.fields += self._added(number)
        settings.fields.append(settings.delivered_to)
        settings.answered = mlist.address if mlist.has(b"replytolist") else b""
        settings.author = mlist.address if mlist.has(b"rewritefrom") else b""
        settings.removed = frozenset(removed)

    def _added(self, number: int) -> Iterator[bytes]:
        """The lines of DIR/headeradd; what is no field would end the header, and is left out."""
        text = filled(self.mlist.text(b"headeradd") or b"", self.mlist.tags() | {b"n": b"%d" % number})
        good = False
        for line in text.splitlines():
            if not line.startswith((b"#", b" ", b"\t")) or not good:
                good = bool(name(line))
            if good and line.strip() and not line.startswith(b"#"):
                yield line + b"\n"

    def _write(self, message: submission.Submission, copy: listarchive.Copy | None, edited: Edited) -> None:
        """The whole message, into the queue and the archive."""
        message.write(b"".join(edited.sent) + b"\n")
        if copy is not None:
            path = b"Return-Path: <%b>\n" % quote(self.sender or b"").replace(b"\n", b"_")
            copy.write(path + b"".join(edited.archived) + b"\n")
        for piece, both in self._body(edited):
            message.write(piece)
            if both and copy is not None:
                copy.write(piece)

    def _body(self, edited: Edited) -> Iterator[tuple[bytes, bool]]:
        """The body in pieces, each with whether the archive gets it too."""
        kind = mimetype.content_type(edited.contents.get(b"content-type", b"text/plain"))
        trailer = self._trailer()
        parts = None
        if kind.boundary is not None:
            parts = Parts(kind.boundary, self._wanted())
            more = b"--%b\nContent-Type: text/plain; charset=us-ascii\n\n%b" % (kind.boundary, trailer)
            more = more if trailer and kind.name in MAY_HAVE_MORE else b""
        last = b"\n"
        for data in self.incoming.body():
            self.size += len(data)
            last = data[-1:]
            for piece in [data] if parts is None else parts.feed(data):
                yield (more, False) if piece is None else (piece, True)
        if parts is not None:
            for piece in parts.end():
                yield (more, False) if piece is None else (piece, True)
            if not parts.passed and self.size:
                raise Permanent(NO_PARTS)
        elif trailer and kind.name == b"text/plain":
            encoding = edited.contents.get(b"content-transfer-encoding", b"7bit").strip().lower()
            yield (b"" if last == b"\n" else b"\n") + _encoded(trailer, encoding), False

    def _wanted(self) -> listheader.Wanted:
        keep = self.mlist.lines(b"mimekeep")
        named = frozenset(line.lower() for line in keep or self.mlist.lines(b"mimeremove"))
        return (lambda kind: kind in named) if keep else (lambda kind: kind not in named)

    def _trailer(self) -> bytes:
        if not (self.mlist.has(b"text/trailer") or self.mlist.has(b"addtrailer")):
            return b""
        return self.mlist.words(b"trailer", {b"n": b"%d" % self.settings.number})

    def _index(self, number: int, edited: Edited) -> None:
        if self.mlist.has(b"indexed"):
            subject, author = (edited.contents.get(each, b"") for each in (b"subject", b"from"))
            prefix = self.mlist.line(b"prefix") or b""
            listarchive.add_to_index(self.mlist, listindex.entry(number, subject, author, edited.received, prefix))


def _from_parent(sender: bytes, parent: bytes) -> bool:
    local, _, host = parent.lower().rpartition(b"@")
    return sender.lower().startswith(local) and sender.lower().endswith(b"@" + host)


def _encoded(trailer: bytes, encoding: bytes) -> bytes:
    """The trailer as it can stand behind a body of this encoding; nothing behind what only a decoder can read."""
    if encoding == b"quoted-printable":
        from binascii import b2a_qp

        return b2a_qp(trailer, istext=True)
    return trailer if encoding in (b"7bit", b"8bit", b"binary", b"") else b""
