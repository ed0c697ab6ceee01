"""Durable writes: the only place where queue and mailbox names come, go and reach the disk.

Only what was fsynced is durable; a name is durable when its directory was fsynced. fsync is never
retried: after an error the kernel may have dropped the pages, and the file is dead.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EARLY = 4 * 1024 * 1024  # bytes that have been written to a file, after which the disk had better begin with them
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def create(path: bytes, mode: int = 0o644) -> int:
    """Open a new file for writing; FileExistsError where the name is taken."""
    return os.open(path, CREATE, mode)


def open_append(path: bytes, mode: int = 0o600) -> int:
    """Open for appending, made where missing; a link is not followed."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, mode)


def open_mailbox(path: bytes) -> int:
    """Open a file of mail for appending, made where missing (mode 600).

    A link is followed only in a directory of our own: elsewhere anybody may have laid it.
    """
    parent = os.stat(os.path.dirname(path) or b".")
    trap = 0 if parent.st_uid == os.geteuid() else os.O_NOFOLLOW
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | trap, 0o600)


def cut(descriptor: int, size: int) -> None:
    """Take away what was appended behind `size` bytes."""
    os.ftruncate(descriptor, size)


def open_update(path: bytes) -> int:
    """Open an existing file for reading and writing in place; a link is not followed."""
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)


def sync(descriptor: int) -> None:
    """Everything written to this file, and its size, is on the disk when this returns."""
    os.fsync(descriptor)


def sync_data(descriptor: int) -> None:
    """Everything written to this file is on the disk when this returns (no size change is to be kept)."""
    os.fdatasync(descriptor)


def sync_directory(path: bytes) -> None:
    """Every name made or removed in this directory is durable when this returns."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stir_directory(path: bytes) -> None:
    """Change a directory, so that its next sync writes it anew: one that failed before is not to be trusted else."""
    name = path + b"/.stir"
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    os.unlink(name)


_begin: list[Callable[[int], None]] = []  # how a disk is asked to begin, once that is known


def begin_writing(descriptor: int) -> None:
    """Have the disk begin with what was written to this file; nobody waits, and nothing is durable by it.

    A hint (sync_file_range(2)) that leaves less to wait for to the sync that comes later. It never fails.
    """
    if not _begin:
        _begin.append(_beginning())
    _begin[0](descriptor)


def _beginning() -> Callable[[int], None]:
    import ctypes

    try:
        call = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return lambda _descriptor: None
    everything, write = ctypes.c_int64(0), ctypes.c_uint(2)  # SYNC_FILE_RANGE_WRITE
    return lambda descriptor: call(descriptor, everything, everything, write)


def whole() -> Callable[[int], None] | None:
    """syncfs(2), or None where the system lacks it: everything on the file system of a descriptor reaches the disk.

    It reports each error once to each descriptor that was open when it happened. Raises OSError.
    """
    import ctypes

    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None

    def sync_whole(descriptor: int) -> None:
        if syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    return sync_whole


def link(source: bytes, target: bytes) -> None:
    """Give a file a second name."""
    os.link(source, target, follow_symlinks=False)


def rename(source: bytes, target: bytes) -> None:
    """Give a file another name, replacing what had it."""
    os.rename(source, target)


def exchange(first: bytes, second: bytes) -> None:
    """Two names change places, at one moment: nobody sees either of them missing.

    Raises OSError; EINVAL or ENOSYS where the system or this file system cannot.
    """
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    here, exchanging = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if library.renameat2(here, first, here, second, exchanging):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), first)


def remove(path: bytes) -> bool:
    """Take a name away. False where there was none."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def replace_file(path: bytes, temporary: bytes, data: bytes, mode: int = 0o644) -> None:
    """Write `data` under `path` so that every reader, and every crash, sees the old or the new file, whole."""

    def write(descriptor: int) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    replace_with(path, temporary, write, mode)


def replace_with(path: bytes, temporary: bytes, write: Callable[[int], None], mode: int = 0o600) -> None:
    """The same for a file that `write` writes, given the descriptor; what it raises leaves the old file."""
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(descriptor, mode)
        write(descriptor)
        sync(descriptor)
    finally:
        os.close(descriptor)
    rename(temporary, path)
    sync_directory(os.path.dirname(path) or b".")
