"""Warm processes that take over a server's connections, instead of a fork and an exec for each.

The server (tcpserver) accepts, asks the rules, counts and logs; what becomes of a connection is the
resident's affair. A factory makes one from the words and the environment of the program that the
server was told to run, or says None where it does not know that program; the server then forks and
execs as ever, and no behaviour may tell the two apart.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    class Resident(Protocol):
        """What a server asks of its warm processes. No call may block or raise OSError."""

        def begin(self, listener_fds: Sequence[int]) -> None:
            """Fork the workers. Called once: the port is bound, privileges are dropped, nobody was accepted yet.

            A worker closes `listener_fds` and every other descriptor it does not know, restores signals
            (`host.signals`), and finishes its sessions when the server's end of its socket reaches EOF.
            """

        def serve(self, connection_fd: int, environ: dict[bytes, bytes], number: int) -> bool:
            """Hand a connection over, with the whole environment its program would have had.

            `number` stands where the pid stood in the log. `environ` is the resident's to keep. The server
            closes its `connection_fd` after the call. False: not now, or not this one (a variable the warm
            process does not know); the server then forks and execs for it.
            """

        def descriptors(self) -> Sequence[int]:
            """What the server watches for reading. Asked again after every other call."""

        def ended(self, descriptor: int) -> Sequence[tuple[int, int]]:
            """A descriptor became readable: the (number, raw wait status) of each session that ended."""

        def reaped(self, pid: int, status: int) -> Sequence[tuple[int, int]] | None:
            """The server, which waits for all its children, saw `pid` end. None: not one of the workers.

            Else the (number, raw wait status) of the sessions that ended with it and were not told by `ended`.
            """

        def close(self) -> None:
            """The server ends (TERM). Close the sockets to the workers; they finish their sessions alone."""

    Factory = Callable[[list[bytes], Mapping[bytes, bytes]], Resident | None]
