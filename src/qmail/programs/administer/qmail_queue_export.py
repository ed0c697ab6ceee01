"""qmail-queue-export: messages of the queue as an archive for another queue.

Usage: qmail-queue-export [NUMBER...] > ARCHIVE

    svc -d /service/send
    qmail queue export > queue.tar
    qmail queue export 1000000 | ssh new.example.com qmail queue import

All messages, or those with these numbers, with all that is known of them: who
has each already and who has not, since when it has been in the queue, when it
is tried next, and the failures that its sender was not told of. `qmail queue
import` takes them in.

Behaviour:
The archive is one of tar, which lists and unpacks it; queue-archive(5)
describes it. It is written from beginning to end, and may go through a pipe.

Nothing changes in the queue. Where qmail-send runs there, it goes on to deliver
what is exported, and who imports it delivers it again; that is said. A queue
that C qmail has left can be exported as well. A message that makes no sense is
named and left out: see `qmail queue check`.

Environment: QMAIL_HOME.
Files: queue/: todo, info, local, remote, bounce, mess.
Runs as: root, or the owner in single-user mode.
Exit codes: 0 all were exported; 1 some were not; 100 usage, or the archive
    would go to a terminal; 111 the queue cannot be read, or the archive not be
    written: what was written is then no whole archive.
"""

from __future__ import annotations

import hashlib
import os

from qmail.formats import queuearchive, ustar
from qmail.formats.queuearchive import BOUNCE, ENVELOPE, MESSAGE, SUMS
from qmail.formats.queuefile import Corrupt
from qmail.formats.received import date
from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import clock, fds, program
from qmail.host.reasons import reason
from qmail.stores import home as homes
from qmail.stores import queuedmessage, standstill
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home
    from qmail.stores.queuedmessage import Queued

SOME = 1


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if not all(word.isdigit() and len(word) < 20 for word in argv[1:]):
        raise Usage(b"qmail-queue-export: usage: qmail-queue-export [NUMBER...] > ARCHIVE")
    if os.isatty(1):
        raise Permanent(b"an archive is nothing for a terminal: send it to a file or a program")
    home = homes.find(argv[0], environ)
    try:
        return _export(home, [int(word) for word in argv[1:]])
    except OSError as error:
        where = os.fsencode(error.filename) + b": " if error.filename else b""
        raise Temporary(b"the archive is not whole: " + where + reason(error)) from error


def _export(home: Home, named: list[int]) -> int:
    numbers = named or queuedmessage.numbers(home)
    if not standstill.is_there(home):
        _say(b"qmail-send is running here, and goes on to deliver what is exported")
    archive = Archive()
    now = int(clock.now())
    host = queuearchive.quoted(Control(home.path).line(b"me") or b"unknown")
    archive.file(queuearchive.ABOUT, queuearchive.about(host, date(now)), now)
    done = gone = 0
    for number in numbers:
        try:
            queued = queuedmessage.read(home, number)
        except (OSError, Corrupt) as error:
            _say(b"message %d is not exported: %b" % (number, _why(error)))
            continue
        if queued is not None:
            done += _message(archive, queued)
        elif named:
            _say(b"there is no message %d" % number)
        else:
            gone += 1  # finished since it was seen
    archive.end()
    _say(b"%d messages exported" % done)
    return 0 if done + gone == len(numbers) else SOME


def _message(archive: Archive, queued: Queued) -> bool:
    """Write all files of a message. False where it could not be read to its end; its sum says so too."""
    envelope = queued.envelope
    place = b"%d/" % envelope.number
    parts = {ENVELOPE: queuearchive.text(envelope)}
    if queued.bounce:
        parts[BOUNCE] = queued.bounce
    digests = {}
    for part, text in parts.items():
        archive.file(place + part, text, envelope.birth)
        digests[part] = hashlib.sha256(text).hexdigest().encode()
    try:
        digest = archive.copy(place + MESSAGE, queued.message, queued.size, envelope.birth)
    finally:
        os.close(queued.message)
    if not digest:
        _say(b"message %d cannot be read to its end" % envelope.number)
    digests[MESSAGE] = digest or b"0" * 64
    archive.file(place + SUMS, queuearchive.sums(envelope.number, digests), envelope.birth)
    return bool(digest)


class Archive:
    """An archive on descriptor 1. Raises OSError."""

    def __init__(self) -> None:
        self._size = 0

    def _write(self, text: bytes) -> None:
        fds.write_all(1, text)
        self._size += len(text)

    def file(self, name: bytes, text: bytes, seconds: int) -> None:
        """One file."""
        self._write(ustar.head(name, len(text), seconds) + text + ustar.padding(len(text)))

    def copy(self, name: bytes, descriptor: int, size: int, seconds: int) -> bytes:
        """One file of `size` bytes, as much of it as can be read. Its sum; nothing where that is not all of it."""
        self._write(ustar.head(name, size, seconds))
        digest = hashlib.sha256()
        left = size
        while left and (piece := _read(descriptor, min(left, fds.CHUNK))):
            digest.update(piece)
            self._write(piece)
            left -= len(piece)
        whole = not left
        while left:
            self._write(bytes(min(left, fds.CHUNK)))
            left -= min(left, fds.CHUNK)
        self._write(ustar.padding(size))
        return digest.hexdigest().encode() if whole else b""

    def end(self) -> None:
        """Nothing follows."""
        self._write(ustar.END)
        self._write(bytes(-self._size % ustar.RECORD))


def _read(descriptor: int, size: int) -> bytes:
    try:
        return os.read(descriptor, size)
    except OSError:
        return b""


def _why(error: Exception) -> bytes:
    return reason(error) if isinstance(error, OSError) else str(error).encode()


def _say(text: bytes) -> None:
    program.say(2, program.line(b"qmail-queue-export: " + text))
