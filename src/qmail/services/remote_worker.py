"""A process that makes one delivery to another host after the other, and keeps the connection between them."""

from __future__ import annotations

import _socket
import os
import select
import time
from functools import partial

from qmail.formats import mailparameters
from qmail.host import fds, program, sandbox, signals, title
from qmail.programs.deliver.qmail_remote import Remote
from qmail.protocols import handover
from qmail.services.remote_pool import descriptor
from qmail.stores import confinement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from qmail.stores.home import Home

KEPT = 4.0  # seconds a connection waits for the next message to the same host
_NAME = b"qmail-remote"
_MOMENT = (0, 20_000)  # seconds and microseconds to wait for a job before settling down


def fork(where: Home, environ: Mapping[bytes, bytes]) -> tuple[int, _socket.socket, _socket.socket]:
    """Start a worker: its pid, and our end and its end of the socket to it. Raises OSError."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if not pid:
        _become(where, environ, theirs)
    ours.setblocking(False)
    return pid, ours, theirs


def _become(where: Home, environ: Mapping[bytes, bytes], socket: _socket.socket) -> NoReturn:
    """Be a worker until the socket's other end is closed."""
    code = 111
    try:
        signals.restore()
        signals.ignore(signals.PIPE, signals.XFSZ)
        title.forget()
        # Nothing of the spawner's: while we hold its pipes or sockets, nobody sees that it has ended.
        fds.close_from(3, keep=(socket.fileno(),))
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)
        title.prepare()
        sandbox.enter(confinement.outgoing_smtp(where))
        code = program.ended(_NAME, lambda: Worker(where, environ, socket).run())
    finally:
        os._exit(code)


class Worker:
    """The loop: a job, its answer."""

    def __init__(self, where: Home, environ: Mapping[bytes, bytes], socket: _socket.socket) -> None:
        self._socket = socket
        self._remote = Remote(where, environ, extended=True)
        self._roads = confinement.Roads(where)
        moment = b"".join(part.to_bytes(8, "little") for part in _MOMENT)
        socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, moment)

    def run(self) -> int:
        """Until there are no more jobs to come, or the control files are not where we may read; the exit code."""
        remote = self._remote
        # Asked before a job is taken: what is not begun goes to another worker.
        while not self._roads.changed() and (job := self._job()) is not None:
            packet, message = job
            size, host, sender, recipient, text = handover.parse_job(packet)
            asked = mailparameters.parse_single(text) if text else None
            remote.refresh(time.monotonic())
            slow = partial(title.show, _NAME, host, sender, recipient)
            report = remote.deliver(host, sender, (recipient,), message, size, slow, asked)
            os.close(message)
            self._socket.send(handover.answer(packet, report))
        remote.leave()
        return 0

    def _job(self) -> tuple[bytes, int] | None:
        """The next job and the descriptor of its message, or None at the end."""
        try:
            packet, ancillary, _, _ = self._socket.recvmsg(handover.LARGEST, 64)
        except BlockingIOError:
            title.show(_NAME)
            self._wait()
            return None if self._roads.changed() else self._job()
        if not packet:
            return None
        return packet, descriptor(ancillary)

    def _wait(self) -> None:
        """Until something comes from the spawner; the connection goes after a while, or when the server speaks."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        connection = self._remote.connection
        if connection is not None:
            poll.register(connection, select.POLLIN)
            ready = poll.poll(KEPT * 1000)
            if self._socket.fileno() in dict(ready):
                return
            self._remote.leave()
            poll.unregister(connection)
        poll.poll()
