"""qmail-lmtpd: take mail by LMTP and put it into the queue.

LMTP is SMTP within a house: for a server in front of this one that hands mail over,
such as Postfix or a filter, and wants to hear of each recipient by himself.

Usage: qmail-lmtpd

    envuidgid qmaild tcpserver -vHRU 127.0.0.1 24 qmail-lmtpd

It serves any stream on descriptors 0 and 1, a socket in the file system as well:

    [Socket]                                 # qmail-lmtpd.socket of systemd
    ListenStream=/var/qmail/lmtp
    Accept=yes

    [Service]                                # qmail-lmtpd@.service
    ExecStart=/var/qmail/bin/qmail-lmtpd
    User=qmaild
    StandardInput=socket

Behaviour:
Talks LMTP (RFC 2033) as qmail-smtpd talks SMTP, by the same code; see there for
control files, limits and what is refused. LHLO takes the place of HELO and EHLO.
After a message there is one reply for each recipient that was taken, in their
order. All of them say the same: that the message is in the queue for good, from
where each is delivered, or why it is not. PIPELINING, 8BITMIME and enhanced status
codes are there; BDAT, STARTTLS and AUTH are not. Where qmail-rcptd runs, unknown
recipients are refused, and there may be any number of them: who hands mail over is
no harvester. A Received line says LMTP.

LMTP is not for port 25, and not for strangers: let tcpserver listen where they
cannot come. rcpthosts counts all the same.

Environment: RELAYCLIENT, DATABYTES, TCPREMOTEIP, TCPREMOTEHOST, TCPREMOTEINFO,
TCPLOCALHOST, QMAILQUEUE as of qmail-smtpd.
Files: those of qmail-smtpd; see qmail-control(5).
Runs as: qmaild.
Faces: another mail server.
Exit codes: 0 the client said QUIT; 1 the session ended in another way.
"""

from __future__ import annotations

from qmail.programs.receive import qmail_smtpd
from qmail.stores import home

# What begins TLS or logins in qmail-smtpd has no meaning here.
LEFT_OUT = (b"SMTPS", b"SMTPAUTH")


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    environ = {name: value for name, value in environ.items() if name not in LEFT_OUT}
    return qmail_smtpd.hold(home.find(argv[0], environ), environ, local=True)
