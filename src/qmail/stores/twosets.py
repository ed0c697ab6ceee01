"""Two sets of programs for one home: those of C qmail and ours. One is in bin/, and changing takes one moment.

Taken over, the C programs stand in bin.qmail-c/, none of them setuid or setgid; bin.qmail-c.record says
which owner and mode each of them had, and what was made that C qmail does not need. In either direction
everything is prepared beside bin/, reaches the disk, and then the two directories change places. Whatever
ends this half-way, doing it again finishes it.
"""

from __future__ import annotations

import os
import shutil
import stat

from qmail.formats.verdict import Permanent
from qmail.host import durable
from qmail.stores import installation, library
from qmail.stores.home import is_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.stores.library import Source

BIN, NEW, OLD = b"/bin", b"/bin.new", b"/bin.old"
KEPT = b"/bin.qmail-c"
REST = b"/bin.pyqmail"  # what stands in bin/ when it is given back, and is in neither set
RECORD = b"/bin.qmail-c.record"
PROBE = b"qmail-send"  # the program that tells whose directory it is
SET_ID = stat.S_ISUID | stat.S_ISGID


class Record:
    """What bin/ was. `files`: name to (mode, uid, gid), b"." the directory itself; `made`: pieces of the home."""

    def __init__(self) -> None:
        self.files: dict[bytes, tuple[int, int, int]] = {}
        self.made: list[bytes] = []

    def text(self) -> bytes:
        """The file: a line for each, the name at the end."""
        lines = [b"# what 'qmail takeover' found in bin/, and what it made; 'qmail giveback' reads it\n"]
        lines += [b"kept %o %d %d %b\n" % (*status, name) for name, status in sorted(self.files.items())]
        return b"".join(lines + [b"made %b\n" % name for name in self.made])


def read_record(home: bytes) -> Record | None:
    """The record of a home, None where there is none. Raises OSError, and Permanent where it makes no sense."""
    try:
        with open(home + RECORD, "rb", buffering=0) as file:
            text = file.readall()
    except FileNotFoundError:
        return None
    record = Record()
    for line in text.split(b"\n"):
        kind, _, rest = line.partition(b" ")
        words = rest.split(b" ", 3)
        if kind == b"made" and rest:
            record.made.append(rest)
        elif kind == b"kept" and len(words) == 4 and b"".join(words[:3]).isdigit():
            record.files[words[3]] = int(words[0], 8), int(words[1]), int(words[2])
        elif line and not line.startswith(b"#"):
            raise Permanent(home + RECORD + b" has been damaged: " + line)
    return record


def is_ours(directory: bytes) -> bool:
    """Are the programs in this directory ours?"""
    return is_own(directory + b"/" + PROBE, PROBE)


def take_over(home: bytes, programs: Mapping[str, str], source: Source) -> None:
    """Put our programs into bin/. Raises OSError, Permanent, Temporary."""
    _mend(home)
    if not is_ours(home + BIN):
        if is_ours(home + KEPT):
            # A giveback ended half-way; what it had prepared is made anew.
            shutil.rmtree(home + NEW, ignore_errors=True)
            durable.rename(home + KEPT, home + NEW)
        _write_record(home, _seen(home))
        _prepare(home, programs, source)
        _swap(home, NEW)
    elif read_record(home) is None:
        raise Permanent(b"the programs in " + home + BIN + b" are ours already; there is nothing to take over")
    if os.path.lexists(home + NEW):
        durable.rename(home + NEW, home + KEPT)
        durable.sync_directory(home)
    _take_bits(home)


def give_back(home: bytes) -> list[bytes]:
    """Put the C programs back into bin/. Returns where things were left that are in neither set. Raises the same."""
    record = read_record(home)
    if record is None:
        raise Permanent(b"there is nothing to give back: " + home + RECORD + b" is not there")
    _mend(home)
    if is_ours(home + BIN):
        if not os.path.isdir(home + KEPT):
            raise Permanent(b"the C programs are not there: " + home + KEPT)
        _restore(home, record)
        _sync_all(home)
        _swap(home, KEPT)
    if is_ours(home + KEPT):
        durable.rename(home + KEPT, _free(home + REST))
    left = _clear(home)
    _unmake(home, record)
    durable.remove(home + RECORD)
    durable.sync_directory(home)
    return left


# ---- taking over


def _seen(home: bytes) -> Record:
    record = Record()
    old = read_record(home)
    record.files[b"."] = _status(home + BIN)
    for name in os.listdir(home + BIN):
        if b"\n" in name:
            raise Permanent(b"a name with a line break stands in " + home + BIN)
        record.files[name] = _status(home + BIN + b"/" + name)
    missing = [name for name in needed() if not os.path.lexists(home + b"/" + name)]
    record.made = [*(old.made if old else ()), *missing]
    return record


def needed() -> list[bytes]:
    """The pieces of a home that ours has to have. The split directories are as many as the queue was made with."""
    names = [piece.name for piece in installation.pieces()]
    return [name for name in names if name and not name.rpartition(b"/")[2].isdigit()]


def _write_record(home: bytes, record: Record) -> None:
    durable.replace_file(home + RECORD, home + RECORD + b".new", record.text(), 0o600)


def _prepare(home: bytes, programs: Mapping[str, str], source: Source) -> None:
    record = read_record(home)
    installation.create(home, set(record.made) if record else set())
    library.install(home, source)
    shutil.rmtree(home + NEW, ignore_errors=True)
    os.mkdir(home + NEW, 0o755)
    place = os.fsdecode(home) + "/lib"
    library.launchers(home + NEW, programs, library.Source(place, place, source.interpreter))
    _join(home, BIN, NEW)
    status = os.stat(home + BIN)
    os.chown(home + NEW, status.st_uid, status.st_gid)
    os.chmod(home + NEW, stat.S_IMODE(status.st_mode))
    _sync_all(home)


def _join(home: bytes, source: bytes, target: bytes) -> None:
    """What is in neither set of programs, the administrator's own, stands in both directories."""
    for name in os.listdir(home + source):
        old, new = home + source + b"/" + name, home + target + b"/" + name
        if os.path.lexists(new) or library.module_of(old) is not None:
            continue
        if not os.path.isdir(old) or os.path.islink(old):
            durable.link(old, new)
        elif target == NEW:
            os.symlink(home + KEPT + b"/" + name, new)


def _take_bits(home: bytes) -> None:
    shared = {name for name in os.listdir(home + KEPT) if _same(home + KEPT + b"/" + name, home + BIN + b"/" + name)}
    for name in os.listdir(home + KEPT):
        path = home + KEPT + b"/" + name
        mode = _status(path)[0]
        if mode & SET_ID and name not in shared and not os.path.islink(path):
            os.chmod(path, mode & ~SET_ID)


# ---- giving back


def _restore(home: bytes, record: Record) -> None:
    for name, (mode, uid, gid) in record.files.items():
        path = home + KEPT + (b"" if name == b"." else b"/" + name)
        if not os.path.lexists(path) or _status(path) == (mode, uid, gid):
            continue
        os.chown(path, uid, gid, follow_symlinks=False)
        if not os.path.islink(path):
            os.chmod(path, mode)  # after the owner: changing that takes the bits away
    _join(home, BIN, KEPT)


def _clear(home: bytes) -> list[bytes]:
    """Remove our launchers, and second names of what stands in bin/. Returns the directories that hold more."""
    left = []
    for directory in (home + b"/" + name for name in os.listdir(home) if name.startswith(REST[1:])):
        for name in os.listdir(directory):
            path = directory + b"/" + name
            if library.module_of(path) is not None or _same(path, home + BIN + b"/" + name) or _leads_back(path, home):
                durable.remove(path)
        if os.listdir(directory):
            left.append(directory)
        else:
            os.rmdir(directory)
    return left


def _leads_back(path: bytes, home: bytes) -> bool:
    return os.path.islink(path) and os.path.dirname(os.readlink(path)) == home + KEPT


def _free(path: bytes) -> bytes:
    return next(name for name in (path, *(b"%b.%d" % (path, i) for i in range(1, 1000))) if not os.path.lexists(name))


def _unmake(home: bytes, record: Record) -> None:
    library.uninstall(home)
    for name in reversed(record.made):
        path = home + b"/" + name
        if name in (b"qq", b"qs", b"qr", b"qp", b"ql", b"qt", b"qc", b"sts", b"tlsrpt", b"queue/spare"):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.isdir(path) and not os.listdir(path):
            os.rmdir(path)


# ---- both


def _swap(home: bytes, other: bytes) -> None:
    try:
        durable.exchange(home + BIN, home + other)
    except OSError:
        durable.rename(home + BIN, home + OLD)
        durable.rename(home + other, home + BIN)
        durable.rename(home + OLD, home + other)
    durable.sync_directory(home)


def _mend(home: bytes) -> None:
    """Finish a swap that was ended between two renames."""
    if os.path.lexists(home + OLD):
        if not os.path.lexists(home + BIN):
            durable.rename(home + (NEW if os.path.lexists(home + NEW) else KEPT), home + BIN)
        durable.rename(home + OLD, home + KEPT)


def _sync_all(home: bytes) -> None:
    sync = durable.whole()
    if sync is None:
        os.sync()
    else:
        descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)


def _status(path: bytes) -> tuple[int, int, int]:
    status = os.lstat(path)
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def _same(first: bytes, second: bytes) -> bool:
    try:
        return os.path.samestat(os.lstat(first), os.lstat(second))
    except FileNotFoundError:
        return False
