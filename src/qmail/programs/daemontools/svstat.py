"""svstat: say what services do.

It reads what their supervises have noted, and asks or changes nothing.

Usage: svstat [-h] DIRECTORY...

    $ svstat /service/*
    /service/qmail-send: up (pid 714) 86423 seconds
    /service/somed: down 12 seconds, normally up

    -h  (only in first place) the time in days, hours and minutes

One line for each directory: whether a supervise runs there, whether the service
is up, with which pid, for how many seconds, and then what is not as usual.

Behaviour:
Behind the time stand, in this order: `normally down` or `normally up`, where
there is, or is not, a file `down`; `paused`; `want down` or `want up`, where
supervise is to change the state. A time that is still to come is 0 seconds.
Everything, errors included, goes to descriptor 1: `supervise not running`,
`unable to chdir: ...`, `unable to read supervise/status: bad format`.

Files: DIRECTORY/down, DIRECTORY/supervise/ok, DIRECTORY/supervise/status.
Runs as: whoever may write to supervise/ok, usually root.
Exit codes: 0 whatever the services do; 111 the working directory cannot be
    kept.
"""

from __future__ import annotations

import os
import time

from qmail.formats import svstatus
from qmail.formats.verdict import Temporary
from qmail.host import program
from qmail.host.reasons import reason
from qmail.stores import servicedir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    directories = argv[1:]
    # Only in first place, and a directory of that name can still be asked as ./-h.
    describe = svstatus.describe
    if directories[:1] == [b"-h"]:
        describe = svstatus.describe_for_people
        del directories[0]
    try:
        start = os.open(b".", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Temporary(b"unable to open current directory: " + reason(error)) from None
    lines = []
    for directory in directories:
        lines.append(directory + b": " + _answer(directory, describe) + b"\n")
        try:
            os.fchdir(start)
        except OSError as error:
            raise Temporary(b"unable to set directory: " + reason(error)) from None
    program.say(1, b"".join(lines))
    return 0


def _answer(directory: bytes, describe: Callable[[svstatus.Status, int, bool], bytes]) -> bytes:
    step = b"chdir: "
    try:
        os.chdir(directory)
        step = b"stat down: "
        normally_up = servicedir.normally_up()
        step = b"open supervise/ok: "
        if not servicedir.supervised():
            return b"supervise not running"
        step = b"read supervise/status: "
        status = servicedir.status()
    except FileNotFoundError as error:
        return b"unable to " + step.replace(b"read", b"open") + reason(error)
    except OSError as error:
        return b"unable to " + step + reason(error)
    if status is None:
        return b"unable to read supervise/status: bad format"
    return describe(status, time.time_ns(), normally_up)
