"""serialqmtp: send messages from files to a QMTP server, without waiting for an answer to each.

The client that maildirqmtp runs: it needs a connection that somebody else has
made.

Usage: serialqmtp PREFIX

    maildirserial ~/pppdir joe-ppp- \\
    tcpclient -RHl0 mx.example.org 209 serialqmtp joe-ppp-

Behaviour:
The names of the files come on descriptor 0, each ended by a NUL. A file begins
with the lines Return-Path and Delivered-To, as qmail-local writes them: they
are the envelope, and are not sent. PREFIX is taken off the beginning of the
recipient; a message without these lines, or for a recipient without PREFIX, is
passed over. So is, with a warning, one that cannot be opened.

The server is read on descriptor 6 and written to on 7. Of each message that the
server has answered for, in order, descriptor 1 is told the name, a NUL, K
(accepted), Z (not now) or D (never), the words of the answer (behind
TCPREMOTEIP, if set, and `said:`), and a line feed. There need not be a report
for every message.

Each write may wait for 73 seconds, and an answer for an hour. An answer may
have 64 KiB, of which 2,000 bytes are passed on.

Environment: TCPREMOTEIP.
Runs as: the user.
Faces: the network.
Exit codes: 0; 100 usage; 111 the server was lost, or does not speak QMTP, or a
    file became shorter while it was sent.
"""

from __future__ import annotations

import os
import select

from qmail.formats.netstring import Broken, netstring
from qmail.formats.verdict import Temporary, Usage
from qmail.host.reasons import reason
from qmail.protocols import qmtp
from qmail.stores import serialmail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qmail.stores.serialmail import Waiting

USAGE = b"serialqmtp: usage: serialqmtp prefix"
WRITING, READING = 73, 3600  # seconds
FROM, TO = 6, 7  # descriptors of the connection
PIECE = 4096  # bytes written at once, so that a write after poll does not wait
BLOCK = 65536


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    try:
        _Exchange(argv[1], environ).go()
    except Broken:
        raise Temporary(b"remote protocol violation") from None
    except TimeoutError:
        raise Temporary(b"network error: timed out") from None
    except OSError as error:
        raise Temporary(b"network error: " + reason(error)) from error
    return 0


class _Exchange:
    """Messages out, answers in, both at once. Raises Temporary, OSError and Broken."""

    def __init__(self, prefix: bytes, environ: Mapping[bytes, bytes]) -> None:
        self._prefix, self._environ = prefix, environ
        self._source, self._answers = serialmail.Names(), qmtp.Answers()
        self._names: list[bytes] = []  # yet to be sent
        self._awaited: list[bytes] = []  # sent, or being sent
        self._package: Iterator[bytes] = iter(())
        self._pending = memoryview(b"")

    def go(self) -> None:
        """Until every message is answered for."""
        while True:
            self._fill()
            while self._awaited and (answer := self._answers.next()):
                serialmail.report(self._awaited.pop(0), *answer, self._environ)
            wanted = [(FROM, select.POLLIN)] if self._awaited else []
            if self._pending:
                wanted.append((TO, select.POLLOUT))
            elif not self._source.over:
                wanted.append((0, select.POLLIN))
            if not wanted:
                return
            ready = _ready(wanted, WRITING if self._pending else READING)
            # Reading comes last: a server whose answers nobody reads stops reading, and then there is nothing else.
            if TO in ready:
                self._pending = self._pending[os.write(TO, self._pending[:PIECE]) :]
            elif 0 in ready:
                self._names.extend(self._source.more())
            else:
                self._hear()

    def _fill(self) -> None:
        """Have something to write, if there is anything."""
        while not self._pending:
            piece = next(self._package, None)
            if piece is not None:
                self._pending = memoryview(piece)
            elif self._names:
                message = serialmail.opened(b"serialqmtp", self._names.pop(0), self._prefix)
                if message is not None:
                    self._awaited.append(message.name)
                    self._package = _package(message)
            else:
                return

    def _hear(self) -> None:
        data = os.read(FROM, BLOCK)
        if not data:
            raise Temporary(b"network read error: end of file")
        self._answers.feed(data)


def _package(message: Waiting) -> Iterator[bytes]:
    """A message on the wire: lines end in LF, the sender, one recipient."""
    yield b"%d:\n" % (message.size + 1)
    yield from message.pieces()
    yield b"," + netstring(message.sender) + netstring(netstring(message.recipient))
    message.close()


def _ready(wanted: list[tuple[int, int]], seconds: int) -> list[int]:
    """The descriptors for which what they wait for has come, or that are gone. Raises TimeoutError."""
    poll = select.poll()
    for descriptor, event in wanted:
        poll.register(descriptor, event)
    found = [descriptor for descriptor, _ in poll.poll(seconds * 1000)]
    if not found:
        raise TimeoutError
    return found
