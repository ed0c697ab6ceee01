"""A directory of log files that turn by themselves (multilog(8), AUTOMATICALLY ROTATED LOGS).

`current` has mode 644 while it is written, and 744 when it is whole and on the disk: found with mode 644 at
the start, it was cut off by a crash, and becomes `@LABEL.u`. A whole one becomes `@LABEL.s`, by itself or
as the output of a processor. Names change by link and unlink, so that no crash loses a file: `previous`
is a `current` on its way, `processed` what a processor has made of it, `state` and `newstate` what it keeps.

Once open, nothing here fails: what cannot be done is said on descriptor 2, and tried again.
"""

from __future__ import annotations

import os
import time

from qmail.formats import tai64n
from qmail.formats.logscript import Log
from qmail.formats.verdict import Temporary
from qmail.host import durable, execute, fds, locks, program
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

WHOLE = 0o744
GROWING = 0o644
PAUSE = 5  # seconds before trying again
BUFFER = 512  # bytes that are gathered before they count as written
NEAR = 2000  # bytes: a line that ends this near to the limit ends the file


def insist(what: bytes, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it, however often it must be tried."""
    while True:
        try:
            return act(*args, **kwargs)
        except OSError as error:
            program.say(2, program.line(b"multilog: warning: unable to " + what + b", pausing: " + reason(error)))
            time.sleep(PAUSE)


class LogDirectory:
    """One open log. Raises Temporary where it cannot be opened, or another multilog has it.

    `start`: the directory that its name is relative to.
    """

    def __init__(self, log: Log, start: int, environ: dict[bytes, bytes]) -> None:
        self.name, self.limit, self.number, self.processor = log.directory, log.size, log.number, log.processor
        self.start, self.environ = start, environ
        self._held = bytearray()  # not yet counted
        self._ready: list[bytes] = []  # counted, not yet in the file
        self._open()

    # ---- writing

    def put(self, line: bytes) -> None:
        """Add a piece of a line that is taken as a whole; `add` the rest, and the newline."""
        if len(self._held) + len(line) > BUFFER:
            self._count_held()
            if len(line) > BUFFER:
                self._count(line)
                return
        self._held += line

    def add(self, rest: bytes) -> None:
        """Add bytes one by one."""
        while len(self._held) + len(rest) > BUFFER:
            room = BUFFER - len(self._held)
            self._held += rest[:room]
            rest = rest[room:]
            self._count_held()
        self._held += rest

    def takes(self, size: int) -> bool:
        """May so many bytes of whole lines be appended at once? Not near to the limit."""
        return self.size + len(self._held) + size < self.limit - NEAR

    def append(self, lines: bytes) -> None:
        """Add whole lines that `takes` has let in."""
        self.settle()
        self._ready.append(lines)
        self.size += len(lines)

    def settle(self) -> None:
        """What was put counts as written: what comes next is another write."""
        if self._held:
            self._count_held()

    def write(self) -> None:
        """Everything that counts as written is in the file when this returns, and the file has a name."""
        data, self._ready = b"".join(self._ready), []
        self._write(data)
        while data and not os.fstat(self._current).st_nlink:
            self._begin_again()
            self.size += len(data)
            self._write(data)

    def _write(self, data: bytes) -> None:
        while data:
            written = insist(b"write to " + self.name + b"/current", os.write, self._current, data)
            data = data[written:]

    def _begin_again(self) -> None:
        # Somebody has removed `current`, or the directory: what is written now would be gone with it.
        program.say(2, program.line(b"multilog: warning: " + self.name + b"/current has gone, making a new one"))
        for descriptor in (self._current, self._lock, self._directory):
            os.close(descriptor)
        self._open()

    def _count_held(self) -> None:
        held, self._held = bytes(self._held), bytearray()
        self._count(held)

    def _count(self, data: bytes) -> None:
        # A file ends exactly at the limit, or at the end of a line near to it; looked at once a write.
        while data:
            if self.size >= self.limit:
                self.turn()
            piece = data[: self.limit - self.size]
            data = data[len(piece) :]
            self._ready.append(piece)
            self.size += len(piece)
            if self.size >= self.limit - NEAR and piece.endswith(b"\n"):
                self.turn()

    # ---- files

    def _open(self) -> None:
        name = self.name
        self._demand(b"switch to starting directory", os.fchdir, self.start)
        try:
            os.mkdir(name, 0o700)
        except OSError:
            pass  # it is there, or opening it tells why not
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        self._directory = self._demand(b"open directory " + name, os.open, name, flags)
        self._demand(b"open directory " + name, os.fchdir, self._directory)
        self._lock = self._demand(b"lock directory " + name, locks.demand, b"lock")
        status = self._demand(b"stat " + name + b"/current", _status, b"current")
        if status is not None and status.st_mode & 0o100:
            self._current = self._demand(b"append to " + name + b"/current", _open_current)
            self._demand(b"set mode of " + name + b"/current", os.fchmod, self._current, GROWING)
            self.size = status.st_size
            return
        for file in (b"state", b"newstate"):
            try:
                durable.remove(file)
            except OSError:
                pass  # making it anew will tell
        processed = self._demand(b"stat " + name + b"/processed", _status, b"processed")
        if processed is not None and processed.st_mode & 0o100:
            self._remove(b"previous")
            self._finish(b"processed", b"s")
        else:
            self._remove(b"processed")
            self._finish(b"previous", b"u")
        self._finish(b"current", b"u")
        self._demand(b"write to " + name + b"/state", _make_empty, b"state")
        self._current = self._demand(b"write to " + name + b"/current", _open_current)
        self._demand(b"set mode of " + name + b"/current", os.fchmod, self._current, GROWING)
        self.size = 0

    def turn(self) -> None:
        """`current` becomes an old log file, and a new one begins. An empty one stays."""
        name = self.name
        self.write()
        if not self.size:
            return
        insist(b"switch to " + name, os.fchdir, self._directory)
        self._safe(self._current, b"current")
        os.close(self._current)
        if _status(b"previous") is not None:
            self._finish(b"previous", b"u")  # left by a crash; renaming over it would lose it
        insist(b"rename current to previous in directory " + name, durable.rename, b"current", b"previous")
        self._current = insist(b"create " + name + b"/current", _open_current)
        insist(b"set mode of " + name + b"/current", os.fchmod, self._current, GROWING)
        self.size = 0
        insist(b"set mode of " + name + b"/previous", os.chmod, b"previous", WHOLE)
        if self.processor:
            while not self._processed():
                time.sleep(PAUSE)
            self._finish(b"processed", b"s")
        else:
            self._finish(b"previous", b"s")

    def close(self) -> None:
        """`current` is whole and on the disk when this returns."""
        self.settle()
        self.write()
        self._safe(self._current, b"current")
        insist(b"set mode of " + self.name + b"/current", os.fchmod, self._current, WHOLE)

    def _finish(self, file: bytes, code: bytes) -> None:
        """Give a file its last name, and remove the oldest where there are too many."""
        name = self.name
        status = insist(b"stat " + name + b"/" + file, _status, file)
        if status is None:
            return
        # Two names: a crash came between link and unlink.
        if status.st_nlink == 1:
            insist(b"link to " + name + b"/@...", _link, file, code)
        self._remove(file)
        self._fit()

    def _fit(self) -> None:
        name = self.name
        names = insist(b"read directory " + name, os.listdir, b".")
        old = sorted(file for file in names if tai64n.leading(file) is not None)
        for file in old[: max(len(old) - self.number + 1, 0)]:
            self._remove(file)

    def _remove(self, file: bytes) -> None:
        insist(b"remove " + self.name + b"/" + file, durable.remove, file)

    def _safe(self, descriptor: int, file: bytes) -> None:
        insist(b"write " + self.name + b"/" + file + b" to disk", durable.sync, descriptor)

    def _demand(self, what: bytes, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return act(*args, **kwargs)
        except OSError as error:
            raise Temporary(b"unable to " + what + b": " + reason(error)) from None

    # ---- the processor

    def _processed(self) -> bool:
        """Run the processor on `previous`. False where it failed, and is to run again."""
        name = self.name
        pid = insist(b"fork for processor in " + name, os.fork)
        if not pid:
            self._process()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            how = b"crashed" if code < 0 else b"failed"
            program.say(2, program.line(b"multilog: warning: processor " + how + b" in " + name + b", pausing"))
            return False
        for file, mode in ((b"processed", WHOLE), (b"newstate", GROWING)):
            descriptor = insist(b"read " + name + b"/" + file, durable.open_append, file)
            self._safe(descriptor, file)
            insist(b"set mode of " + name + b"/" + file, os.fchmod, descriptor, mode)
            os.close(descriptor)
        self._remove(b"previous")
        insist(b"rename newstate to state in directory " + name, durable.rename, b"newstate", b"state")
        return True

    def _process(self) -> NoReturn:
        try:
            fds.move(os.open(b"previous", os.O_RDONLY), 0)
            fds.move(_open_empty(b"processed"), 1)
            fds.copy(os.open(b"state", os.O_RDONLY), 4)
            fds.copy(_open_empty(b"newstate"), 5)
            execute.replace([b"sh", b"-c", self.processor], self.environ, name=b"/bin/sh")
        except OSError as error:
            program.say(2, program.fatal(b"multilog", b"unable to run " + self.processor + b": " + reason(error)))
        finally:
            os._exit(111)


def _status(path: bytes) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _open_current() -> int:
    return os.open(b"current", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def _open_empty(path: bytes) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)


def _make_empty(path: bytes) -> None:
    os.close(_open_empty(path))


def _link(file: bytes, code: bytes) -> None:
    while True:
        try:
            durable.link(file, tai64n.label(time.time_ns()) + b"." + code)
        except FileExistsError:
            continue  # another one in the same moment
        return
