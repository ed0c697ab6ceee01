"""qmail-giveback: put the C programs back that qmail-takeover has kept.

With the mail in the queue, which both systems read and write alike.

Usage: qmail-giveback [--stop SERVICE]...

    qmail-giveback --stop /service/qmail-send

    --stop SERVICE  take this service directory down first, and up again
                    afterwards, unless its run file is qmail-queued's; may be
                    given more than once

Behaviour:
The programs in bin.qmail-c/ get back their owners and modes, setuid bits
included, from bin.qmail-c.record, and change places with those in bin/ at one
moment. What the takeover has made is removed; queue/bad stays where something
is in it. What you have put into bin/ since then is there afterwards too; where
it has the name of a C program, it is left in bin.pyqmail/. The queue is not
touched.

Neither qmail-send nor qmail-queued may run; one that qmail-start has begun for
want of a service is ended. Whatever ends this half-way, starting it again
finishes it.

Environment: QMAIL_HOME.
Files: bin, bin.qmail-c, bin.qmail-c.record, bin.pyqmail.
Runs as: root.
Exit codes: 0 done; 100 there is nothing to give back, or usage; 111 qmail-send
    or qmail-queued runs, or the system refuses.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import program
from qmail.host.reasons import reason
from qmail.stores import home as homes
from qmail.stores import standstill, twosets

USAGE = b"qmail-giveback: usage: qmail-giveback [--stop SERVICE]..."


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    words, stop = argv[1:], []
    while words:
        if words[0] != b"--stop" or len(words) < 2:
            raise Usage(USAGE)
        stop.append(words[1])
        del words[:2]
    home = homes.find(argv[0], environ)
    if os.geteuid():
        raise Permanent(b"only root can do this")
    os.umask(0o022)
    try:
        if twosets.read_record(home.path) is None:
            raise Permanent(b"there is nothing to give back: " + home.path + twosets.RECORD + b" is not there")
        held = standstill.hold(home, stop, queued=True)
        left = twosets.give_back(home.path)
    except OSError as error:
        where = os.fsencode(error.filename or home.path)
        raise Temporary(b"unable to go on at " + where + b": " + reason(error) + b"; start it again") from error
    program.say(1, b"given back. Start qmail-send as you always did.\n")
    if left:
        program.say(1, b"what was in bin/ and is in neither set of programs: " + b" ".join(left) + b"\n")
    for descriptor in held:
        os.close(descriptor)
    standstill.start([service for service in stop if not _is_of_queued(service)])
    return 0


def _is_of_queued(service: bytes) -> bool:
    try:
        with open(service + b"/run", "rb") as file:
            return b"qmail-queued" in file.read(65536)
    except OSError:
        return False
