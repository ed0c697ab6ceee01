"""qmail-qmtpd: take mail by QMTP and put it into the queue.

QMTP sends a message in one packet instead of a dialogue, for hosts that
exchange much.

Usage: qmail-qmtpd

    envuidgid qmaild tcpserver -U -x /etc/tcp.qmtp.cdb 0 209 qmail-qmtpd

Behaviour:
Talks QMTP on descriptors 0 and 1 and hands each message to qmail-queue. Each
recipient gets an answer of its own: K (accepted), Z (try again later) or D
(failed for good) and words; a packet without recipients gets none. Recipients
are judged as by qmail-smtpd: without control/rcpthosts no recipient with a host
is taken, unless RELAYCLIENT is set; where qmail-rcptd runs, unknown ones are D,
and after 20 of them on a connection all others Z. A packet has an hour, and at most 100,000
recipients, of 16 MiB together (each counted with 64 bytes more).

For QMTPS, run it under tlswrap: tcpserver ... 6209 tlswrap qmail-qmtpd. The Received
line says so then.

Environment: RELAYCLIENT lets the client send anywhere, and is appended to each
recipient; DATABYTES replaces control/databytes; TCPREMOTEIP, TCPREMOTEHOST,
TCPREMOTEINFO, TCPLOCALHOST (tcp-environ(5)); QMAILQUEUE replaces qmail-queue.
SSL_PROTOCOL, SSL_CIPHER: there is TLS, as tlswrap says.
Files: qp/rcpt; control/: rcpthosts, morercpthosts.cdb, databytes.
Runs as: qmaild.
Faces: the network.
Exit codes: 0 the client ended; 100 what it says is no QMTP; 111 a control file
    cannot be read, or something is larger than can be.
"""

from __future__ import annotations

import os

from qmail.formats import received
from qmail.formats.netstring import Broken, Ended, Input, TooLong, netstring
from qmail.formats.verdict import PERMANENT, SUCCESS, TEMPORARY, Temporary
from qmail.host import clock, fds, signals
from qmail.protocols import qmtp, recipients
from qmail.protocols.smtpsite import Unreadable
from qmail.stores import asking, home, reception, submission
from qmail.stores.control import Control, leading_digits

MOST_UNKNOWN = 20  # unknown recipients on a connection
PATIENCE = 3600  # seconds for one package


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    place = home.find(argv[0], environ)
    signals.default(signals.ALRM)
    signals.alarm(PATIENCE)
    try:
        server = _Server(place, environ)
        try:
            return server.serve()
        finally:
            server.answer()  # also where the next package is broken: what is queued must not be sent again
    except Ended:
        return SUCCESS
    except Broken:
        return PERMANENT
    except TooLong as error:
        raise Temporary(str(error).encode()) from None
    except (Temporary, Unreadable, OSError):
        return TEMPORARY


class _Server:
    """One connection."""

    def __init__(self, place: home.Home, environ: dict[bytes, bytes]) -> None:
        self._home, self._environ = place, environ
        control = Control(place.path)
        self._door = reception.recipients(control)
        self._asker = asking.Patient(place)
        self._strangers = 0  # recipients that were unknown
        limit = environ.get(b"DATABYTES")
        self._most = control.number(b"databytes", 0) if limit is None else int(leading_digits(limit) or b"0")
        self._relay, self._surroundings = environ.get(b"RELAYCLIENT"), recipients.surroundings(environ)
        tls = environ.get(b"SSL_PROTOCOL")
        secure = received.secure(tls or b"", environ.get(b"SSL_CIPHER", b"")).replace(b"ESMTPS", b"QMTPS", 1)
        self._protocol = b"QMTP" if tls is None else secure
        self._answers: list[bytes] = []
        self._source = Input(self._read)

    def serve(self) -> int:
        """Package after package. Raises Ended, Broken, TooLong."""
        while True:
            size = self._source.length()
            signals.alarm(PATIENCE)
            message = submission.begin(self._home, self._environ)
            try:
                answers = self._package(size, message)
            except BaseException:
                message.abandon()
                raise
            self._answers += [netstring(answer) for answer in answers]

    def _package(self, size: int, message: submission.Submission) -> list[bytes]:
        source = self._source
        message.write(received.line(self._protocol, received.origin(self._environ), None, int(clock.now())))
        room = self._most or size
        for piece in qmtp.lines(source, size):
            room -= len(piece)
            if room >= 0:
                message.write(piece)
        source.comma()
        sender = qmtp.address(source)
        source.begin()
        verdicts = [self._verdict(recipient, sender or b"") for recipient in qmtp.texts(source)]
        source.finish()
        taken = [verdict for verdict in verdicts if isinstance(verdict, _Taken)]
        if room < 0:
            answer = qmtp.TOO_LARGE
        elif sender is None:
            answer = qmtp.BAD_SENDER
        elif taken:
            outcome = message.finish(sender, [one.address for one in taken])
            words = submission.words(outcome)
            answer = words or qmtp.accepted(int(clock.now()), outcome.qp)
            return [answer if isinstance(verdict, _Taken) else verdict for verdict in verdicts]
        else:
            answer = b""
        message.abandon()
        return [answer if isinstance(verdict, _Taken) else verdict for verdict in verdicts]

    def _verdict(self, recipient: bytes | None, sender: bytes) -> _Taken | bytes:
        if recipient is not None and self._relay is not None:
            recipient += self._relay
        if recipient is None or len(recipient) > qmtp.LONGEST_ADDRESS:
            return qmtp.BAD_RECIPIENT
        if self._relay is None and not self._door.accepts(recipient):
            return qmtp.NOT_OURS
        if b"\0" in recipient:
            return qmtp.BAD_RECIPIENT
        if self._strangers >= MOST_UNKNOWN and self._relay is None:
            return qmtp.TOO_MANY_UNKNOWN
        verdict = self._asker.verdict(recipients.text(recipient, sender, self._surroundings))
        if verdict == recipients.UNKNOWN:
            self._strangers += 1
            return qmtp.NO_MAILBOX
        return qmtp.NO_LOOKUP if verdict == recipients.TROUBLE else _Taken(recipient)

    def _read(self) -> bytes:
        self.answer()  # before we wait, the client gets what it waits for
        return os.read(0, fds.CHUNK)

    def answer(self) -> None:
        """Say what became of the packages that are done."""
        if self._answers:
            fds.write_all(1, b"".join(self._answers))
            self._answers = []


class _Taken:
    """A recipient that we take mail for."""

    __slots__ = ("address",)

    def __init__(self, address: bytes) -> None:
        self.address = address
