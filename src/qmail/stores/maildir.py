"""Mail directories (maildir(5)): deliver into one, list one.

A delivery is durable when it is reported: the file is written and synced under tmp/, linked into new/,
and new/ is synced. Messages that come together share the waits for the disk. A name is never used twice.
"""

from __future__ import annotations

import os
import time

from qmail.formats import maildirname
from qmail.formats.verdict import Temporary
from qmail.host import durable
from qmail.rules.barriers import Rest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmail.stores.message import Message

NO_MAILDIR = b"Unable to chdir to maildir. (#4.2.1)"
FAILED = b"Temporary error on maildir delivery. (#4.3.0)"

MOST = 1_000_000  # messages that a reader is shown; each takes about 300 bytes of its memory
FEW = 3  # files for which one syncfs is better than their fsyncs

_syncfs: list[Callable[[int], None]] = []
_rest = Rest()
_host: list[bytes] = []
_deliveries = 0


def share_syncs() -> None:
    """From now on three or more messages may share the sync of their files, by one syncfs(2).

    For a process that stays; loads code, and so belongs before privileges are dropped.
    """
    _syncfs[:] = filter(None, [durable.whole()])


def deliver(directory: bytes, messages: Sequence[tuple[bytes, Message]]) -> list[Temporary | None]:
    """Put messages, each behind its own head lines, into the Maildir `directory` (which ends in a slash).

    For each the answer is None, and the message durable, or why it is not there.
    """
    answers: list[Temporary | None] = [None] * len(messages)
    files: dict[int, tuple[int, bytes]] = {}  # index to descriptor and name
    for index, (lines, message) in enumerate(messages):
        try:
            files[index] = _write_file(directory, lines, message)
        except Temporary as failure:
            answers[index] = failure
        except OSError:
            answers[index] = _failure(directory)
    failed = _sync_files([descriptor for descriptor, _ in files.values()])
    linked = []
    for index, (descriptor, name) in files.items():
        try:
            if descriptor in failed:
                raise OSError
            durable.link(directory + b"tmp/" + name, directory + b"new/" + name)
            linked.append(index)
        except OSError:
            answers[index] = _failure(directory)
    if linked:
        try:
            durable.sync_directory(directory + b"new")
        except OSError:
            for index in linked:
                _forget(directory + b"new/" + files[index][1])
                answers[index] = _failure(directory)
    for _, name in files.values():
        _forget(directory + b"tmp/" + name)
    return answers


def _write_file(directory: bytes, lines: bytes, message: Message) -> tuple[int, bytes]:
    # An open, whole file under tmp/, not durable yet.
    descriptor, name = _create(directory + b"tmp/")
    try:
        waiting = 0
        for piece in message.pieces():
            _write(descriptor, lines, piece)
            lines = b""
            waiting += len(piece)
            if waiting > durable.EARLY:
                durable.begin_writing(descriptor)
                waiting = 0
    except BaseException:
        os.close(descriptor)
        _forget(directory + b"tmp/" + name)
        raise
    return descriptor, name


def _sync_files(descriptors: list[int]) -> set[int]:
    # Makes the files durable and closes them; returns those that may not be on the disk.
    failed: set[int] = set()
    try:
        if len(descriptors) >= FEW and _syncfs and _rest.over(begin := time.monotonic()):
            # The first of them was open before any of them was written, and so hears of every error.
            _syncfs[0](descriptors[0])
            _rest.took(begin, time.monotonic(), len(descriptors))
        else:
            for descriptor in descriptors:
                try:
                    durable.sync(descriptor)
                except OSError:
                    failed.add(descriptor)
    except OSError:
        _rest.failed(time.monotonic())
        failed.update(descriptors)
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError:
            failed.add(descriptor)  # some network file systems say only now that there was no room
    return failed


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


def waiting(directory: bytes, places: Sequence[bytes] = (b"new/", b"cur/")) -> list[tuple[bytes, float]]:
    """(path, time of last change) of every message in these places, the oldest first. Raises OSError.

    Where there are more than MOST, so many of them: the others' turn comes when some are gone.
    """
    found: list[tuple[bytes, float]] = []
    for place in places:
        for entry in os.scandir(directory + place):
            if len(found) == MOST:
                break
            try:
                if not entry.name.startswith(b".") and entry.is_file():
                    found.append((directory + place + entry.name, entry.stat().st_mtime))
            except FileNotFoundError:
                pass  # another reader has just moved or removed it
    return sorted(found, key=lambda each: (each[1], os.path.basename(each[0])))
