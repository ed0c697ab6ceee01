"""qmail-qmqpc: in place of qmail-queue, hand a message to another host by QMQP.

A host without a queue of its own (mini-qmail) needs no qmail daemon at all: its
programs think that they talk to qmail-queue.

Usage: qmail-qmqpc < MESSAGE 1< ENVELOPE

    echo 192.0.2.25 > /var/qmail/control/qmqpservers
    ln -sf qmail-qmqpc /var/qmail/bin/qmail-queue

Or, for some programs only: QMAILQUEUE=/var/qmail/bin/qmail-qmqpc.

Behaviour:
Message and envelope are read as by qmail-queue. The servers in
control/qmqpservers, one IP address a line, are tried in turn until one of them
takes the connection; what that one says counts. A connection has 10 seconds to
come about, then each read and write 60. A message of more than 1 MiB waits in a
nameless file in $TMPDIR, else /tmp.

Environment: TMPDIR.
Files: control/qmqpservers.
Runs as: whoever sends mail.
Faces: the network.
Exit codes: 0 accepted; 11, 31 refused for good; 51 out of memory; 52 timeout;
    53 no room for the message; 54 the message cannot be read; 55 no server in
    control/qmqpservers; 56 no socket; 71 refused for now; 72 a server did not
    answer; 73 a server refused the connection; 74 the conversation failed; 81
    internal bug; 91 the envelope is malformed.
"""

from __future__ import annotations

import os

from qmail.formats.envelope import Check
from qmail.formats.netstring import netstring
from qmail.formats.verdict import Temporary
from qmail.host import connect, fds, signals
from qmail.stores import home
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PORT = 628
CONNECTING, TALKING, LONGEST = 10, 60, 86_400  # seconds
HELD = 1024 * 1024  # bytes of a message that are kept in memory
REFUSED, NO_MEMORY, TIMEOUT, FULL, UNREAD, NO_SERVERS, NO_SOCKET = 31, 51, 52, 53, 54, 55, 56
NOT_NOW, SILENT, NO_CONNECTION, CUT_OFF, BUG, MALFORMED = 71, 72, 73, 74, 81, 91
VERDICTS = {b"K": 0, b"Z": NOT_NOW, b"D": REFUSED}
LONGEST_ANSWER = 4096  # bytes in which the verdict must come


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above. Says nothing, whatever happens: the exit code is all."""
    signals.on(signals.ALRM, lambda: os._exit(TIMEOUT))
    signals.alarm(LONGEST)
    try:
        return _hand_over(home.find(argv[0], environ), environ)
    except _Failed as failed:
        return failed.code
    except MemoryError:
        return NO_MEMORY
    except Exception:
        return BUG


class _Failed(Exception):
    """It ends here."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _hand_over(place: home.Home, environ: Mapping[bytes, bytes]) -> int:
    lines = _lines(Control(place.path))
    try:
        # One that is closed would become our socket.
        os.fstat(0)
        os.fstat(1)
        message = _Message(environ.get(b"TMPDIR") or b"/tmp")
        sender, *recipients = _envelope()
    except OSError:
        raise _Failed(UNREAD) from None
    connection = _connection(_servers(lines))
    head = b"%d:" % message.size
    tail = b"," + netstring(sender) + b"".join([netstring(recipient) for recipient in recipients])
    text = b"%d:%b" % (len(head) + message.size + len(tail), head)
    try:
        # In as few pieces as can be: a server may answer before it has read all, and hang up.
        for piece in message.pieces():
            if len(text) + len(piece) > fds.CHUNK:
                connection.send(text)
                text = b""
            text += piece
        connection.send(text + tail + b",")
    except OSError:
        pass  # it may have answered all the same
    try:
        return _verdict(connection)
    except OSError:
        return CUT_OFF


def _lines(control: Control) -> list[bytes]:
    try:
        lines = control.lines(b"qmqpservers")
    except Temporary:
        raise _Failed(NO_SERVERS) from None
    if lines is None:
        raise _Failed(NO_SERVERS)
    return lines


def _servers(lines: list[bytes]) -> list[bytes]:
    # What stands behind an address is a remark; a line without one is passed over.
    words = [line.split()[0] for line in lines if line.split()]
    found = [connect.packed(word) or connect.packed(word.partition(b":")[0]) for word in words]
    servers = [address for address in found if address is not None]
    if not servers:
        raise _Failed(NO_SERVERS)
    return servers


class _Message:
    """Descriptor 0 to its end: its size is told before its first byte."""

    def __init__(self, directory: bytes) -> None:
        self._held: list[bytes] = []
        self._file = -1
        self.size = 0
        for chunk in fds.chunks(0):
            self.size += len(chunk)
            if self.size <= HELD:
                self._held.append(chunk)
            else:
                self._spill(directory, chunk)

    def _spill(self, directory: bytes, chunk: bytes) -> None:
        try:
            if self._file < 0:
                self._file = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fds.write_all(self._file, chunk)
        except OSError:
            raise _Failed(FULL) from None

    def pieces(self) -> Iterator[bytes]:
        """What was read."""
        yield from self._held
        if self._file >= 0:
            os.lseek(self._file, 0, os.SEEK_SET)
            yield from fds.chunks(self._file)


def _envelope() -> list[bytes]:
    """Sender and recipients, from descriptor 1."""
    check, pieces = Check(), []
    for piece in fds.chunks(1):
        pieces.append(check.feed(piece))
        if check.whole or check.code:
            break
    if not check.whole:
        raise _Failed(check.code or MALFORMED)
    return [record[1:] for record in b"".join(pieces).split(b"\0")[:-1]]


def _connection(servers: list[bytes]) -> connect.Connection:
    code = NO_SERVERS
    for server in servers:
        try:
            attempt = connect.connect([server], PORT, CONNECTING, TALKING)
        except OSError:
            code = NO_SOCKET
            continue
        if attempt.connection is not None:
            return attempt.connection
        code = SILENT if attempt.silent else NO_CONNECTION
    raise _Failed(code)


def _verdict(connection: connect.Connection) -> int:
    """The first byte of the answer: K, once it was said, is a promise, whatever follows."""
    answer = b""
    while len(answer) < LONGEST_ANSWER:
        answer += connection.receive()
        text = answer.partition(b":")[2]
        if text:
            return VERDICTS.get(text[:1], CUT_OFF)
    return CUT_OFF
