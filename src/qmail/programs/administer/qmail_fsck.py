"""qmail-fsck: check the queue, and mend what can be mended without guessing.

Usage: qmail-fsck [--repair] [--dry-run]

    qmail-fsck
    qmail-fsck --repair

    --repair   mend it
    --dry-run  only say what would be done, which is also what happens without
               --repair

Behaviour:
Each thing that is wrong is one line, and one that says what is to be done:

    info/6/1000000 has no message
        set aside in bad/

Files are moved where they are looked for, and get their owners and modes. What
no running program would ever finish is removed only if nothing can be lost with
it: files that were never accepted and that nobody has touched for 36 hours,
second names, records of which all are done. What makes no sense, or has lost
its other half, is set aside in queue/bad, whole. A message whose name is not
the number of its inode, as in a queue that was restored from a backup or
copied, gets that number; mail is delivered without that too, but a new message
may want the same one.

It works for a queue that C qmail has left as well. Nothing may be sent while it
mends: qmail-send and qmail-queued must not run. Checking may go on beside them;
then only what stays wrong over two looks is said. Whatever ends a repair
half-way, starting it again finishes it.

Environment: QMAIL_HOME.
Files: queue and everything in it.
Runs as: root, or the owner in single-user mode.
Exit codes: 0 nothing is wrong, or nothing any more; 1 something is; 100 usage;
    111 qmail-send or qmail-queued runs, or the queue cannot be read.
"""

from __future__ import annotations

import os
from functools import partial

from qmail.formats.verdict import Temporary, Usage
from qmail.host import clock, locks, program
from qmail.host.reasons import reason
from qmail.rules.finding import Finding
from qmail.rules.queuestates import ASIDE, REMOVE, RENUMBER, SAYS
from qmail.stores import home as homes
from qmail.stores import installation, queuemend, standstill
from qmail.stores.queuecheck import Checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.stores.home import Home

    Step = tuple[Finding, Callable[[], object]]

USAGE = b"qmail-fsck: usage: qmail-fsck [--repair] [--dry-run]"
WRONG = 1
MOST_ROUNDS = 8  # one remedy may show what another one was hiding
SECOND_LOOK = 0.5  # seconds
BAD = b"queue/bad"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if set(argv[1:]) - {b"--repair", b"--dry-run"}:
        raise Usage(USAGE)
    home = homes.find(argv[0], environ)
    try:
        if b"--repair" in argv and b"--dry-run" not in argv:
            return _repair(home)
        return _check(home)
    except OSError as error:
        where = os.fsencode(error.filename or home.queue)
        raise Temporary(b"unable to go on at " + where + b": " + reason(error)) from error


def _check(home: Home) -> int:
    found = _findings(home)
    if found and not _is_free(home):
        clock.sleep(SECOND_LOOK)
        again = {finding.what for finding in _findings(home)}
        found = [finding for finding in found if finding.what in again]
    program.say(1, b"".join([finding.text for finding in found]) or b"nothing is wrong in " + home.queue + b"\n")
    return WRONG if found else 0


def _is_free(home: Home) -> bool:
    mutex = home.queue + b"/lock/sendmutex"
    lock = locks.take(mutex) if os.path.lexists(mutex) else None
    if lock is not None:
        os.close(lock)
    return lock is not None


def _findings(home: Home) -> list[Finding]:
    return [finding for stage in _stages(home) for finding, _ in stage]


def _repair(home: Home) -> int:
    held = standstill.hold(home, queued=True)
    failed: set[bytes] = set()
    if not os.path.lexists(home.file(BAD)):
        installation.create(home.path, {BAD})  # a queue of C qmail has none
    for _ in range(MOST_ROUNDS):
        # One stage at a time: what is wrong in a later one may be right then.
        stages = ([step for step in stage if step[0].what not in failed] for stage in _stages(home))
        steps = next((stage for stage in stages if stage), None)
        if steps is None:
            break
        for finding, act in steps:
            program.say(1, finding.text)
            try:
                act()
            except OSError as error:
                failed.add(finding.what)
                program.say(2, b"qmail-fsck: unable to do that: " + reason(error) + b"\n")
    left = len(_findings(home))
    for descriptor in held:
        os.close(descriptor)
    program.say(1, b"%d faults are left\n" % left if left else b"nothing is wrong in " + home.queue + b"\n")
    return WRONG if left else 0


def _stages(home: Home) -> list[list[Step]]:
    """Everything that is wrong, with the way to mend it, in the order in which it can be mended. Raises OSError."""
    missing = _missing(home)
    if missing:
        return [missing]
    checked = Checked(home)
    queue = checked.queue
    files: list[Step] = [
        (Finding(file.what, b"give it to uid %d, with mode %o" % (file.uid, file.mode)), partial(queuemend.dress, file))
        for file in checked.undressed
    ]
    for misfit in checked.misfits:
        do = b"move it to " + misfit.target if misfit.target else SAYS[ASIDE]
        files.append((Finding(misfit.what, do), partial(queuemend.place, queue, misfit)))
    for path in checked.stale:
        files.append((Finding(path + b" was left 36 hours ago", SAYS[REMOVE]), partial(queuemend.remove, path)))
    faults = checked.faults()
    torn = [fault for fault in faults if fault.remedy != RENUMBER]
    twice = {fault.number for fault in torn}
    numbers = [fault for fault in faults if fault.remedy == RENUMBER and fault.number not in twice]
    return [
        files,
        [(Finding(each.what, SAYS[each.remedy]), partial(queuemend.mend, queue, each)) for each in torn],
        [(Finding(each.what, SAYS[RENUMBER]), partial(queuemend.renumber, queue, each.number)) for each in numbers],
    ]


def _missing(home: Home) -> list[Step]:
    """Directories and files that the queue has to have, and that are not there."""
    split = max([0, *(int(name) + 1 for name in os.listdir(home.queue + b"/mess") if name.isdigit())])
    names = [piece.name for piece in installation.pieces() if piece.name.startswith(b"queue/") and piece.name != BAD]
    parts = ((name, name.rpartition(b"/")[2]) for name in names if not os.path.lexists(home.file(name)))
    return [
        (Finding(name + b" is missing", b"make it"), partial(installation.create, home.path, {name}))
        for name, part in parts
        if not (part.isdigit() and int(part) >= split)
    ]
