"""Sockets between programs of one machine: the kernel says who connects.

Descriptors here are close-on-exec. A path too long for a socket address is reached through a
descriptor of its directory.
"""

from __future__ import annotations

import _socket
import os
import stat
import struct

from qmail.host import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STREAM: int = _socket.SOCK_STREAM
PACKETS: int = _socket.SOCK_SEQPACKET  # each send arrives whole, in one receive

_LONGEST = 107  # bytes of a path in a socket address
_CREDENTIALS = struct.Struct("3i")


class Peer:
    """A connection that was accepted: its descriptor (non-blocking) and who made it."""

    __slots__ = ("descriptor", "gid", "pid", "uid")

    def __init__(self, descriptor: int, pid: int, uid: int, gid: int) -> None:
        self.descriptor, self.pid, self.uid, self.gid = descriptor, pid, uid, gid


class Listener:
    """A socket that listens at `path`, in the place of whatever stood there. Raises OSError.

    The name appears when everything is ready: nobody finds it half made.
    """

    def __init__(self, path: bytes, mode: int, kind: int = STREAM, backlog: int = 1024) -> None:
        new = path + b".new"
        durable.remove(new)
        self._path = path
        self._socket = _socket.socket(_socket.AF_UNIX, kind | _socket.SOCK_NONBLOCK)
        try:
            _at(new, self._socket.bind)
            os.chmod(new, mode)
            self._socket.listen(backlog)
            self._place = _place(new)
            durable.rename(new, path)
        except OSError:
            self._socket.close()
            raise

    @classmethod
    def inherited(cls, descriptor: int) -> Listener | None:
        """The listening socket that we were started with on this descriptor, which it takes over; None: it is none."""
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        listener = cls.__new__(cls)
        listener._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, os.dup(descriptor))
        if not listener._socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
            listener._socket.close()
            return None
        os.set_blocking(listener.fileno(), False)
        return listener

    def fileno(self) -> int:
        """The descriptor, for a loop."""
        return self._socket.fileno()

    def is_found(self) -> bool:
        """Does the name still lead here?"""
        return _place(self._path) == self._place

    def accept(self) -> Peer | None:
        """The next connection, or None where none waits. Raises OSError where it cannot be taken (no descriptors)."""
        try:
            descriptor, _address = self._socket._accept()  # type: ignore[attr-defined]  # what socket.socket calls
        except (BlockingIOError, ConnectionAbortedError):
            return None
        os.set_blocking(descriptor, False)
        pid, uid, gid = credentials(descriptor)
        return Peer(descriptor, pid, uid, gid)

    def close(self) -> None:
        """Listen no more. The name stays, and leads nowhere."""
        self._socket.close()


def credentials(descriptor: int) -> tuple[int, int, int]:
    """(pid, uid, gid) of the process that made the other end of a connection."""
    wrapped = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)
    try:
        pid, uid, gid = _CREDENTIALS.unpack(wrapped.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12))
        return pid, uid, gid
    finally:
        wrapped.detach()


def connect(path: bytes, kind: int = STREAM, *, patience: int = 0) -> int:
    """A descriptor connected to the socket at `path`.

    `patience`: seconds that a read or a write on it, and connecting, may wait before BlockingIOError
    is raised; 0: it is non-blocking. Raises OSError.
    """
    connecting = _socket.socket(_socket.AF_UNIX, kind if patience else kind | _socket.SOCK_NONBLOCK)
    try:
        if patience:
            for option in (_socket.SO_SNDTIMEO, _socket.SO_RCVTIMEO):
                connecting.setsockopt(_socket.SOL_SOCKET, option, struct.pack("ll", patience, 0))
        _at(path, connecting.connect)
    except OSError:
        connecting.close()
        raise
    return connecting.detach()


def _place(path: bytes) -> tuple[int, int]:
    try:
        status = os.lstat(path)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _at(path: bytes, act: Callable[[bytes], None]) -> None:
    if len(path) <= _LONGEST:
        act(path)
        return
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    try:
        act(b"/proc/self/fd/%d/%b" % (directory, os.path.basename(path)))
    finally:
        os.close(directory)
