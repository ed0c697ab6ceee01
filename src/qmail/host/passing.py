"""Pairs of sockets between processes of one family: whole packets, and descriptors with them (SCM_RIGHTS)."""

from __future__ import annotations

import _socket
import array
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST = 128 * 1024  # bytes of a packet
MOST = 64  # descriptors with a packet

_room = memoryview(bytearray(LARGEST))  # every packet is first received here


class Link:
    """One end of a pair. What is sent with one `send` arrives whole, in one `receive`."""

    __slots__ = ("_socket",)

    def __init__(self, socket: _socket.socket) -> None:
        self._socket = socket

    def fileno(self) -> int:
        """The descriptor, for a loop."""
        return self._socket.fileno()

    def send(self, packet: bytes, descriptors: Sequence[int] = (), *, wait: bool = True) -> None:
        """Send a packet of at most LARGEST bytes. Raises OSError: BlockingIOError where it would have to wait."""
        flags = 0 if wait else _socket.MSG_DONTWAIT
        if descriptors:
            rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", descriptors))
            self._socket.sendmsg([packet], [rights], flags)
        else:
            self._socket.send(packet, flags)

    def receive(self) -> tuple[bytes, list[int]]:
        """The next packet, and the descriptors (close-on-exec) that came with it; empty when the other end is gone."""
        try:
            size, extra, _flags, _address = self._socket.recvmsg_into(
                [_room], _socket.CMSG_SPACE(4 * MOST), _socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            return b"", []  # gone, and it had not read all
        descriptors = array.array("i")
        for level, kind, data in extra:
            if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        return bytes(_room[:size]), list(descriptors)

    def receive_bare(self) -> bytes:
        """The next packet; the kernel throws away what descriptors came with it, as strangers may send them."""
        try:
            return bytes(_room[: self._socket.recv_into(_room)])
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        """The other end sees this one gone, when no other process has it."""
        self._socket.close()

    def detach(self) -> int:
        """Give the descriptor away."""
        return self._socket.detach()


def pair() -> tuple[Link, Link]:
    """Two ends. Raises OSError."""
    one, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return Link(one), Link(other)


def link(descriptor: int) -> Link:
    """The end at a descriptor that was passed to us."""
    return Link(_socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, descriptor))


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that were received and are not wanted."""
    for descriptor in descriptors:
        os.close(descriptor)
