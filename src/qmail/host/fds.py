"""Descriptors: whole writes, bounded reads, moves."""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 65536


def open_to_read(path: bytes) -> int:
    """Open a file for reading. A fifo in its place is not waited for, a link not followed. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte to a blocking descriptor. Raises OSError."""
    while data:
        data = data[os.write(descriptor, data) :]


def write_if_ready(descriptor: int, line: bytes) -> bool:
    """Write one line of at most 4 KiB where that does not wait; for words that must not hold anything up."""
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    try:
        return bool(poll.poll(0)) and os.write(descriptor, line[:4096]) > 0
    except OSError:
        return False


def chunks(descriptor: int) -> Iterator[bytes]:
    """What can be read until the end, in pieces of at most 64 KiB."""
    while chunk := os.read(descriptor, CHUNK):
        yield chunk


def read_all(descriptor: int, limit: int) -> bytes | None:
    """Everything until the end, or None where it is more than `limit` bytes."""
    pieces, size = [], 0
    for chunk in chunks(descriptor):
        pieces.append(chunk)
        size += len(chunk)
        if size > limit:
            return None
    return b"".join(pieces)


def move(source: int, target: int) -> None:
    """`source` becomes `target`, inheritable; `source` is closed."""
    if source == target:
        os.set_inheritable(target, True)
    else:
        os.dup2(source, target, inheritable=True)
        os.close(source)


def copy(source: int, target: int) -> None:
    """`target` becomes another name of `source`, inheritable."""
    if source == target:
        os.set_inheritable(target, True)
    else:
        os.dup2(source, target, inheritable=True)


def copy_of_hidden(descriptor: int) -> int | None:
    """A nameless copy of an open file, its offset at the start; None where everybody may read it, or it is no file.

    For whoever may keep what he is given, and open it anew by its name in /proc. Raises OSError.
    """
    mode = os.fstat(descriptor).st_mode
    if mode & 0o004 or not stat.S_ISREG(mode):
        return None
    copy = os.memfd_create("message")
    try:
        at = 0
        while piece := os.pread(descriptor, CHUNK, at):
            write_all(copy, piece)
            at += len(piece)
        os.lseek(copy, 0, os.SEEK_SET)
    except BaseException:
        os.close(copy)
        raise
    return copy


def standard_open() -> None:
    """Make sure 0, 1 and 2 are open, so that no file we open is taken for one of them."""
    while (descriptor := os.open("/dev/null", os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def let_go(descriptor: int) -> None:
    """Close it, whatever the system says of that: what has to be kept was synced before."""
    try:
        os.close(descriptor)
    except OSError:
        pass  # it is closed all the same (close(2))


def close_from(lowest: int, keep: tuple[int, ...] = ()) -> None:
    """Close every descriptor from `lowest` on, except those in `keep`."""
    try:
        names = os.listdir("/proc/self/fd")
    except PermissionError:
        # A confined process does not see them.
        for each in sorted(each for each in keep if each >= lowest):
            os.closerange(lowest, each)
            lowest = each + 1
        os.closerange(lowest, os.sysconf("SC_OPEN_MAX"))
        return
    for name in names:
        descriptor = int(name)
        if descriptor >= lowest and descriptor not in keep:
            try:
                os.close(descriptor)
            except OSError:
                pass  # the one that listed the directory


def close_private() -> None:
    """Close what exec would close: for a child that goes on as another program without exec."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            if not os.get_inheritable(descriptor):
                os.close(descriptor)
        except OSError:
            pass  # the one that listed the directory


def most() -> int:
    """Have as many descriptors as this process may have. Returns how many."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft
    return hard
