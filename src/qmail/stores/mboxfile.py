"""mbox files (mbox(5)): append under a lock, repair what a crash left, leave nothing half done.

A delivery is durable when it is reported. Any number of messages share one lock and one sync.
"""

from __future__ import annotations

import os

from qmail.formats.mbox import Quoter
from qmail.formats.verdict import Temporary
from qmail.host import durable, locks
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.stores.message import Message

PATIENCE = 30  # seconds to wait for a lock
LOCKED = b"File has been locked for 30 seconds straight. (#4.3.0)"


def append(path: bytes, messages: Sequence[tuple[bytes, Message]]) -> list[Temporary | None]:
    """Append messages, each behind its own From_ and head lines, to the mbox `path`, made where it is missing.

    For each the answer is None, and the message durable, or why it is not there. Where something fails the
    file gets its old length back.
    """
    try:
        descriptor = open_locked(path)
    except Temporary as failure:
        return [failure] * len(messages)
    except OSError as error:
        text = b"Unable to open %b: %b. (#4.2.1)" % (path, reason(error))
        return [Temporary(text, plain=True)] * len(messages)
    try:
        return _append_all(descriptor, path, messages)
    finally:
        try:
            os.close(descriptor)
        except OSError:
            pass  # all that counts is synced


def open_locked(path: bytes) -> int:
    """The mbox, made where it is missing, for reading and appending, and its lock held. Raises OSError, Temporary."""
    # A maildir2mbox, or a mail reader, may put another file in this one's place while we wait for the lock.
    for _ in range(10):
        descriptor = durable.open_mailbox(path)
        try:
            if not locks.exclusive(descriptor, PATIENCE):
                raise Temporary(LOCKED, plain=True)
            ours, there = os.fstat(descriptor), os.stat(path)
            if (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise Temporary(b"Unable to lock " + path + b": it is replaced again and again. (#4.2.1)", plain=True)


def _append_all(descriptor: int, path: bytes, messages: Sequence[tuple[bytes, Message]]) -> list[Temporary | None]:
    answers: list[Temporary | None] = [None] * len(messages)
    begin = end = 0
    try:
        begin = end = os.lseek(descriptor, 0, os.SEEK_END)
        if begin == 0:
            # The name must be durable before any message in the file is.
            durable.sync_directory(os.path.dirname(path) or b".")
        missing = missing_end(descriptor)
        for index, (lines, message) in enumerate(messages):
            try:
                end += _append_one(descriptor, missing + lines, message)
                missing = b""
            except Temporary as failure:
                answers[index] = failure
                durable.cut(descriptor, end)
        durable.sync(descriptor)
    except OSError as error:
        text = b"Unable to write %b: %b. (#4.3.0)" % (path, reason(error))
        try:
            durable.cut(descriptor, begin)
            durable.sync(descriptor)
        except OSError:
            pass  # the next delivery repairs what stays behind
        return [Temporary(text, plain=True)] * len(messages)
    return answers


def missing_end(descriptor: int) -> bytes:
    """What a delivery that a crash cut short did not write any more: the end of a line, the empty line behind it."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, 2, max(size - 2, 0))
    if tail in (b"", b"\n", b"\n\n"):
        return b""
    return b"\n" if tail.endswith(b"\n") else b"\n\n"


def _append_one(descriptor: int, lines: bytes, message: Message) -> int:
    quoter = Quoter()
    size = 0
    for piece in message.pieces():
        size += _write(descriptor, lines + quoter.feed(piece))
        lines = b""
    return size + _write(descriptor, lines + quoter.end() + b"\n")


def _write(descriptor: int, data: bytes) -> int:
    size = len(data)
    while data:
        data = data[os.write(descriptor, data) :]
    return size
