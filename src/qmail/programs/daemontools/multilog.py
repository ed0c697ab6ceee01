"""multilog: write selected lines to logs that turn by themselves.

It reads what another program says, drops or keeps each line by patterns, puts a
time in front, and writes to directories whose size has a limit. No line that it
has read is lost, whatever happens to it or to the disk.

Usage: multilog ACTION...

    multilog t s100000 n10 '-*debug*' /var/log/qmail/smtpd

The actions are carried out in this order for each line of descriptor 0:

    t          (only in first place) put a TAI64N stamp and a blank in front
    -PATTERN   take the line out, if it matches
    +PATTERN   take it in again, if it matches; at first every line is in
    e          print its first 200 bytes to descriptor 2
    =FILE      keep the latest line in FILE (mode 600), 1001 bytes with newlines
    sSIZE      for the directories after it: bytes of one log file, 4096 to
               16777215 (default 99999)
    nNUMBER    the same: how many files, `current` included, at least 2 (10)
    !PROGRAM   the same: a command of sh that old files are fed through
    ./DIR /DIR write the line to the log in that directory, made where missing

In a PATTERN every byte stands for itself, but for the star: it stands for any
bytes up to the first one that is equal to what follows the star. It does not
look further: `a*b` does not match `abb`. Patterns see the stamp of `t`, and the
first 1000 bytes of a line. `-*` takes every line out.

Behaviour:
DIR/current is being written; before it has more than SIZE bytes it becomes
DIR/@STAMP.s, on the disk and with mode 744, and the oldest are removed until
NUMBER files are left. A file that a crash has cut off becomes DIR/@STAMP.u.
PROGRAM reads an old file on descriptor 0 and writes the new one to descriptor
1; what it left in DIR/state the last time it finds on 4, and what it writes to
5 is kept for the next. Where it fails, it is run again.

ALRM turns all logs at once. TERM ends multilog at the end of the line it has
begun. An unfinished last line gets its newline. A full disk makes multilog
wait, and with it what feeds it; every 5 seconds it says so and tries again. A
killed multilog leaves in the pipe what is in no log: the next one may write
some lines twice. Other actions than these are ignored.

Environment: PATH, to find sh.
Files: in each DIR: lock, current, @STAMP.s, @STAMP.u, state; for moments
previous, processed, newstate.
Signals: TERM, ALRM: see above.
Runs as: the owner of the logs, such as qmaill.
Exit codes: 0 the end of the input, or TERM; 111 a log cannot be opened, or
    another multilog writes to it.
"""

from __future__ import annotations

import os
import time

from qmail.formats import logscript, tai64n
from qmail.formats.verdict import Temporary
from qmail.host import fds, program, signals, title
from qmail.host.reasons import reason
from qmail.host.sources import source
from qmail.rules import logselect
from qmail.stores.logdir import LogDirectory, insist

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Step: TypeAlias = "logscript.Select | logscript.Alert | LogDirectory | _StatusFile"

CHUNK = 8192  # bytes read at once; killed in the middle of them, we shall read them again
PIECE = 1024  # bytes after which what was put into a log counts as written
ALERT = 200  # bytes of a line that are printed
STATUS = 1001  # bytes of a status file


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    os.umask(0o022)
    fds.standard_open()
    title.show(b"multilog", *argv[1:])
    caught = signals.catch((signals.TERM, signals.ALRM))
    stamped, actions = logscript.parse(argv[1:])
    try:
        start = os.open(b".", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Temporary(b"unable to switch to current directory: " + reason(error)) from None
    _Multilog(stamped, [_opened(action, start, environ) for action in actions]).run(caught)
    return 0


def _opened(action: logscript.Action, start: int, environ: dict[bytes, bytes]) -> Step:
    if isinstance(action, logscript.Log):
        return LogDirectory(action, start, environ)
    if isinstance(action, logscript.StatusFile):
        return _StatusFile(action.path, start)
    return action


class _StatusFile:
    """The file that shows the latest line."""

    def __init__(self, path: bytes, start: int) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            self.descriptor = os.open(path, flags, 0o600, dir_fd=start)
        except OSError as error:
            raise Temporary(b"unable to create " + path + b": " + reason(error)) from None

    def show(self, line: bytes) -> None:
        text = line.ljust(STATUS, b"\n")
        insist(b"write to " + self.path, lambda: os.pwrite(self.descriptor, text, 0))


class _Multilog:
    """The lines on their way from descriptor 0 to the logs."""

    def __init__(self, stamped: bool, steps: list[Step]) -> None:
        self.stamped, self.steps = stamped, steps
        self.logs = [step for step in steps if isinstance(step, LogDirectory)]
        self.selective = len(self.logs) < len(steps)
        self.line = self.stamp = b""  # what there is of a line, its stamp included
        self.rest: list[LogDirectory] | None = None  # who takes what follows the first 1000 bytes of a line

    def run(self, caught: int) -> None:
        """To the end of the input, or TERM; `caught` tells of the signals."""
        incoming = source(0, caught)
        ending = False
        while True:
            if incoming.wait():
                numbers = signals.arrived(caught)
                ending |= signals.TERM in numbers
                if signals.ALRM in numbers:
                    for log in self.logs:
                        log.turn()
            if ending and not self.unfinished:
                break
            # What follows the line that we have begun is left for the next reader.
            data = incoming.read(1 if ending else CHUNK)
            if data == b"":
                break
            if data is not None:
                self.write(data)
                incoming.keep(self.unwritten)
        if self.unfinished:
            self.take(b"\n")
        for log in self.logs:
            log.close()

    @property
    def unfinished(self) -> bool:
        return bool(self.line) or self.rest is not None

    @property
    def unwritten(self) -> int:
        """Bytes of the input that are in no log yet: the start of a line."""
        return max(len(self.line) - len(self.stamp), 0)

    def write(self, data: bytes) -> None:
        """Take it, and write what can be written."""
        for start in range(0, len(data), PIECE):
            self.take(data[start : start + PIECE])
            for log in self.logs:
                log.settle()
        for log in self.logs:
            log.write()

    def take(self, data: bytes) -> None:
        """Cut into lines, and put each where it belongs."""
        at, tried = 0, False
        while at < len(data):
            if self.rest is not None:
                end = data.find(b"\n", at) + 1
                for log in self.rest:
                    log.add(data[at : end or None])
                if not end:
                    return
                at, self.rest = end, None
                continue
            if not tried and not self.line:
                tried = True
                at += self.take_whole(data[at:])
                continue
            if self.stamped and not self.line:
                self.line = self.stamp = tai64n.label(time.time_ns()) + b" "
            room = logselect.CHECKED - len(self.line)
            end = data.find(b"\n", at, at + room)
            if end < 0 and len(data) - at < room:
                self.line += data[at:]
                return
            line = self.line + data[at : end if end >= 0 else at + room]
            self.line = b""
            takers = self.takers(line)
            for log in takers:
                log.put(line)
            if end < 0:
                at, self.rest = at + room, takers
            else:
                at = end + 1
                for log in takers:
                    log.add(b"\n")

    def take_whole(self, data: bytes) -> int:
        """The same for all whole lines at once, where nothing has to look at each; returns how many bytes that were.

        Lines that came together have one stamp.
        """
        end = data.rfind(b"\n") + 1
        if self.selective or not end:
            return 0
        lines = data[:end]
        if self.stamped:
            stamp = tai64n.label(time.time_ns()) + b" "
            lines = stamp + lines[:-1].replace(b"\n", b"\n" + stamp) + b"\n"
        if not all(log.takes(len(lines)) for log in self.logs):
            return 0
        for log in self.logs:
            log.append(lines)
        return end

    def takers(self, line: bytes) -> list[LogDirectory]:
        """Carry out the actions for a line, and return the logs that take it."""
        if not self.selective:
            return self.logs
        taken = True
        takers: list[LogDirectory] = []
        for step in self.steps:
            if isinstance(step, logscript.Select):
                if taken != step.takes and logselect.matches(step.pattern, line):
                    taken = step.takes
            elif not taken:
                continue
            elif isinstance(step, LogDirectory):
                takers.append(step)
            elif isinstance(step, _StatusFile):
                step.show(line)
            else:
                program.say(2, line[:ALERT] + (b"...\n" if len(line) > ALERT else b"\n"))
        return takers
