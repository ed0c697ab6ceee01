"""qmail-qmqpd: take one message by QMQP, for anybody, and put it into the queue.

The other side is a host without a queue of its own (qmail-qmqpc). It may send
anywhere: so who may connect at all is for tcpserver's rules to say, deny by
default.

Usage: qmail-qmqpd

    echo '192.0.2.:allow
    :deny' | tcprules /etc/tcp.qmqp.cdb /etc/tcp.qmqp.tmp
    envuidgid qmaild tcpserver -U -x /etc/tcp.qmqp.cdb 0 628 qmail-qmqpd

Behaviour:
Talks QMQP on descriptors 0 and 1: message, sender and recipients in one
netstring, one answer: K (accepted), Z (try again later) or D (failed for good)
and words. A Received line names the client. It has an hour, and may name
100,000 recipients, of 16 MiB together (each counted with 64 bytes more).

Environment: TCPREMOTEIP, TCPREMOTEHOST, TCPREMOTEINFO, TCPLOCALHOST
(tcp-environ(5)); QMAILQUEUE replaces qmail-queue.
Runs as: qmaild.
Faces: the network.
Exit codes: 0 answered, or the client ended; 100 what it says is no QMQP; 111
    something is larger than can be, or the system refuses.
"""

from __future__ import annotations

import os

from qmail.formats import received
from qmail.formats.netstring import Broken, Ended, Input, TooLong, netstring
from qmail.formats.verdict import PERMANENT, SUCCESS, TEMPORARY, Temporary
from qmail.host import clock, fds, signals
from qmail.protocols import qmtp
from qmail.stores import home, submission

PATIENCE = 3600  # seconds


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    place = home.find(argv[0], environ)
    signals.default(signals.ALRM)
    signals.alarm(PATIENCE)
    source = Input(lambda: os.read(0, fds.CHUNK))
    try:
        source.begin()
        size = source.length()
        message = submission.begin(place, environ)
        try:
            answer = _answer(source, size, message, environ)
        except BaseException:
            message.abandon()
            raise
        fds.write_all(1, netstring(answer))
    except Ended:
        return SUCCESS
    except Broken:
        return PERMANENT
    except TooLong as error:
        raise Temporary(str(error).encode()) from None
    except OSError:
        return TEMPORARY
    return SUCCESS


def _answer(source: Input, size: int, message: submission.Submission, environ: dict[bytes, bytes]) -> bytes:
    message.write(received.line(b"QMQP", received.origin(environ), None, int(clock.now())))
    for piece in source.pieces(size):
        message.write(piece)
    source.comma()
    sender = qmtp.address(source)
    recipients = list(qmtp.texts(source))
    source.finish()
    good = [recipient for recipient in recipients if recipient is not None and b"\0" not in recipient]
    if sender is None or len(good) < len(recipients):
        message.abandon()
        return qmtp.BAD_ADDRESS
    outcome = message.finish(sender, good)
    return submission.words(outcome) or qmtp.accepted(int(clock.now()), outcome.qp)
