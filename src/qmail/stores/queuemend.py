"""Mending a queue in which nobody works: each step leaves nothing lost, whatever ends it."""

from __future__ import annotations

import os

from qmail.host import durable, fds
from qmail.rules.queuestates import ASIDE, CUT, REMOVE, STATE
from qmail.stores.queuecheck import KINDS, MODES, sensible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.rules.queuestates import Fault
    from qmail.stores.queue import Queue
    from qmail.stores.queuecheck import Misfit, Undressed


def dress(file: Undressed) -> None:
    """Give a file its owner and mode. Raises OSError."""
    if os.geteuid() == 0:
        os.chown(file.path, file.uid, -1, follow_symlinks=False)
    os.chmod(file.path, file.mode)


def place(queue: Queue, misfit: Misfit) -> None:
    """Move a file where it belongs, or aside. Raises OSError."""
    if misfit.target is None or os.path.lexists(misfit.target):
        keep(queue.root, misfit.kind, misfit.path)
        return
    durable.rename(misfit.path, misfit.target)
    durable.sync_directory(os.path.dirname(misfit.target))
    durable.sync_directory(os.path.dirname(misfit.path))


def remove(path: bytes) -> None:
    """Take away what is left of nothing. Raises OSError."""
    durable.remove(path)
    durable.sync_directory(os.path.dirname(path))


def mend(queue: Queue, fault: Fault) -> None:
    """Do what is to be done about a message, but give it a number. Raises OSError."""
    paths = [(kind, queue.file(kind, fault.number)) for kind in fault.kinds]
    if fault.remedy == ASIDE:
        # The message itself last: as long as it is there, its number is not used again.
        for kind, path in sorted(paths, key=lambda pair: pair[0] == b"mess"):
            keep(queue.root, kind, path)
    elif fault.remedy == CUT:
        _cut(queue, *paths[0])
    elif fault.remedy == REMOVE:
        for _, path in sorted(paths, key=lambda pair: pair[0] == b"mess"):
            remove(path)


def keep(root: bytes, kind: bytes, path: bytes) -> None:
    """Set a file of the queue at `root` aside in bad/, under its kind and name. Raises OSError."""
    name = b"%b/bad/%b.%b" % (root, kind, os.path.basename(path))
    target = next(each for each in (name, *(b"%b.%d" % (name, i) for i in range(1, 1000))) if not os.path.lexists(each))
    durable.rename(path, target)
    durable.sync_directory(root + b"/bad")
    durable.sync_directory(os.path.dirname(path))


def _cut(queue: Queue, kind: bytes, path: bytes) -> None:
    with open(path, "rb", buffering=0) as file:
        text = file.readall()
    status = os.stat(path)
    temporary = b"%b/bad/%b.%b.new" % (queue.root, kind, os.path.basename(path))
    copy = b"%b/bad/%b.%b.whole" % (queue.root, kind, os.path.basename(path))
    durable.replace_file(copy, temporary, text, 0o600)

    def write(descriptor: int) -> None:
        os.fchown(descriptor, status.st_uid, status.st_gid)
        fds.write_all(descriptor, sensible(text)[0])
        os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))  # the time of the next attempt

    durable.replace_with(path, temporary, write, MODES[kind][1])
    durable.sync_directory(queue.root + b"/bad")


# ---- numbers


def renumber(queue: Queue, number: int) -> int:
    """Give a message the number of its inode, or of a new inode where that number is taken. Returns the new number.

    First every other name, then the one that makes it a message: at no moment it is none, and for a moment it
    may be two of the same files, which `Checked` tells from two messages. Raises OSError.
    """
    new = os.lstat(queue.file(b"mess", number)).st_ino
    if any(os.path.lexists(queue.file(kind, new)) for kind in KINDS):
        new = _copied(queue, number)
    else:
        durable.link(queue.file(b"mess", number), queue.file(b"mess", new))
    accepted = os.path.lexists(queue.file(b"todo", number))
    last = b"todo" if accepted else b"info"
    if accepted:
        _forget(queue, number, STATE)
    others = [b"intd"] if accepted else [kind for kind in STATE if kind != b"info"]
    others = [kind for kind in others if os.path.lexists(queue.file(kind, number))]
    for kind in others:
        durable.link(queue.file(kind, number), queue.file(kind, new))
    for kind in (b"mess", *others):
        durable.sync_directory(queue.directory(kind, new))
    durable.link(queue.file(last, number), queue.file(last, new))
    durable.sync_directory(queue.directory(last, new))
    _forget(queue, number, [last])
    _forget(queue, number, others)
    _forget(queue, number, [b"mess"])
    return new


def _forget(queue: Queue, number: int, kinds: list[bytes] | tuple[bytes, ...]) -> None:
    for kind in kinds:
        durable.remove(queue.file(kind, number))
    for kind in kinds:
        durable.sync_directory(queue.directory(kind, number))


def _copied(queue: Queue, number: int) -> int:
    """The message in a file of its own, under the number of that; its first name is in pid/ as always."""
    source = queue.file(b"mess", number)
    status = os.stat(source)
    held: list[int] = []
    temporary = b"%b/pid/renumber.%d" % (queue.root, number)
    try:
        while True:
            durable.remove(temporary)
            descriptor = durable.create(temporary)
            held.append(descriptor)  # kept open: a number that is taken must not be given to us again
            new = os.fstat(descriptor).st_ino
            if len(held) > 100 or not any(os.path.lexists(queue.file(kind, new)) for kind in KINDS):
                break
        with open(source, "rb", buffering=0) as file:
            for chunk in fds.chunks(file.fileno()):
                fds.write_all(descriptor, chunk)
        os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, MODES[b"mess"][1])
        durable.sync(descriptor)
        durable.link(temporary, queue.file(b"mess", new))
        durable.remove(temporary)
    finally:
        for descriptor in held:
            os.close(descriptor)
    return new
