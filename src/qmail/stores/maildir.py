"""Mail directories (maildir(5)): deliver into one, list one.

A delivery is durable when it is reported: the file is written and synced under tmp/, linked into new/,
and new/ is synced. Any number of messages share that last sync. A name is never used twice.
"""

from __future__ import annotations

import os
import time

from qmail.formats import maildirname
from qmail.formats.verdict import Temporary
from qmail.host import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.stores.message import Message

NO_MAILDIR = b"Unable to chdir to maildir. (#4.2.1)"
FAILED = b"Temporary error on maildir delivery. (#4.3.0)"

_host: list[bytes] = []
_deliveries = 0


def deliver(directory: bytes, messages: Sequence[tuple[bytes, Message]]) -> list[Temporary | None]:
    """Put messages, each behind its own head lines, into the Maildir `directory` (which ends in a slash).

    For each the answer is None, and the message durable, or why it is not there.
    """
    answers: list[Temporary | None] = [None] * len(messages)
    arrived: dict[int, bytes] = {}
    for index, (lines, message) in enumerate(messages):
        try:
            arrived[index] = _arrive(directory, lines, message)
        except Temporary as failure:
            answers[index] = failure
        except OSError:
            answers[index] = _failure(directory)
    if arrived:
        try:
            durable.sync_directory(directory + b"new")
        except OSError:
            for index, name in arrived.items():
                _forget(directory + b"new/" + name)
                answers[index] = _failure(directory)
    for name in arrived.values():
        _forget(directory + b"tmp/" + name)
    return answers


def _arrive(directory: bytes, lines: bytes, message: Message) -> bytes:
    # A whole, synced file under tmp/, and its name in new/, which is not durable yet.
    descriptor, name = _create(directory + b"tmp/")
    try:
        try:
            for piece in message.pieces():
                _write(descriptor, lines, piece)
                lines = b""
            durable.sync(descriptor)
        finally:
            os.close(descriptor)
        durable.link(directory + b"tmp/" + name, directory + b"new/" + name)
    except BaseException:
        _forget(directory + b"tmp/" + name)
        raise
    return name


def _create(place: bytes) -> tuple[int, bytes]:
    global _deliveries
    if not _host:
        _host.append(os.fsencode(os.uname().nodename))
    for attempt in range(3):
        _deliveries += 1
        seconds, rest = divmod(time.time_ns(), 1_000_000_000)
        name = maildirname.fresh(seconds, rest // 1000, os.getpid(), _deliveries, _host[0])
        try:
            return durable.create(place + name, 0o600), name
        except FileExistsError:
            if attempt == 2:
                raise
    raise AssertionError("not reached")


def _write(descriptor: int, lines: bytes, piece: bytes) -> None:
    done = os.writev(descriptor, (lines, piece)) if lines else os.write(descriptor, piece)
    if done < len(lines) + len(piece):
        rest = (lines + piece)[done:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _forget(path: bytes) -> None:
    try:
        durable.remove(path)
    except OSError:
        pass  # a reader cleans tmp/ of what is 36 hours old


def _failure(directory: bytes) -> Temporary:
    # A Maildir that is not there has words of its own.
    try:
        os.close(os.open(directory + b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return Temporary(NO_MAILDIR, plain=True)
    return Temporary(FAILED, plain=True)
