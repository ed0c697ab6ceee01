"""qmail-queue: one message into the queue, or nothing.

Everything that sends mail ends here: programs for people, servers, forwards and
bounces. What it has accepted is not lost.

Usage: qmail-queue < MESSAGE 1< ENVELOPE

The message is read from descriptor 0, and after its end the envelope from
descriptor 1:

    F<sender> NUL T<recipient> NUL T<recipient> NUL ... NUL

A person uses qmail-inject instead, which makes header and envelope.

Behaviour:
An address may have 1002 bytes; an envelope 64 MiB and a million recipients.
What follows the last NUL is not read,
unless it is, written together with that NUL, what the sender asked for besides:

    +parameters NUL RECORD NUL RECORD NUL ... NUL

with records as in queue-files(5), at most 2 MiB. A Received line with the caller's uid and
pid is put in front of the message; nothing else changes in it.

qmail-queue has no rights of its own: it hands everything to qmail-queued, which
writes the queue, and exits 0 when the message is durable there. It says
nothing: the exit code is all. Codes from 11 to 40 are for good, the others may
pass. It gives up after 24 hours, and on ALRM.

Files: QMAIL_HOME/qq/socket.
Signals: ALRM: exit 52, nothing is queued.
Runs as: whoever sends mail.
Exit codes: 0 accepted; 11 an address is too long; 31 the envelope is too large;
    51 out of memory; 52 timeout; 53 write error or disk full; 54 the message or
    the envelope cannot be read to its end; 56 qmail-queued cannot be reached;
    61 no home directory; 62 to 66 trouble in queue, pid, mess, intd, todo; 71
    the user has too many unfinished messages; 72, 74 qmail-queued does not
    answer; 81 internal bug; 91 the envelope is malformed.
"""

from __future__ import annotations

import os
import select

from qmail.formats.besides import Reader
from qmail.formats.envelope import UNFINISHED, Check
from qmail.formats.mailparameters import Malformed
from qmail.host import fds, signals
from qmail.protocols import submit
from qmail.stores import home as homes
from qmail.stores.submission import NO_MEMORY, Direct

LONGEST = 86_400  # seconds
TIMEOUT, BUG = 52, 81


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above. Says nothing, whatever happens: the exit code is all."""
    signals.on(signals.ALRM, lambda: os._exit(TIMEOUT))
    signals.alarm(LONGEST)
    try:
        return _queue(Direct(homes.find(argv[0], environ), submit.PROGRAM))
    except MemoryError:
        return NO_MEMORY
    except Exception:
        return BUG


def _queue(submission: Direct) -> int:
    try:
        # One that is closed would become our socket, and be read for ever.
        os.fstat(0)
        os.fstat(1)
        for piece in fds.chunks(0):
            submission.write(piece)
        check, besides = Check(), Reader()
        for piece in fds.chunks(1):
            submission.envelope(piece)
            check.feed(piece)
            if check.code or (check.whole and not _more(besides, check.behind)):
                # Whoever holds the other end need not close it. What is wrong is qmail-queued's to say.
                return submission.commit().code
        if check.whole:
            return submission.commit().code
    except OSError:
        pass
    submission.abandon()
    return UNFINISHED


def _more(besides: Reader, behind: bytes) -> bool:
    """Is there more behind the envelope that is to be carried with it?"""
    try:
        besides.feed(behind)
    except Malformed:
        return False  # as above
    if besides.over:
        return False
    # It was written together with the envelope's last NUL, or never.
    return besides.ours or bool(select.select((1,), (), (), 0)[0])
