"""qmail-queue-check: name everything that is wrong in the queue.

Usage: qmail-queue-check

    qmail queue check

It changes nothing. `qmail queue repair` mends what is named here.

Behaviour:
Each thing that is wrong is one line, and one that says what a repair does about
it:

    info/6/1000000 has no message
        set aside in bad/

Looked at are the directories with their owners and modes, the files in lock/,
and every file of every message: whether it is where it is looked for, belongs
to whom it must, and can be read to its end; whether the files of a message
together are a state that mail goes on from; and whether a message is called by
the number of its inode, as in a queue that was restored from a backup or copied
it is not. Mail is delivered without that too, but a new message may want the
same number.

It works for a queue that C qmail has left as well. Mail may be moving
meanwhile; then only what stays wrong over two looks is said.

Environment: QMAIL_HOME.
Files: queue and everything in it.
Runs as: root, or the owner in single-user mode.
Exit codes: 0 nothing is wrong; 1 something is; 100 usage; 111 the queue cannot
    be read.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary, Usage
from qmail.host import program
from qmail.host.reasons import reason
from qmail.stores import home as homes
from qmail.stores import queueremedies

WRONG = 1


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if argv[1:]:
        raise Usage(b"qmail-queue-check: usage: qmail-queue-check")
    home = homes.find(argv[0], environ)
    try:
        found = queueremedies.findings(home)
        kept = queueremedies.kept(home)
    except OSError as error:
        where = os.fsencode(error.filename or home.queue)
        raise Temporary(b"unable to read " + where + b": " + reason(error)) from error
    program.say(1, b"".join([finding.text for finding in found]) or b"nothing is wrong in " + home.queue + b"\n")
    if kept:
        program.say(1, b"%d files that were set aside are in %b/bad\n" % (kept, home.queue))
    return WRONG if found else 0
