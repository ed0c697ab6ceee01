"""svscan: a supervise for every directory here.

It is the root of all services: what should always run gets a directory, or a
link to one, where svscan looks, and needs nothing else.

Usage: svscan [--stop[=SECONDS]] [DIRECTORY]

    svscan /service
    ln -s /etc/somed /service/somed       # from now on, somed runs

svscan works in DIRECTORY (else in the working directory) and starts one
supervise for each directory in it whose name does not begin with a dot. Where
that one has a directory `log`, a second supervise runs there, and what the
service prints goes to the log's descriptor 0 through a pipe that svscan keeps:
nothing in it is lost when either side is started again.

    --stop[=SECONDS]  on TERM or INT, end all services before exiting: each is
                      told to go down, and killed after SECONDS (60)

Behaviour:
It looks again every five seconds, and at once on HUP: a new directory gets its
supervise, a supervise that has gone is started again. A `log` that appears
later is not seen. A removed directory's supervise goes on; end it with `svc
-dx` first. Services are known by device and inode, so that a rename is no new
one. At most 1,000 directories. Where no process can be made, svscan waits a
minute.

TERM and INT without --stop, and KILL always, leave the services running. With
--stop, each log reads what is left when its service is down, and ends when it
has read it all, or is told to 5 seconds later, and killed after 5 more.

Environment: all services inherit it; PATH, to find supervise.
Signals: HUP look at once; TERM, INT exit.
Runs as: root, or whoever owns the services.
Exit codes: 0 stopped by TERM or INT with --stop; 100 usage; 111 no such
    directory.
"""

from __future__ import annotations

import os
import select
import stat
import time

from qmail.formats.verdict import TEMPORARY, Temporary, Usage
from qmail.host import execute, fds, processes, program, signals, title
from qmail.host.reasons import reason
from qmail.stores import servicedir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    # Becomes the supervise of a directory, or raises OSError.
    Starter = Callable[[list[bytes], Mapping[bytes, bytes]], NoReturn]

USAGE = b"svscan: usage: svscan [--stop[=seconds]] [dir]"
WARNING = b"svscan: warning: "
MOST = 1000  # directories
INTERVAL = 5  # seconds between two looks
LONG_PAUSE = 60  # the same, where no process can be made
STOP_SECONDS = 60  # for the services to end, unless --stop says otherwise
LOG_SECONDS = 5  # for a log to end by itself when its service has; then it is told to
LAST_SECONDS = 5  # from telling a log to killing it, and from killing a program to killing its supervise
STEP = 0.02  # seconds between two looks while stopping


def main(argv: list[bytes], environ: dict[bytes, bytes], starter: Starter = execute.replace) -> int:
    """Run as described above; `starter` becomes supervise in a new process."""
    words, patience = argv[1:], None
    if words and words[0].startswith(b"--"):
        patience = _stop_seconds(words.pop(0))
    fds.standard_open()
    title.show(b"svscan", *argv[1:])
    if words:
        try:
            os.chdir(words[0])
        except OSError as error:
            raise Temporary(b"unable to chdir to " + words[0] + b": " + reason(error)) from None
    scan = _Scan(environ, starter)
    return scan.run(patience)


def _stop_seconds(word: bytes) -> int:
    name, equals, seconds = word.partition(b"=")
    if name != b"--stop" or (equals and not seconds.isdigit()):
        raise Usage(USAGE)
    return int(seconds[:6]) if equals else STOP_SECONDS


class _Supervise:
    """A supervise that is to run in `directory`, or in its `log`. `pid` is 0 where it does not."""

    __slots__ = ("directory", "is_log", "pid", "told")

    def __init__(self, directory: bytes, *, is_log: bool) -> None:
        self.directory, self.is_log = directory, is_log
        self.pid = 0
        self.told = b""

    @property
    def name(self) -> bytes:
        return self.directory + b"/log" if self.is_log else self.directory

    def tell(self, letters: bytes) -> None:
        """Send it these command letters, once; tried again at the next call where it does not listen yet."""
        if self.pid and self.told != letters:
            try:
                # Where it works, whatever the name of the directory is by now.
                servicedir.send(letters, b"/proc/%d/cwd" % self.pid)
                self.told = letters
            except OSError:
                pass  # not ready, or just gone

    def kill(self, *, itself: bool) -> None:
        """Kill what it runs, or it."""
        for pid in [self.pid] if itself else processes.children(self.pid):
            processes.kill(pid)


class _Service:
    """A directory, its supervise, and where it has a log, that one's supervise and the pipe between them."""

    __slots__ = ("log", "main", "pipe", "seen", "until")

    def __init__(self, directory: bytes, *, logged: bool) -> None:
        self.main = _Supervise(directory, is_log=False)
        self.log = _Supervise(directory, is_log=True) if logged else None
        self.pipe = os.pipe() if logged else None
        self.seen = True
        self.until = 0.0  # when the log's time to end is over

    @property
    def runs(self) -> bool:
        return bool(self.main.pid or (self.log and self.log.pid))

    def close(self) -> None:
        """Let go of the pipe."""
        if self.pipe is not None:
            os.close(self.pipe[0])
            os.close(self.pipe[1])
            self.pipe = None


class _Scan:
    """Everything svscan knows: its services, by device and inode of their directories."""

    def __init__(self, environ: Mapping[bytes, bytes], starter: Starter) -> None:
        self.environ, self.starter = environ, starter
        self.services: dict[tuple[int, int], _Service] = {}

    def run(self, patience: int | None) -> int:
        """For ever, or until told to stop."""
        ends = {signals.TERM, signals.INT} if patience is not None else set()
        caught = signals.catch({signals.HUP} | ends)
        poll = select.poll()
        poll.register(caught, select.POLLIN)
        while True:
            self.reap()
            pause = INTERVAL if self.look() else LONG_PAUSE
            poll.poll(pause * 1000)
            arrived = signals.arrived(caught)
            if patience is not None and arrived & ends:
                self.stop(patience)
                return 0

    def look(self) -> bool:
        """Start what is missing. False where no process can be made."""
        try:
            names = os.listdir(b".")
        except OSError as error:
            _warn(b"unable to read directory", error)
            return True
        for service in self.services.values():
            service.seen = False
        for name in sorted(names):
            if not name.startswith(b"."):
                found = self.find(name)
                if found is not None and not self.complete(found):
                    return False
        for inode, service in list(self.services.items()):
            if not service.seen and not service.runs:
                service.close()
                del self.services[inode]
        return True

    def find(self, name: bytes) -> _Service | None:
        """The service of this name, new or known; None where there is none, or no room for it."""
        step = b"stat " + name
        try:
            status = os.stat(name)
            if not stat.S_ISDIR(status.st_mode):
                return None
            inode = (status.st_dev, status.st_ino)
            service = self.services.get(inode)
            if service is None:
                if len(self.services) >= MOST:
                    program.say(2, program.line(WARNING + b"unable to start " + name + b": running too many services"))
                    return None
                step = b"stat " + name + b"/log"
                logged = _exists(name + b"/log")
                step = b"create pipe for " + name
                service = self.services[inode] = _Service(name, logged=logged)
        except OSError as error:
            _warn(b"unable to " + step, error)
            return None
        service.seen = True
        return service

    def complete(self, service: _Service) -> bool:
        """Start the supervises of a service that do not run. False where no process can be made."""
        for supervise in (service.main, service.log):
            if supervise is not None and not supervise.pid:
                try:
                    pid = os.fork()
                except OSError as error:
                    _warn(b"unable to fork for " + supervise.name + b", sleeping 60 seconds", error)
                    return False
                if not pid:
                    self.become(supervise, service.pipe)
                supervise.pid = pid
        return True

    def become(self, supervise: _Supervise, pipe: tuple[int, int] | None) -> NoReturn:
        """In the new process: the right descriptors and directory, then supervise."""
        step, word = b"set up descriptors for ", supervise.directory
        try:
            if pipe is not None:
                fds.copy(pipe[0] if supervise.is_log else pipe[1], 0 if supervise.is_log else 1)
            if supervise.is_log:
                step, word = b"switch to ", b"log"
                os.chdir(supervise.directory)
            step = b"start supervise "
            self.starter([b"supervise", word], self.environ)
        except OSError as error:
            _warn(b"unable to " + step + supervise.name, error)
        finally:
            os._exit(TEMPORARY)

    def reap(self) -> None:
        """Note which supervises have ended."""
        for pid, _ in processes.reaped():
            for service in self.services.values():
                for supervise in (service.main, service.log):
                    if supervise is not None and supervise.pid == pid:
                        supervise.pid = 0
                        supervise.told = b""

    def stop(self, patience: int) -> None:
        """End every service, then its log, until none of our processes is left."""
        deadline = time.monotonic() + patience
        while any(service.runs for service in self.services.values()):
            for service in self.services.values():
                self.stop_one(service, deadline)
            time.sleep(STEP)
            self.reap()

    def stop_one(self, service: _Service, deadline: float) -> None:
        """One step towards the end of one service."""
        now = time.monotonic()
        if service.main.pid:
            service.main.tell(b"dx")
            if now > deadline:
                service.main.kill(itself=now > deadline + LAST_SECONDS)
        elif service.log:
            if not service.until:
                # Now nobody of ours can write to it: it reads what is left, and then the end.
                service.close()
                service.until = now + LOG_SECONDS
            service.log.tell(b"x" if now < service.until else b"dx")
            if now > service.until + LAST_SECONDS:
                service.log.kill(itself=now > service.until + 2 * LAST_SECONDS)


def _exists(path: bytes) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def _warn(text: bytes, error: OSError) -> None:
    program.say(2, program.line(WARNING + text + b": " + reason(error)))
