"""One message as it stands in the queue, ours or one that C qmail has left, to be shown or taken elsewhere."""

from __future__ import annotations

import os

from qmail.formats import mailparameters, queuefile
from qmail.formats.queuearchive import CHANNELS, Envelope
from qmail.formats.queuefile import Corrupt
from qmail.stores.queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home

LARGEST = 128 * 1024 * 1024  # bytes of a file of records or of failures
TRIES = 3  # to read a message while its number is given to others


class Queued:
    """`message`: an open descriptor, to be closed by whoever has this; `bounce`: failures to be told."""

    __slots__ = ("bounce", "envelope", "message", "size")

    def __init__(self, envelope: Envelope, bounce: bytes, message: int) -> None:
        self.envelope, self.bounce, self.message = envelope, bounce, message
        self.size = os.fstat(message).st_size


def numbers(home: Home) -> list[int]:
    """All messages that wait for something. Raises OSError."""
    queue = Queue(home.queue)
    places = [queue.root + b"/todo", *(b"%b/info/%d" % (queue.root, part) for part in range(queue.split))]
    names = {name for place in places for name in os.listdir(place)}
    return sorted(int(name) for name in names if name.isdigit() and name[:1] != b"0" and len(name) < 20)


def read(home: Home, number: int) -> Queued | None:
    """One message; None where there is none of this number. Raises OSError, and Corrupt where it makes no sense."""
    queue = Queue(home.queue)
    for _ in range(TRIES):
        before = _identities(queue, number)
        try:
            found = _read(queue, number)
        except (FileNotFoundError, Corrupt):
            if before == _identities(queue, number):
                raise
            continue  # it was over, and the next one may have its number
        if found is None or before == _identities(queue, number):
            return found
        os.close(found.message)
    return None


def _identities(queue: Queue, number: int) -> list[tuple[int, int] | None]:
    """Which files hold the envelope: the next message of this number has others, or these were changed for it."""
    found: list[tuple[int, int] | None] = []
    for kind in (b"todo", b"info"):
        try:
            status = os.lstat(queue.file(kind, number))
            found.append((status.st_ino, status.st_ctime_ns))
        except FileNotFoundError:
            found.append(None)
    return found


def _read(queue: Queue, number: int) -> Queued | None:
    bounce = b""
    try:
        envelope = _fresh(queue, number)
    except FileNotFoundError:
        try:
            envelope = _looked_at(queue, number)
        except FileNotFoundError:
            return None
        bounce = _text(queue.file(b"bounce", number))[0]
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return Queued(envelope, bounce, os.open(queue.file(b"mess", number), flags))
    except FileNotFoundError as error:
        raise Corrupt("it has no message") from error


def _fresh(queue: Queue, number: int) -> Envelope:
    text, birth = _text(queue.file(b"todo", number), missing=False)
    found = queuefile.parse_todo(text)
    envelope = Envelope(number, found.sender, birth)
    envelope.uid, envelope.qp, envelope.fresh = found.uid, found.pid, list(found.recipients)
    envelope.asked = mailparameters.records(found.parameters) if found.parameters else []
    return envelope


def _looked_at(queue: Queue, number: int) -> Envelope:
    text, birth = _text(queue.file(b"info", number), missing=False)
    sender, asked = queuefile.parse_info(text)
    envelope = Envelope(number, sender, birth)
    envelope.asked = mailparameters.records(asked) if asked else []
    for channel in CHANNELS:
        text, due = _text(queue.file(channel, number))
        records = list(queuefile.records(text))
        if any(record[:1] not in (b"T", b"D") for record in records):
            raise Corrupt("unknown record")
        if records:
            envelope.records[channel] = [(record[:1] == b"D", record[1:]) for record in records]
            envelope.due[channel] = due
    return envelope


def _text(path: bytes, *, missing: bool = True) -> tuple[bytes, int]:
    """(contents, time); `missing`: nothing at all where it is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        if not missing:
            raise
        return b"", 0
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if status.st_size > LARGEST:
            raise Corrupt("larger than any that was accepted")
        return file.readall(), int(status.st_mtime)
