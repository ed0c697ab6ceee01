"""ezmlm-reject: refuse messages that a mailing list does not want.

A program for lines of .qmail files.

Usage: ezmlm-reject [-bBcCfFhHqQsStTvV] [DIR]

    |ezmlm-reject /home/joe/sos
    |ezmlm-send /home/joe/sos

    -b  refuse what begins with `subscribe` or `unsubscribe`, too
    -C  take subjects that are commands
    -H  do not look at DIR/headerreject
    -q  what does not name the list in To or Cc is dropped in silence
    -S  take messages without a subject
    -T  take messages that do not name the list in To or Cc
    -B, -c, -h, -Q, -s, -t  (default) the opposite
    -f, -F  taken for the sake of old .qmail files; mean nothing
    -v, -V  show the version

Behaviour:
A message with `Precedence: junk` or `bulk` is dropped in silence. Refused are
messages without a subject, with nothing but a command in it, with a field that
DIR/headerreject names, that do not name the list; of a type in DIR/mimereject,
or with such a part; of one type alone that is in DIR/mimeremove or, where that
exists, not in DIR/mimekeep; with a body larger or smaller than DIR/msgsize
(MAXIMUM:MINIMUM, in bytes) allows. Without DIR only the header is looked at.

Files: DIR/: headerreject, mimereject, mimekeep, mimeremove, msgsize, outlocal,
outhost.
Runs as: the owner of the list.
Exit codes: 0 taken; 99 dropped, later lines are not followed; 100 refused, or
    usage; 111 try again.
See also: ezmlm(5), ezmlm-send(1).
"""

from __future__ import annotations

from qmail.formats import listoptions
from qmail.formats.mimeparts import Parts
from qmail.formats.mimetype import content_type
from qmail.formats.verdict import STOP, SUCCESS, Permanent
from qmail.rules import listreject
from qmail.stores.listdir import MailingList
from qmail.stores.listmail import Incoming

USAGE = b"ezmlm-reject: usage: ezmlm-reject [ -bBcCfFhHqQsStTvV ] [ dir ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"bBcCfFhHqQsStT", USAGE, 0)
    mlist = MailingList(words[0]) if words else None
    incoming = Incoming()
    if listreject.is_automatic(incoming.fields):
        return STOP
    wishes = listreject.Wishes()
    wishes.subject, wishes.no_commands = b"S" not in said, b"C" not in said
    wishes.no_starts = b"b" in said
    if mlist is not None:
        wishes.address = b"" if b"T" in said else mlist.address
        if b"H" not in said:
            wishes.fields = _names(mlist, b"headerreject")
    fault = listreject.fault(incoming.fields, wishes)
    if fault == listreject.NOT_ADDRESSED and b"q" in said:
        return STOP
    if fault is None:
        fault = _body_fault(incoming, mlist, b"b" in said)
    if fault is not None:
        raise Permanent(fault)
    return SUCCESS


def _body_fault(incoming: Incoming, mlist: MailingList | None, no_starts: bool) -> bytes | None:
    kind = content_type(incoming.contents(b"content-type") or b"text/plain")
    refused: frozenset[bytes] = frozenset()
    most = least = 0
    if mlist is not None:
        refused = _names(mlist, b"mimereject")
        most, least = listreject.limits(mlist.line(b"msgsize") or b"")
        kept = _names(mlist, b"mimekeep")
        unwanted = kind.name not in kept if kept else kind.name in _names(mlist, b"mimeremove")
        if kind.name in refused or (unwanted and not kind.name.startswith(b"multipart/")):
            return listreject.BAD_TYPE % kind.name
    types: list[bytes] = []

    def seen(found: bytes) -> bool:
        types.append(found)
        return True

    parts = Parts(kind.boundary, seen) if kind.boundary and refused else None
    size, start = 0, b""
    for piece in incoming.body():
        size += len(piece)
        start = (start + piece)[:100]
        if parts is not None:
            parts.feed(piece)
        bad = next((found for found in types if found in refused), None)
        if bad is not None:
            return listreject.BAD_TYPE % bad
        if (fault := listreject.size_fault(size, most, least, whole=False)) is not None:
            return fault
    if no_starts and start.lstrip().lower().startswith(listreject.STARTS):
        return listreject.COMMAND
    if parts is not None:
        parts.end()
        if (bad := next((found for found in types if found in refused), None)) is not None:
            return listreject.BAD_TYPE % bad
    return listreject.size_fault(size, most, least, whole=True)


def _names(mlist: MailingList, file: bytes) -> frozenset[bytes]:
    return frozenset(line.rstrip(b":").lower() for line in mlist.lines(file))
