"""The record of what `qmail setup` has made, and how each kind of thing is taken away again.

One line for each, written before the thing is made, so that a set-up that was cut short is recorded too:

    group NAME              user NAME               directory PATH
    file SUM PATH           goes if it is as it was made (SHA-256); what somebody has changed stays
    piece PATH              a file of the system's own, which goes whatever is in it
    link TARGET PATH        programs HOME           line TEXT<TAB>PATH
    maildir PATH            unit NAME
    made THING              the thing is whole, which its presence alone does not tell
"""

from __future__ import annotations

import os
import stat

from qmail.formats import bootscript
from qmail.host import durable, execute
from qmail.stores import library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = b"/setup.record"
PATH = {b"PATH": b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
LARGEST = 1 << 22  # bytes of a file that may be compared with its sum


def sum_of(data: bytes) -> bytes:
    """The sum by which a file is known to be as it was made."""
    import hashlib

    return hashlib.sha256(data).hexdigest().encode()


def lines(home: bytes) -> list[bytes]:
    """The record, oldest first; empty where there is none. Raises OSError."""
    try:
        with open(home + NAME, "rb") as file:
            return [line for line in file.read().split(b"\n") if line]
    except FileNotFoundError:
        return []


def add(home: bytes, new: Sequence[bytes]) -> None:
    """Record what will be made now. Raises OSError."""
    present = set(lines(home))
    text = b"".join([line + b"\n" for line in new if line not in present])
    descriptor = durable.open_append(home + NAME, 0o644)
    try:
        while text:
            text = text[os.write(descriptor, text) :]
        durable.sync(descriptor)
    finally:
        os.close(descriptor)
    durable.sync_directory(home)


def half_made(home: bytes, thing: bytes) -> bool:
    """Was this thing begun by us, and never made whole? Raises OSError."""
    present = lines(home)
    return thing in present and b"made " + thing not in present


def run(*words: bytes) -> int:
    """Run a program of the system with no input, its words on our descriptors 1 and 2. Returns its exit code."""
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _, status = os.waitpid(execute.spawn(list(words), PATH, {0: nothing}, unable=127), 0)
    finally:
        os.close(nothing)
    return os.waitstatus_to_exitcode(status)


def undo(line: bytes) -> bytes | None:
    """Take away what a line records. Returns why it stays, or None where it is gone. Raises OSError."""
    kind, _, rest = line.partition(b" ")
    return UNDO[kind](rest) if kind in UNDO else b"unknown in this version: " + line


def _file(rest: bytes) -> bytes | None:
    wanted, _, path = rest.partition(b" ")
    try:
        with open(path, "rb") as file:
            found = sum_of(file.read(LARGEST))
    except FileNotFoundError:
        return None
    if found != wanted:
        return path + b" has been changed since"
    durable.remove(path)
    return None


def _piece(path: bytes) -> bytes | None:
    durable.remove(path)
    return None


def _directory(path: bytes) -> bytes | None:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return None
    except OSError:
        return path + b" holds something else"
    return None


def _link(rest: bytes) -> bytes | None:
    target, _, path = rest.partition(b" ")
    try:
        found = os.readlink(path)
    except FileNotFoundError:
        return None
    except OSError:
        return path + b" is no link any more"
    if found != target:
        return path + b" leads elsewhere"
    durable.remove(path)
    return None


def _line(rest: bytes) -> bytes | None:
    text, _, path = rest.partition(b"\t")
    with open(path, "rb") as file:
        old = file.read()
    new = b"".join(each for each in old.splitlines(keepends=True) if each.rstrip(b"\n") != text)
    if new != old:
        durable.replace_file(path, path + b".new", new, stat.S_IMODE(os.stat(path).st_mode))
    return None


def _programs(home: bytes) -> bytes | None:
    programs = library.programs_beside(home + b"/bin/x")
    for name in map(os.fsencode, programs):
        durable.remove(home + b"/bin/" + name)
    for name, _ in bootscript.scripts(home):
        durable.remove(home + b"/boot/" + name)
    for part in (b"/man", b"/doc"):
        _empty(home + part)
    library.uninstall(home)
    return None


def _empty(path: bytes) -> None:
    # Only what `make setup` installs stands there.
    for place, folders, names in os.walk(path, topdown=False):
        for name in names:
            durable.remove(place + b"/" + name)
        for name in folders:
            os.rmdir(place + b"/" + name)


def _maildir(path: bytes) -> bytes | None:
    parts = [path + part for part in (b"/tmp", b"/new", b"/cur")]
    try:
        if len(os.listdir(path)) != len(parts) or any(os.listdir(part) for part in parts):
            return path + b" holds something"
    except FileNotFoundError:
        return None
    for part in (*parts, path):
        os.rmdir(part)
    return None


def _account(word: bytes) -> Callable[[bytes], bytes | None]:
    def undo_account(name: bytes) -> bytes | None:
        code = run(word, name)
        return None if code in (0, 6) else b"%b %b: exit code %d" % (word, name, code)  # 6: there is none

    return undo_account


def _unit(name: bytes) -> bytes | None:
    run(b"systemctl", b"disable", b"--now", name)
    return None


UNDO: dict[bytes, Callable[[bytes], bytes | None]] = {
    b"group": _account(b"groupdel"), b"user": _account(b"userdel"), b"file": _file, b"piece": _piece,
    b"directory": _directory, b"link": _link, b"line": _line, b"programs": _programs, b"maildir": _maildir,
    b"unit": _unit, b"made": lambda rest: None,
}  # fmt: skip
