"""qmail-send: decides about every message in the queue.

It is the only keeper of delivery state: it decides who gets a message how, when
it is tried again, and when its sender is told of a failure. It delivers nothing
itself.

Usage: qmail-send

qmail-start runs it. People tell it things by signals, through its supervise:

    svc -h /service/qmail-send       # read locals, virtualdomains,
                                     # destinations and smtproutes again
    svc -a /service/qmail-send       # try everything now
    svc -d /service/qmail-send       # end, when running deliveries have

Behaviour:
A recipient is local where its host is in locals, or virtualdomains says so, and
else remote. The spawners are told whom to deliver to, within concurrencylocal
and concurrencyremote. What was deferred is tried again at the square of growing
times: after 400 seconds, then 1600, 3600 ... for remote mail, earlier for local
mail. After queuelifetime a failure that may pass counts as one for good.
Failures are sent to the envelope sender in one message; failures of that, to
doublebounceto. A double bounce that fails is dropped.

A sender who has said so with his message (NOTIFY, RFC 3461) hears nothing of
failures; of each success as well; or once, after four hours, of a delay. A
success is told as `delivered`, as `expanded` where .qmail sends on, or as
`relayed` where the next host does not take such wishes; one that does tells by
itself. Who gave any such parameter gets reports for people and programs (RFC
3464): qmail's own words, what became of each recipient, and the message, or its
header with RET=HDRS and for all but failures. Others get qmail's words alone,
unless bounceformat has the line `report`. A delivery counts only when the queue
has taken the report on it; where it cannot, that is tried again every two
minutes, and a restart meanwhile delivers a second time.

A destination is the host of remote recipients, or the relay that smtproutes has
for it. It gets five deliveries at once at first, one more with each success,
half as many after a deferral, and at least one; at most half of
concurrencyremote, or three quarters while nothing waits for elsewhere. A line
host:connections:messages of destinations has another limit for it, and one of
messages per minute; .suffix:... is for all hosts below, and :... (or *:...) for
the rest; the longest name that fits counts. Where connections has no number
the above holds, where messages has none there is no such limit; 0 holds the
mail. What may not go waits, and is in nobody's way. Where smtproutes cannot be
read, each host is a destination.

A fresh message is delivered straight from todo/; it gets files in info/, local/
and remote/ only if that leaves something to do. The order of writes is that of
docs/queue.md. The log, on descriptor 0, is described in qmail-log(5); where
nobody empties it, mail goes on, and beyond 32 MiB lines are dropped and
counted. Orders and reports of qmail-lspawn are on 1 and 2, of qmail-rspawn on 3
and 4, of qmail-clean on 5 and 6.

What makes no sense in the queue is said once, left where it is, and not
delivered; ALRM looks at it again. A recipient list whose last line is torn, or
that is empty, is kept in bad/ when the others are done.

Files: control/: see qmail-control(5); queue/: info, local, remote, bounce are
its own; lock/sendmutex, lock/trigger.
Signals: TERM, ALRM, HUP: see above. Running deliveries are finished on TERM.
Runs as: qmails.
Exit codes: 0 after TERM or the loss of a helper; 111 it cannot start: the log
    says why.
"""

from __future__ import annotations

import os

from qmail.formats import logline
from qmail.formats.verdict import Temporary
from qmail.host import locks, sandbox, signals, title
from qmail.host.logwriter import LogWriter
from qmail.host.reasons import reason
from qmail.stores import confinement, submission
from qmail.stores import home as homes
from qmail.stores.sendcontrols import SendControls
from qmail.stores.sendloop import Sender
from qmail.stores.spawner import Lost, Spawner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home

LOG, LSPAWN, RSPAWN, CLEAN = 0, (1, 2), (3, 4), (5, 6)  # descriptors: orders, reports or answers


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    log = LogWriter(LOG)
    try:
        home = homes.find(argv[0], environ)
        sender = _prepared(home, environ, log)
        if submission.foreign(home, environ) is None:
            # A queue program of the user's may need what a confined process cannot give it.
            sandbox.enter(confinement.sending(home))
        sender.run()
    except Temporary as trouble:
        log.lines.append(logline.alert(b"cannot start: " + trouble.text))
        log.flush()
        return trouble.code
    except Exception as error:
        # Descriptor 2 is a pipe of ours: last words have no other place.
        log.lines.append(logline.alert(b"unforeseen: " + logline.safe(os.fsencode(repr(error)))))
        log.flush()
        raise
    return 0


def _prepared(home: Home, environ: dict[bytes, bytes], log: LogWriter) -> Sender:
    """Everything that must be right before the first message is looked at. Raises Temporary."""
    title.show(b"qmail-send")
    try:
        os.chdir(home.path)
    except OSError as error:
        raise Temporary(b"unable to switch to home directory") from error
    try:
        controls = SendControls(home.path)
    except Temporary as trouble:
        raise Temporary(b"unable to read controls") from trouble
    try:
        os.chdir(home.queue)
    except OSError as error:
        raise Temporary(b"unable to switch to queue directory") from error
    os.umask(0o077)
    try:
        mutex = locks.take(home.queue + b"/lock/sendmutex")
    except OSError as error:
        raise Temporary(b"unable to open mutex") from error
    if mutex is None:
        raise Temporary(b"qmail-send is already running")
    spawners = (Spawner(*LSPAWN), Spawner(*RSPAWN))
    try:
        offers = [spawner.announced() for spawner in spawners]
    except Lost as error:
        raise Temporary(b"hath the daemon spawn no fire?") from error
    os.set_blocking(CLEAN[1], False)
    caught = signals.catch((signals.TERM, signals.ALRM, signals.HUP))
    limits = [min(pair) for pair in zip(controls.concurrency, offers, strict=True)]
    try:
        return Sender(home, environ, controls, limits, spawners, CLEAN, log, caught)
    except OSError as error:
        raise Temporary(b"unable to read the queue: " + reason(error)) from error
