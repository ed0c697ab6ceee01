"""qmail-queue-repair: mend what can be mended in the queue without guessing.

Usage: qmail-queue-repair [--dry-run]

    qmail queue repair --dry-run
    qmail queue repair

    --dry-run  only say what would be done

Behaviour:
Each thing that is wrong is one line, and one that says what is done:

    info/6/1000000 has no message
        set aside in bad/

Directories and files that must be there are made; files are moved where they
are looked for, and get their owners and modes. What no running program would
ever finish is removed only if nothing can be lost with it: files that were
never accepted and that nobody has touched for 36 hours, second names, records
of which all are done. What makes no sense, or has lost its other half, is set
aside in queue/bad, whole. A message whose name is not the number of its inode,
as in a queue that was restored from a backup or copied, gets that number.

It works for a queue that C qmail has left as well. Nothing may be sent or
accepted meanwhile: qmail-send and qmail-queued must not run, except with
--dry-run. Whatever ends it half-way, starting it again finishes it.

Environment: QMAIL_HOME.
Files: queue and everything in it.
Runs as: root, or the owner in single-user mode.
Exit codes: 0 nothing is wrong, or nothing any more; 1 something is; 100 usage;
    111 qmail-send or qmail-queued runs, or the queue cannot be read.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary, Usage
from qmail.host import program
from qmail.host.reasons import reason
from qmail.stores import home as homes
from qmail.stores import installation, queueremedies, standstill
from qmail.stores.queueremedies import BAD, stages, unfinished

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home

WRONG = 1
MOST_ROUNDS = 8  # one remedy may show what another one was hiding
NEEDED = (b"queue/lock", BAD)  # before anything else; a queue of C qmail has no bad/


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if argv[1:] not in ([], [b"--dry-run"]):
        raise Usage(b"qmail-queue-repair: usage: qmail-queue-repair [--dry-run]")
    home = homes.find(argv[0], environ)
    try:
        if argv[1:]:
            found = queueremedies.findings(home)
            program.say(1, b"".join([finding.text for finding in found]))
            left = len(found)
        else:
            left = _repair(home)
    except OSError as error:
        where = os.fsencode(error.filename or home.queue)
        raise Temporary(b"unable to go on at " + where + b": " + reason(error)) from error
    if not left:
        program.say(1, b"nothing is wrong in " + home.queue + b"\n")
    return WRONG if left else 0


def _repair(home: Home) -> int:
    for name in NEEDED:
        if not os.path.lexists(home.file(name)):
            installation.create(home.path, {name})
    held = standstill.hold(home, queued=True)
    failed: set[bytes] = set()
    for _ in range(MOST_ROUNDS):
        # One stage at a time: what is wrong in a later one may be right then.
        left = ([step for step in stage if step[0].what not in failed] for stage in (unfinished(home), *stages(home)))
        steps = next((stage for stage in left if stage), None)
        if steps is None:
            break
        for finding, act in steps:
            program.say(1, finding.text)
            try:
                act()
            except OSError as error:
                failed.add(finding.what)
                program.say(2, b"qmail-queue-repair: unable to do that: " + reason(error) + b"\n")
    faults = sum(map(len, stages(home)))
    for descriptor in held:
        os.close(descriptor)
    if faults:
        program.say(1, b"%d faults are left\n" % faults)
    return faults
