"""Local deliveries by programs: one fork and one exec for each, as qmail has always done it.

This is the way where bin/qmail-local or bin/qmail-getpw is a replacement or a wrapper, and where no warm
process can be had.
"""

from __future__ import annotations

import os

from qmail.formats import mailparameters, report
from qmail.formats.usersassign import Account, Bad, account
from qmail.formats.verdict import TEMPORARY
from qmail.host import execute, fds, identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from qmail.programs.deliver.qmail_lspawn import Delivery, Spawner

NO_FORK = b"Zqmail-spawn unable to fork. (#4.3.0)\n"


class Programs:
    """Runs qmail-getpw and qmail-local for each delivery."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self._children: dict[int, Delivery] = {}

    def look_up(self, delivery: Delivery) -> None:
        """The delivery's own child asks."""
        self.deliver(delivery)

    def deliver(self, delivery: Delivery) -> None:
        """Start qmail-local as the user who answers for the recipient."""
        if not self._spawner.open_message(delivery):
            return
        message = delivery.order.message
        output = self._spawner.open_output(delivery)
        try:
            if output is not None:
                pid = os.fork()
                if not pid:
                    _become_local(self._spawner, delivery, message, output)
                self._children[pid] = delivery
        except OSError:
            self._spawner.report(delivery, NO_FORK)
        finally:
            os.close(message)
            if output is not None:
                os.close(output)

    def ended(self, pid: int, status: int) -> None:
        """A child has ended."""
        delivery = self._children.pop(pid, None)
        if delivery is not None:
            self._spawner.finished(delivery, os.WEXITSTATUS(status) if os.WIFEXITED(status) else None)

    def dismiss(self) -> None:
        """Nobody waits."""

    def round(self) -> float | None:
        """All is handed out at once."""
        return None


def _become_local(spawner: Spawner, delivery: Delivery, message: int, output: int) -> NoReturn:
    # In a child: find out who answers, become that user, become qmail-local.
    try:
        os.chdir(spawner.home.path)
        who = delivery.account or _ask_getpw(spawner, delivery.local)
        for target, source in ((0, message), (1, output), (2, output)):
            fds.copy(source, target)
        if spawner.home.single:
            if who.uid != os.geteuid():
                os._exit(report.EXIT_USAGE)
        else:
            identity.become(who.uid, who.gid)
        if os.getuid() == 0:
            os._exit(report.EXIT_ROOT)
        # Whatever program this is, its user can have what it has open, and with the file what comes into it later.
        if (copy := fds.copy_of_hidden(0)) is not None:
            fds.copy(copy, 0)
        environ = mailparameters.environment(spawner.environ, delivery.order.asked)
        words = (b"--", who.user, who.home, delivery.local, who.dash, who.ext, delivery.host, delivery.sender)
        execute.replace([spawner.home.program(b"qmail-local"), *words, spawner.default], environ)
    except Bad:
        os._exit(report.EXIT_USAGE)
    except OSError:
        # Also where there is no such program: it may be just being replaced, and must not return mail.
        os._exit(report.EXIT_EXEC_SOFT)
    except BaseException:
        os._exit(TEMPORARY)


def _ask_getpw(spawner: Spawner, local: bytes) -> Account:
    # qmail-getpw as a program, as user qmailp.
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if not pid:
        try:
            fds.copy(writer, 1)
            if not spawner.home.single:
                identity.become(*spawner.home.account(b"qmailp"))
            execute.replace([spawner.home.program(b"qmail-getpw"), local], spawner.environ)
        except BaseException:
            os._exit(report.EXIT_GETPW)
    os.close(writer)
    said = fds.read_all(reader, fds.CHUNK) or b""
    status = os.waitpid(pid, 0)[1]
    if not os.WIFEXITED(status):
        os._exit(report.EXIT_SYSTEM)
    if os.WEXITSTATUS(status):
        os._exit(os.WEXITSTATUS(status))
    return account(said)
