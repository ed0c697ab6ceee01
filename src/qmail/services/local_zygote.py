"""The processes that qmail-lspawn forks before it reads its first order, and so without any address in them.

The zygote has read all of qmail-local's code, and makes workers: a fork of it closes everything but its
link, becomes the user, and serves. The looker is qmail-getpw that stays, as user qmailp. Where one of them is killed,
another one is started as a program.
"""

from __future__ import annotations

import gc
import os

from qmail.formats import report
from qmail.formats.usersassign import record
from qmail.formats.verdict import TEMPORARY
from qmail.host import execute, fds, identity, passing, program, signals, title
from qmail.protocols import localjobs
from qmail.stores import home as homes
from qmail.stores import users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from qmail.formats.usersassign import Account
    from qmail.host.passing import Link
    from qmail.stores.home import Home


ROLE = b"QMAILLSPAWN"  # the variable that says which of them a program is to be
ZYGOTE, LOOKER = b"zygote", b"accounts"
AGAIN = 5.0  # seconds after the loss of one until another one is started
LINK = 3  # the descriptor of its link


def start(serve: Callable[[Link], int]) -> Link:
    """Fork a process of our family; returns our end of the link to it. Raises OSError."""
    ours, theirs = passing.pair()
    if not os.fork():
        _live(theirs, lambda: serve(theirs))
    theirs.close()
    return ours


def start_again(role: bytes, default: bytes, home: Home, environ: dict[bytes, bytes]) -> Link | None:
    """Start one as a program, since a fork of ours would have seen addresses. None where that cannot be now."""
    path = home.program(b"qmail-lspawn")
    if not homes.is_own(path, b"qmail-lspawn"):
        return None
    try:
        ours, theirs = passing.pair()
    except OSError:
        return None
    try:
        execute.spawn([path, default], {**environ, ROLE: role}, {2: 2, LINK: theirs.fileno()})
    except OSError:
        ours.close()
        return None
    finally:
        theirs.close()
    return ours


def as_program(default: bytes, home: Home, environ: dict[bytes, bytes]) -> NoReturn:
    """The whole life of one that was started as a program."""
    link = passing.link(LINK)
    if environ.pop(ROLE) == LOOKER:
        _live(link, lambda: looker(link, home))
    _live(link, lambda: zygote(link, default, home, environ))


def zygote(link: Link, default: bytes, home: Home, environ: dict[bytes, bytes]) -> int:
    """Make workers until qmail-lspawn hangs up."""
    from qmail.services.local_worker import Worker
    from qmail.stores import maildir

    def make(descriptor: int, who: Account) -> int:
        if who.uid == 0:
            raise PermissionError("nothing is delivered as root")
        pid = os.fork()
        if pid:
            return pid
        end = passing.link(descriptor)
        _live(end, lambda: _serve_as(who, home, lambda: Worker(end, who, default, home, environ).serve()))

    maildir.share_syncs()
    signals.ignore(signals.CHLD)  # workers are gone when they end
    title.show(b"qmail-lspawn", b"zygote")
    gc.collect()
    gc.freeze()
    while True:
        packet, descriptors = link.receive()
        if not packet:
            return 0
        serial, who = localjobs.parse_worker(packet)
        try:
            handle = os.pidfd_open(make(descriptors[0], who))
            link.send(localjobs.started(serial), [handle])
            os.close(handle)
        except OSError:
            pass  # qmail-lspawn sees that the other end is gone
        passing.close_all(descriptors)


def looker(link: Link, home: Home) -> int:
    """Answer which account answers for a local part, until qmail-lspawn hangs up."""
    account = home.account(b"qmailp")
    title.show(b"qmail-getpw")
    if not home.single:
        identity.become(*account)
    while packet := link.receive_bare():
        answers = [
            localjobs.report(number, *_answer(home, local)) for number, local in localjobs.parse_questions(packet)
        ]
        link.send(b"".join(answers))
    return 0


def _answer(home: Home, local: bytes) -> tuple[int, bytes]:
    # As qmail-getpw: exit code and output.
    try:
        return 0, record(users.of_system(home, local))
    except users.Unassigned:
        return report.EXIT_NO_ALIAS, b""
    except users.Trouble:
        return report.EXIT_NFS, b""


def _live(link: Link, body: Callable[[], int]) -> NoReturn:
    # A child's whole life. It has nothing of its parent's but the link, and descriptor 2.
    try:
        title.forget()
        signals.restore()
        signals.ignore(signals.PIPE, signals.XFSZ)
        fds.close_from(3, (link.fileno(),))
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)
        os.chdir("/")
        os._exit(program.ended(b"qmail-lspawn", body))
    finally:
        os._exit(TEMPORARY)


def _serve_as(who: Account, home: Home, serve: Callable[[], int]) -> int:
    # In a worker: become the user, and nobody else ever again.
    os.dup2(0, 2)
    title.show(b"qmail-local", who.user, who.home)
    os.umask(0o077)
    if not home.single:
        identity.become(who.uid, who.gid)
    if os.getuid() != who.uid or os.getuid() == 0:
        return report.EXIT_ROOT
    return serve()
