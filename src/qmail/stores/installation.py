"""The directories and files of a home, with their owners and modes (hier.c's table, and ours).

`create` makes what is missing and, as root, gives every piece its owner; run again it changes nothing
that is right already. `faults` compares what is there with the same table. Nothing here is setuid or
setgid but the alias directory, whose group is kept.
"""

from __future__ import annotations

import os
import stat

from qmail.formats import bootscript
from qmail.formats.queuefile import SPLIT, SPLIT_KINDS
from qmail.formats.verdict import Permanent, Temporary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

ACCOUNTS = (b"alias", b"qmaild", b"qmaill", b"qmailp", b"qmailq", b"qmailr", b"qmails")
# Who uses the keys of TLS, and who runs control/rcptcheck; where there is none, qmaild does.
KEYS, CHECKS = b"qmailt", b"qmailc"
TCPTO_SIZE = 1024


class Piece:
    """One directory, file or fifo below the home."""

    __slots__ = ("group", "kind", "mode", "name", "owner")

    def __init__(self, name: bytes, kind: str, owner: bytes, group: bytes, mode: int) -> None:
        self.name, self.kind, self.owner, self.group, self.mode = name, kind, owner, group, mode


def pieces() -> Iterator[Piece]:
    """Everything a home consists of before the first message, parents first."""
    for name in (
        b"",
        b"bin",
        b"boot",
        b"control",
        b"doc",
        b"lib",
        b"man",
        b"man/man1",
        b"man/man5",
        b"man/man7",
        b"man/man8",
        b"users",
    ):
        yield Piece(name, "directory", b"root", b"qmail", 0o755)
    yield Piece(b"alias", "directory", b"alias", b"nofiles", 0o2755)
    yield Piece(b"queue", "directory", b"qmailq", b"qmail", 0o750)
    for name, mode in ((b"pid", 0o700), (b"intd", 0o700), (b"todo", 0o750), (b"spare", 0o700), (b"lock", 0o750)):
        yield Piece(b"queue/" + name, "directory", b"qmailq", b"qmail", mode)
    yield Piece(b"queue/bounce", "directory", b"qmails", b"qmail", 0o700)
    yield Piece(b"queue/bad", "directory", b"qmails", b"qmail", 0o700)
    for kind in SPLIT_KINDS:
        owner, mode = (b"qmailq", 0o750) if kind == b"mess" else (b"qmails", 0o700)
        yield Piece(b"queue/" + kind, "directory", owner, b"qmail", mode)
        for part in range(SPLIT):
            yield Piece(b"queue/%b/%d" % (kind, part), "directory", owner, b"qmail", mode)
    yield Piece(b"queue/lock/sendmutex", "file", b"qmails", b"qmail", 0o600)
    yield Piece(b"queue/lock/tcpto", "file", b"qmailr", b"qmail", 0o644)
    yield Piece(b"queue/lock/trigger", "fifo", b"qmails", b"qmail", 0o622)
    # Where the sockets of qmail-queued, qmail-send, qmail-dns, qmail-rcptd, qmail-lspawn, qmail-tlsd and
    # qmail-checkd stand.
    yield Piece(b"qq", "directory", b"qmailq", b"qmail", 0o755)
    yield Piece(b"qs", "directory", b"qmails", b"qmail", 0o750)
    yield Piece(b"qr", "directory", b"qmailr", b"qmail", 0o755)
    yield Piece(b"qp", "directory", b"qmailp", b"nofiles", 0o755)
    yield Piece(b"ql", "directory", b"root", b"qmail", 0o755)
    yield Piece(b"qt", "directory", b"root", b"qmail", 0o755)
    yield Piece(b"qc", "directory", b"root", b"qmail", 0o755)
    # What qmail-stsd and qmail-tlsrptd keep.
    yield Piece(b"sts", "directory", b"qmailr", b"qmail", 0o755)
    yield Piece(b"tlsrpt", "directory", b"qmailr", b"qmail", 0o700)


def installed(programs: Iterable[bytes], pages: Iterable[bytes], documents: Iterable[bytes]) -> Iterator[Piece]:
    """The files that `make setup` adds: programs, manual pages (`man8/NAME.8`), the scripts of boot/, and doc/."""
    for name in programs:
        yield Piece(b"bin/" + name, "file", b"root", b"qmail", 0o755)
    for name in pages:
        yield Piece(b"man/" + name, "file", b"root", b"qmail", 0o644)
    for name, _ in bootscript.scripts(b""):
        yield Piece(b"boot/" + name, "file", b"root", b"qmail", 0o755)
    for name in documents:
        yield Piece(b"doc/" + name, "file", b"root", b"qmail", 0o644)


def create(home: bytes, names: Container[bytes] | None = None) -> None:
    """Make a home: as root with the owners of a real installation, else all of it ours (single-user mode).

    `names`: only these pieces. Raises Temporary or Permanent, naming the piece.
    """
    settle(home, [piece for piece in pieces() if names is None or piece.name in names])


def settle(home: bytes, what: Iterable[Piece]) -> None:
    """Make what is missing of these pieces, and give each its mode and (as root) its owner.

    Raises Temporary or Permanent, naming the piece.
    """
    accounts = owners() if os.geteuid() == 0 else None
    for piece in what:
        path = _path(home, piece)
        try:
            _make(path, piece)
            if os.path.islink(path):
                continue  # bin/ of somebody's choice; a queue part on another disk is owned there
            if accounts is not None:
                os.chown(path, accounts[piece.owner], accounts[b"group " + piece.group])
            # In single-user mode nobody else has any business here, but the modes say the same.
            os.chmod(path, piece.mode)
        except OSError as error:
            reason = os.fsencode(error.strerror or str(error))
            raise Temporary(b"unable to make " + path + b": " + reason) from error


def faults(home: bytes, what: Iterable[Piece]) -> Iterator[bytes]:
    """What is not as it should be, one line each. In single-user mode everything may be ours."""
    single = os.geteuid() != 0
    accounts = {} if single else owners()
    for piece in what:
        path = _path(home, piece)
        try:
            status = os.stat(path) if piece.kind == "directory" else os.lstat(path)
        except OSError as error:
            yield path + b": " + os.fsencode(error.strerror or "?").lower()
            continue
        if not KINDS[piece.kind](status.st_mode):
            yield path + b": is no " + piece.kind.encode()
            continue
        if not single and status.st_uid != accounts[piece.owner]:
            yield path + b": belongs to user %b, should to %b" % (_user(status.st_uid), piece.owner)
        if not single and status.st_gid != accounts[b"group " + piece.group]:
            yield path + b": belongs to group %d, should to %b" % (status.st_gid, piece.group)
        if (mode := stat.S_IMODE(status.st_mode)) != piece.mode:
            yield path + b": has mode %04o, should have %04o" % (mode, piece.mode)


def library_faults(home: bytes) -> Iterator[bytes]:
    """What in lib/ somebody else might change, or some user of qmail cannot read; and closed ways to the home."""
    for parent in _parents(home):
        if not os.stat(parent).st_mode & 0o001:
            yield parent + b": is closed to other users, and the home lies in it"
    for place, _, names in os.walk(home + b"/lib"):
        for path in (place, *(place + b"/" + name for name in names)):
            status = os.lstat(path)
            needed = 0o005 if stat.S_ISDIR(status.st_mode) else 0o004
            if os.geteuid() == 0 and status.st_uid != 0:
                yield path + b": belongs to user %b, should to root" % _user(status.st_uid)
            if status.st_mode & 0o022 and not stat.S_ISLNK(status.st_mode):
                yield path + b": may be written by others than its owner"
            if status.st_mode & needed != needed:
                yield path + b": cannot be read by every user"


KINDS = {"directory": stat.S_ISDIR, "file": stat.S_ISREG, "fifo": stat.S_ISFIFO}


def _path(home: bytes, piece: Piece) -> bytes:
    return home + (b"/" + piece.name if piece.name else b"")


def _parents(path: bytes) -> Iterator[bytes]:
    while path not in (b"/", b""):
        path = os.path.dirname(path)
        yield path or b"/"


def _user(uid: int) -> bytes:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name.encode()
    except KeyError:
        return b"%d" % uid


def _make(path: bytes, piece: Piece) -> None:
    if os.path.lexists(path):
        return
    if piece.kind == "directory":
        os.makedirs(path, 0o755) if not piece.name else os.mkdir(path, 0o700)
    elif piece.kind == "fifo":
        os.mkfifo(path, 0o600)
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if piece.name.endswith(b"/tcpto"):
            os.write(descriptor, b"\0" * TCPTO_SIZE)
        os.close(descriptor)


def owners() -> dict[bytes, int]:
    """The uid of each account, and under `group NAME` the gid of each group. Raises Permanent where one is missing."""
    import grp
    import pwd

    try:
        found = {name: pwd.getpwnam(name.decode()).pw_uid for name in ACCOUNTS}
        found |= {b"group " + name: grp.getgrnam(name.decode()).gr_gid for name in (b"qmail", b"nofiles")}
    except KeyError as error:
        raise Permanent(
            b"the qmail users are missing (" + str(error).encode() + b"); see INSTALL, or run 'qmail setup'"
        ) from None
    return found | {b"root": 0}
