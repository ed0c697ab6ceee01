"""svc: tell services what to do.

It writes to the supervise of each service, which carries the orders out.

Usage: svc [-udopchaitkx] [-w SECONDS] DIRECTORY...

    svc -h /service/qmail-send       # read locals and virtualdomains again
    svc -dx -w 30 /service/somed     # end it for good, wait until it has

    -u  up: start it, and start it again whenever it ends
    -d  down: send TERM, then CONT, and do not start it again
    -o  once: start it, and do not start it again
    -x  exit: its supervise ends as soon as the service is down
    -p  pause: send STOP         -c  continue: send CONT
    -h  send HUP                 -a  send ALRM
    -i  send INT                 -t  send TERM
    -k  send KILL
    -w SECONDS  wait until every service is as asked, at most so long (86400)

Behaviour:
The letters are sent to each service in the order given; svc does not wait for
what they do, unless -w is given. Then it waits until each service is as the
last of u, o, d, k, t asked: up, or started anew; down; after -x, without
supervise. -x alone does not end a service: `svc -dx` does.

Files: DIRECTORY/supervise/control.
Runs as: whoever may write to supervise/control, usually root.
Exit codes: 0 also where no supervise runs, or a directory is missing (a warning
    says so); 100 usage; 111 after -w, where a service is not there in time, or
    the working directory cannot be kept.
"""

from __future__ import annotations

import errno
import os
import time

from qmail.formats import svstatus
from qmail.formats.options import Wrong, options
from qmail.formats.verdict import PERMANENT, TEMPORARY, Temporary, Usage
from qmail.host import program
from qmail.host.reasons import reason
from qmail.rules.svcgoal import Goal
from qmail.stores import servicedir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

LETTERS = b"udopchaitkxw:"
EXPLANATION = (
    b"svc options: u up, d down, o once, x exit, p pause, c continue, h hup, a alarm, i interrupt, t term, k kill\n"
)
WARNING = b"svc: warning: "
LOOK_AGAIN = 0.02  # seconds between two looks at a status
LONGEST_WAIT = 86400  # seconds


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        found, directories = options(argv[1:], LETTERS)
    except Wrong as wrong:
        program.say(2, b"svc: " + wrong.text + b"\n" + EXPLANATION)
        return PERMANENT
    letters = b"".join(letter for letter, _ in found if letter != b"w")
    patience = next((_seconds(argument) for letter, argument in reversed(found) if letter == b"w"), None)
    deadline = time.monotonic() + (patience or 0)
    start = _demand(b"unable to open current directory: ", lambda: os.open(b".", os.O_RDONLY | os.O_CLOEXEC))
    goals = []
    for directory in directories:
        goals.append((directory, _tell(directory, letters)))
        _demand(b"unable to set directory: ", lambda: os.fchdir(start))
    if patience is None:
        return 0
    late = [directory for directory, goal in goals if not _waited(directory, goal, deadline)]
    for directory in late:
        text = directory + b" is not there after %d seconds: " % patience + _is(directory)
        program.say(2, program.fatal(b"svc", text))
    return TEMPORARY if late else 0


def _seconds(argument: bytes) -> int:
    if not argument.isdigit():
        raise Usage(b"svc: -w wants a number of seconds: " + argument)
    return min(int(argument[:9]), LONGEST_WAIT)


def _tell(directory: bytes, letters: bytes) -> Goal:
    # In the working directory: a service is where its name leads, whatever happens to the name later.
    before = None
    try:
        os.chdir(directory)
    except OSError as error:
        program.say(2, program.line(WARNING + b"unable to chdir to " + directory + b": " + reason(error)))
        return Goal(letters, None)
    try:
        before = _status(b".")
        servicedir.send(letters)
    except OSError as error:
        why = b"supervise not running" if error.errno == errno.ENXIO else reason(error)
        program.say(2, program.line(WARNING + b"unable to control " + directory + b": " + why))
    return Goal(letters, before)


def _waited(directory: bytes, goal: Goal, deadline: float) -> bool:
    while not goal.reached(_status(directory), _supervised(directory)):
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_AGAIN)
    return True


def _is(directory: bytes) -> bytes:
    status = _status(directory)
    if status is None or not _supervised(directory):
        return b"supervise not running"
    return svstatus.describe(status, time.time_ns(), servicedir.normally_up(directory))


def _status(directory: bytes) -> svstatus.Status | None:
    try:
        return servicedir.status(directory)
    except OSError:
        return None


def _supervised(directory: bytes) -> bool:
    try:
        return servicedir.supervised(directory)
    except OSError:
        return False


def _demand(failure: bytes, act: Callable[[], T]) -> T:
    try:
        return act()
    except OSError as error:
        raise Temporary(failure + reason(error)) from None
