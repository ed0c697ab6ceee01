"""qmail-start: turns on mail delivery.

Usage: qmail-start [DEFAULTDELIVERY [LOGGER ARGUMENT...]]

    exec env - PATH="/var/qmail/bin:$PATH" qmail-start ./Maildir/
    qmail-start ./Mailbox splogger qmail &

The first line is for a run script with multilog, the second for a boot script.
DEFAULTDELIVERY is what a user without a .qmail file gets, lines as in
dot-qmail(5); ./Mailbox where it is not given. The log goes to LOGGER, run as
qmaill, or else to standard output.

Behaviour:
It opens the pipes between the programs, starts qmail-lspawn, qmail-rspawn and
qmail-clean, each as its own user, and becomes qmail-send. Where no qmail-queued
runs, one is started, in a session of its own, which goes on when qmail-send
ends. A missing lock/trigger is made. All of them inherit the environment, and
so do the programs of .qmail files. In single-user mode (queue/ is ours, and we
are not root) everything runs as the one user.

Environment: QMAIL_HOME, else the parent of the bin/ that qmail-start stands in.
Runs as: root, for a moment.
Exit codes: those of qmail-send; 111 something cannot be started.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary
from qmail.host import clock, execute, fds, identity, localsocket
from qmail.protocols.spawn import WIDE_VALUE, WIDE_VARIABLE
from qmail.stores import home as homes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qmail.stores.home import Home

DEFAULT_DELIVERY = b"./Mailbox"
QUEUED_STARTS = 3.0  # seconds; qmail-send does its work without it, too


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    home = homes.find(argv[0], environ)
    os.chdir("/")
    os.umask(0o077)
    fds.standard_open()
    fds.close_from(3)
    try:
        _make_trigger(home)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        _queued(home, null, environ)
        log = _logger(home, argv[2:], environ) if len(argv) > 2 else 1
        pipes = _helpers(home, argv[1] if len(argv) > 1 else DEFAULT_DELIVERY, null, environ)
        _wait_for_queued(home)
        return _become_send(home, [log, *pipes], environ)
    except OSError as error:
        raise Temporary(b"unable to start: " + os.fsencode(error.strerror or str(error))) from error


def _helpers(home: Home, delivery: bytes, null: int, environ: Mapping[bytes, bytes]) -> list[int]:
    """Start the three, and return our ends of their pipes, orders and reports of each.

    What they have to say they say in reports: descriptor 2 leads nowhere.
    """
    wide = {**environ, WIDE_VARIABLE: WIDE_VALUE}
    pipes: list[int] = []
    for words, user, variables in (
        ([b"qmail-lspawn", delivery], None, wide),
        ([b"qmail-rspawn"], b"qmailr", wide),
        ([b"qmail-clean"], b"qmailq", environ),
    ):
        orders, sent = os.pipe()
        heard, reports = os.pipe()
        argv = [home.program(words[0]), *words[1:]]
        execute.spawn(argv, variables, {0: orders, 1: reports, 2: null}, prepare=_as(home, user))
        os.close(orders)
        os.close(reports)
        pipes += [sent, heard]
    return pipes


def _logger(home: Home, argv: list[bytes], environ: Mapping[bytes, bytes]) -> int:
    """Start the logger; it alone keeps our standard output. Returns the way to it."""
    reader, writer = os.pipe()
    execute.spawn(argv, environ, {0: reader, 1: 1, 2: 2}, prepare=_as(home, b"qmaill"))
    os.close(reader)
    return writer


def _become_send(home: Home, descriptors: list[int], environ: Mapping[bytes, bytes]) -> int:
    """qmail-send: log on 0, then the pipes."""
    moved = [execute.fds_above(descriptor, len(descriptors)) for descriptor in descriptors]
    for target, source in enumerate(moved):
        fds.copy(source, target)
    prepare = _as(home, b"qmails")
    if prepare is not None:
        prepare()
    execute.replace([home.program(b"qmail-send")], environ)


def _as(home: Home, user: bytes | None) -> Callable[[], None] | None:
    """How to become this user, or None where we stay who we are. Raises Temporary where there is no such user."""
    if user is None or home.single:
        return None
    uid, gid = home.account(user)
    return lambda: identity.become(uid, gid)


def _queued(home: Home, null: int, environ: Mapping[bytes, bytes]) -> None:
    """Have a qmail-queued: a stand-in that finds another at work ends at once."""
    execute.spawn([home.program(b"qmail-queued"), b"-s"], environ, {0: null, 1: null, 2: null}, session=True)


def _wait_for_queued(home: Home) -> None:
    """Whoever sees qmail-send at work may want to hand over a message: so qmail-queued is waited for, within reason."""
    end = clock.monotonic() + QUEUED_STARTS
    while clock.monotonic() < end:
        try:
            os.close(localsocket.connect(home.file(b"qq/socket")))
            return
        except OSError:
            clock.sleep(0.01)


def _make_trigger(home: Home) -> None:
    """The fifo that wakes qmail-send, where it is missing; qmail-send itself may not make it."""
    path = home.queue + b"/lock/trigger"
    if os.path.lexists(path):
        return
    try:
        old = os.umask(0)
        os.mkfifo(path, 0o622)
        os.umask(old)
        if not home.single:
            os.chown(path, *home.account(b"qmails"), follow_symlinks=False)
    except OSError:
        pass  # todo/ is looked through from time to time in any case
