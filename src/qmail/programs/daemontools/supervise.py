"""supervise: start one service, start it again whenever it ends, and obey svc.

svscan starts one for each service; nobody else needs to.

Usage: supervise DIRECTORY

    $ cat somed/run
    #!/bin/sh
    exec somed -f 2>&1
    $ supervise somed

supervise works in DIRECTORY and runs ./run there. With a file `down` in it, it
waits until svc says so. The program must stay in the foreground (see fghack).

Behaviour:
After each start supervise pauses for a second and looks at nothing, so that a
program that ends at once does not keep the machine busy; commands wait so long.
A program that ran longer is started again at once. Between ends and starts
supervise sleeps in the kernel.

The commands of svc are single letters in supervise/control, carried out in
order. supervise ends by `x` alone, as soon as the service is down. Killed, it
leaves the service running, and the next supervise starts another one. Where no
process can be made it tries again after 60 seconds.

supervise/status is 18 bytes, replaced as a whole: a TAI64N label of the last
change, the pid (4 bytes, little-endian, 0 when down), 1 when paused, and what
is wanted: `u` up, `d` down, NUL neither (after -o). svstat shows it.

Environment: ./run inherits it.
Files: run; down; supervise/ (mode 700) with lock (held while it runs), ok (open
while it runs), control, and status.
Signals: those that end a program end supervise, and the service goes on.
Runs as: root, or whoever owns the service.
Exit codes: 0 told to exit; 100 usage; 111 a file that it needs is not there, or
    another supervise runs here.
"""

from __future__ import annotations

import os
import select
import time

from qmail.formats.svstatus import Status
from qmail.formats.verdict import Temporary, Usage
from qmail.host import execute, program, signals, title
from qmail.host.reasons import reason
from qmail.rules.supervision import Machine
from qmail.stores import servicedir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn, TypeVar

    T = TypeVar("T")

USAGE = b"supervise: usage: supervise dir"
PAUSE = 1  # seconds after each start
LETTERS = 256  # commands read at once
LONG_PAUSE = 60  # seconds where no process can be made

SIGNALS = {
    "ALRM": signals.ALRM, "CONT": signals.CONT, "HUP": signals.HUP, "INT": signals.INT,
    "KILL": signals.KILL, "STOP": signals.STOP, "TERM": signals.TERM,
}  # fmt: skip


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) != 2:
        raise Usage(USAGE)
    # It writes into no pipe but its last words; a service without readers is to die like any other.
    signals.default(signals.PIPE, signals.XFSZ)
    _Supervisor(argv[1], environ).keep()
    return 0


class _Supervisor:
    """One supervise. `name` is what messages call the directory."""

    def __init__(self, name: bytes, environ: Mapping[bytes, bytes]) -> None:
        self.name, self.environ = name, environ
        self._demand(b"unable to chdir to " + name, lambda: os.chdir(name))
        self.machine = Machine(self._demand(b"unable to stat " + name + b"/down", servicedir.normally_up))
        servicedir.make()
        self.lock = self._demand(b"unable to acquire " + name + b"/supervise/lock", servicedir.lock)
        self.control = self._fifo(servicedir.CONTROL, b"unable to read ", writing=False)
        # With a writer of our own there is no end of file when svc closes.
        self.writer = self._fifo(servicedir.CONTROL, b"unable to write ", writing=True)
        self.letters = b""  # commands that are to be carried out
        self.ended: int | None = None  # tells when the program has ended
        self.poll = select.poll()
        self.poll.register(self.control, select.POLLIN)
        self._changed()
        self.ok = self._fifo(servicedir.OK, b"unable to read ", writing=False)

    def keep(self) -> None:
        """Until told to exit, and the service is down."""
        title.show(b"supervise", self.name)
        if self.machine.due:
            self._start()
        while not self.machine.over:
            try:
                self._turn()
            except (OSError, MemoryError):
                # Ending would leave the program to nobody, and the next supervise would start a second one.
                time.sleep(PAUSE)
        self._announce()

    def _turn(self) -> None:
        machine = self.machine
        self.poll.poll(self._patience())
        if self._has_ended():
            machine.ended()
            self._changed()
        if machine.due:
            self._start()
        if not machine.over:
            self._obey()

    def _patience(self) -> int | None:
        # Milliseconds. Without a descriptor that tells of its end, we must look ourselves.
        if self.machine.due or self.letters:
            return 0
        return PAUSE * 1000 if self.machine.pid and self.ended is None else None

    def _obey(self) -> None:
        """Carry out the commands that have come.

        Signals alone follow each other at once. After what changes the state comes another turn, in which it is
        seen what became of the program: `svc -do` starts it anew.
        """
        try:
            self.letters = self.letters or os.read(self.control, LETTERS)
        except BlockingIOError:
            return
        while self.letters:
            letter, self.letters = self.letters[:1], self.letters[1:]
            orders = self.machine.obey(letter)
            for number in orders.signals:
                self._signal(SIGNALS[number])
            if orders.starts:
                self._start()
            if orders.tells:
                self._announce()
                break

    def _signal(self, number: int) -> None:
        try:
            os.kill(self.machine.pid, number)
        except PermissionError:
            pass  # it has become another user, and we are not root

    def _start(self) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._warn(b"unable to fork for " + self.name + b", sleeping 60 seconds", error)
            time.sleep(LONG_PAUSE)
            return
        if not pid:
            self._run()
        self.machine.started(pid)
        self._changed()
        try:
            self.ended = os.pidfd_open(pid)
            self.poll.register(self.ended, select.POLLIN)
        except OSError:
            pass  # an old kernel, or no descriptor left: see _patience
        time.sleep(PAUSE)

    def _run(self) -> NoReturn:
        try:
            execute.replace([b"./run"], self.environ)
        except OSError as error:
            program.say(2, program.fatal(b"supervise", b"unable to start " + self.name + b"/run: " + reason(error)))
        finally:
            os._exit(1)

    def _has_ended(self) -> bool:
        try:
            if not self.machine.pid or not os.waitpid(self.machine.pid, os.WNOHANG)[0]:
                return False
        except ChildProcessError:
            pass  # it has, and the kernel was told not to keep it for us
        if self.ended is not None:
            self.poll.unregister(self.ended)
            os.close(self.ended)
            self.ended = None
        return True

    def _changed(self) -> None:
        self.since = time.time_ns()
        self._announce()

    def _announce(self) -> None:
        machine = self.machine
        try:
            servicedir.write_status(Status(self.since, machine.pid, machine.paused, machine.wanted))
        except OSError as error:
            what = b"write " if error.filename is None else b"open " if error.filename2 is None else b"rename "
            text = b"unable to " + what + self.name + b"/supervise/status.new"
            self._warn(text + b" to status" if what == b"rename " else text, error)

    def _fifo(self, path: bytes, failure: bytes, *, writing: bool) -> int:
        servicedir.make_fifo(path)
        return self._demand(failure + self.name + b"/" + path, lambda: servicedir.open_fifo(path, writing=writing))

    def _demand(self, failure: bytes, act: Callable[[], T]) -> T:
        try:
            return act()
        except OSError as error:
            raise Temporary(failure + b": " + reason(error)) from None

    def _warn(self, text: bytes, error: OSError) -> None:
        program.say(2, program.line(b"supervise: warning: " + text + b": " + reason(error)))
