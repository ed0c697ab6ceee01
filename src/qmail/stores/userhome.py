"""A user's home as qmail-local sees it: fit for deliveries, and with .qmail files (dot-qmail(5))."""

from __future__ import annotations

import errno
import os
import stat
from itertools import islice

from qmail.formats.dotqmail import Instruction, instructions
from qmail.formats.verdict import Permanent, Temporary
from qmail.host import fds
from qmail.host.reasons import reason
from qmail.rules import dotfiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

WRITABLE = 0o002  # by anybody
STICKY = 0o1000
LARGEST = 16 * 1024 * 1024  # bytes of a .qmail file
MOST = 100_000  # instructions of one

NO_MAILBOX = b"Sorry, no mailbox here by that name. (#5.1.1)"
HOME_WRITABLE = b"Uh-oh: home directory is writable. (#4.7.0)"
FILE_WRITABLE = b"Uh-oh: .qmail file is writable. (#4.7.0)"
HOME_STICKY = b"Home directory is sticky: user is editing his .qmail file. (#4.2.1)"
WARNING = b"Warning: home directory is sticky.\n"
# A name that cannot be opened for one of these reasons is not there; any other reason is trouble.
ABSENT = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ENXIO))


class Answer:
    """What becomes of mail for an address: its instructions, and DEFAULT (None: as it was) for what they run."""

    __slots__ = ("default", "instructions")

    def __init__(self, instructions: list[Instruction], default: bytes | None) -> None:
        self.instructions, self.default = instructions, default


def enter(home: bytes) -> bool:
    """Make the home the working directory; True where it is sticky. Raises Temporary where it is not fit."""
    try:
        os.chdir(home)
    except OSError as error:
        raise _soft(b"Unable to switch to %b: %b. (#4.3.0)" % (home, reason(error))) from error
    try:
        mode = os.stat(b".").st_mode
    except OSError as error:
        raise _soft(b"Unable to stat home directory: %b. (#4.3.0)" % reason(error)) from error
    if mode & WRITABLE:
        raise _soft(HOME_WRITABLE)
    return bool(mode & STICKY)


def answer(dash: bytes, ext: bytes, instead: bytes) -> Answer:
    """The instructions for an address of the home that is the working directory.

    `instead`: those of the system, for the plain address without a .qmail file, and for an empty one.
    Raises Permanent where no file answers, Temporary where one cannot be read or is not fit.
    """
    for name, default in dotfiles.candidates(dash, ext):
        found = _read(name)
        if found is not None:
            text, forward_only = found
            if not text:
                return Answer(list(instructions(instead, forward_only=False)), default)
            followed = list(islice(instructions(text, forward_only=forward_only), MOST + 1))
            if len(followed) > MOST:
                raise _soft(b"Unable to follow %b: more than %d instructions. (#4.3.0)" % (name, MOST))
            return Answer(followed, default)
    if dash:
        raise Permanent(NO_MAILBOX, plain=True)
    return Answer(list(instructions(instead, forward_only=False)), None)


def takes(dash: bytes, ext: bytes, is_there: Callable[[bytes], bool]) -> bool:
    """Does a file answer for an address, or is there none needed? `is_there`: is this name, in the home, a file?

    What `answer` would find, without reading it; Permanent is False.
    """
    return not dash or any(is_there(name) for name, _ in dotfiles.candidates(dash, ext))


def exists(name: bytes) -> bool:
    """Is there a file of this name? Raises Temporary where that cannot be seen now."""
    try:
        os.stat(name)
    except OSError as error:
        if error.errno in ABSENT or error.errno in (errno.EACCES, errno.EPERM, errno.ELOOP):
            return False
        raise _unreadable(name, error) from error
    return True


def _read(name: bytes) -> tuple[bytes, bool] | None:
    # Text, and whether only forward lines are allowed; None where this is no file.
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise _unreadable(name, error) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            return None
        if mode & WRITABLE:
            raise _soft(FILE_WRITABLE)
        text = fds.read_all(descriptor, LARGEST)
    except OSError as error:
        raise _unreadable(name, error) from error
    finally:
        os.close(descriptor)
    if text is None:
        raise _soft(b"Unable to open %b: larger than %d bytes. (#4.3.0)" % (name, LARGEST))
    return text, bool(mode & stat.S_IXUSR)


def _unreadable(name: bytes, error: OSError) -> Temporary:
    return _soft(b"Unable to open %b: %b. (#4.3.0)" % (name, reason(error)))


def _soft(text: bytes) -> Temporary:
    return Temporary(text, plain=True)
