"""A QMTP connection: messages from files to another host, one after the other, as smtpsession does by SMTP."""

from __future__ import annotations

import os
import stat
import time

from qmail.formats.netstring import Broken, netstring
from qmail.protocols import qmtp
from qmail.rules import tlsneeds
from qmail.rules.tlsneeds import Needs, Unmet
from qmail.stores import clienttls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmail.formats.mailparameters import Single
    from qmail.host.connect import Connection
    from qmail.host.tlsclient import Secured

CHUNK = 65536
SHORT = b"ZUnable to read message. (#4.3.0)\n"
NO_FILE = b"ZQMTP says first how long a message is, and this one is no file. (#4.3.0)\n"
CANNOT_ASK = b"ZQMTP does not tell of recipients without a message. (#4.3.0)\n"


class QmtpSession:
    """What follows a connection: transactions, then `close`. The names are those of smtpsession.Session.

    `seconds`: within which each answer must have come. `tls`: TLS comes before the first byte.
    """

    def __init__(
        self, connection: Connection, partner: bytes, seconds: int, *, tls: bool, needs: Needs, name: bytes,
        trusted: bytes,
    ) -> None:  # fmt: skip
        self._plain = connection
        self._connection: Connection | Secured = connection
        self._partner, self._seconds, self._tls = partner, max(seconds, 1), tls
        self._name, self._trusted = name, trusted
        self._answers = qmtp.Answers()
        self._records = b""
        self.needs = needs
        self.unmet: Unmet | None = None
        self.instead: Needs | None = None
        self.secured = self.reusable = self.again = self.clear = False

    @property
    def report(self) -> bytes:
        """The records of the last transaction."""
        if self.unmet is None:
            return self._records
        return tlsneeds.report(b"Connected to " + self._partner, self.unmet, final=self.needs.final) + b"\0"

    def fileno(self) -> int:
        """The connection's descriptor, for polling."""
        return self._connection.fileno()

    def tell_when_slow(self, slow: Callable[[], None]) -> None:
        """Call `slow` once, when the server lets us wait."""
        self._connection.tell_when_slow(slow)

    def addresses(self) -> tuple[bytes, bytes]:
        """The server's address, and our own, as text."""
        return self._partner, self._plain.ours()

    def satisfies(self, needs: Needs) -> bool:
        """May mail to a domain with these needs go by this session?"""
        return not needs.final and needs.met_by(self.needs, secured=self.secured, exchanger=self._name)

    def ask(self, _recipient: bytes) -> None:
        """There is no way to ask for a recipient alone."""
        self._records = CANNOT_ASK + b"\0"

    def transact(
        self,
        sender: bytes,
        recipients: Sequence[bytes],
        message: int,
        size: int | None,
        asked: Single | None = None,
    ) -> None:
        """Carry one transaction to its end: plain addresses, and a file of `size` bytes, or (None) all of it.

        `asked`: parameters of the one recipient, of which QMTP can pass on none.
        """
        if asked is not None and asked.requiretls:
            self.unmet = Unmet(tlsneeds.NO_REQUIRETLS)
            return
        worn, critical = self.reusable, False
        self.reusable = self.again = False
        try:
            size = _size(message) if size is None else size
            if size < 0:
                self._records = NO_FILE + b"\0"
                return
            if not worn:
                self._open()
            if self.unmet is not None or self.instead is not None:
                return
            whole = self._send(message, size)
            if not whole:
                self._records = SHORT + b"\0"
                return
            critical = True
            self._connection.send(b"," + netstring(sender) + netstring(b"".join(map(netstring, recipients))))
            self._told([self._answer() for _ in recipients])
        except (OSError, Broken):
            duplicate = b"Possible duplicate! " if critical else b""
            self.again = worn and not critical
            self._records = b"ZConnected to " + self._partner + b" but connection died. " + duplicate + b"(#4.4.2)\n\0"

    def close(self) -> None:
        """Let go."""
        self._connection.close()

    def _open(self) -> None:
        if not self._tls:
            self.clear = True
            if self.needs.level >= tlsneeds.ENCRYPT:
                self.unmet = Unmet(tlsneeds.NO_STARTTLS)
            return
        found = clienttls.secured(self._plain, self.needs, self._name, self._trusted, self._seconds)
        if isinstance(found, Needs):
            self.instead = found
        elif isinstance(found, Unmet):
            self.unmet = found  # and there is no other way: the route says TLS
        else:
            self._connection, self.secured = found, True

    def _send(self, message: int, size: int) -> bool:
        """Send the message. False where the file is shorter than it was."""
        self._connection.send(b"%d:\n" % (size + 1))
        at = 0
        while at < size:
            chunk = os.pread(message, min(CHUNK, size - at), at)
            if not chunk:
                return False
            self._connection.send(chunk)
            at += len(chunk)
        return True

    def _answer(self) -> tuple[bytes, bytes]:
        until = time.monotonic() + self._seconds
        while (answer := self._answers.next()) is None:
            if time.monotonic() > until:
                raise TimeoutError
            self._answers.feed(self._connection.receive())
        return answer

    def _told(self, answers: list[tuple[bytes, bytes]]) -> None:
        records, taken = [], b""
        for letter, words in answers:
            said = b"Remote host said: " + words.replace(b"\0", b" ") + b"\n"
            if letter == b"K":
                taken = taken or said
                records.append(b"r")
            else:
                sign = b"h" if letter == b"D" else b"s"
                records.append(sign + self._partner + b" does not like recipient.\n" + said)
        last = (
            b"K" + self._partner + b" accepted message.\n" + taken
            if taken
            else b"DGiving up on " + self._partner + b".\n"
        )
        self._records = b"".join([record + b"\0" for record in (*records, last)])
        self.reusable = True


def _size(message: int) -> int:
    """The size of a file; -1 of what is none."""
    status = os.fstat(message)
    return status.st_size if stat.S_ISREG(status.st_mode) else -1
