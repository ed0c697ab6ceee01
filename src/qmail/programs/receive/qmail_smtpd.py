"""qmail-smtpd: take mail by SMTP and put it into the queue.

It knows nothing of networks: tcpserver accepts the connection, decides who may
connect, and says who is calling.

Usage: qmail-smtpd

    envuidgid qmaild tcpserver -vHRU -x /etc/tcp.smtp.cdb 0 smtp qmail-smtpd

To see what it says, run it in a terminal, and type HELO me, then QUIT.

Behaviour:
Talks SMTP (RFC 5321) with PIPELINING, 8BITMIME, and SIZE where databytes sets a
limit, on descriptors 0 and 1. Each message goes to qmail-queue; it is
acknowledged when it is in the queue for good. A recipient is taken where
rcpthosts or morercpthosts.cdb names the host, or it has none; without rcpthosts
no recipient with a host is taken. Where qmail-rcptd runs, it is asked about each
of them: an unknown one is 550, and 451 where that cannot be found out now; who
does not answer within 2 seconds is not asked for the next 10. After 20 unknown
recipients in a session, more are 452 where the message has others, else 421 ends
it; with RELAYCLIENT there is no such limit. A sender in badmailfrom is refused
at RCPT. A line that ends in a bare LF is a command like any other, but in a
message it is 451 and the end. A message that has been through 100 hosts is looping, and
refused. A command may have 32 KiB, all recipients together 2 MiB, and each wait
for the client ends after timeoutsmtpd seconds. A Received line names the
client.

control/smtpextensions names further extensions that are announced, one a line.
CHUNKING (RFC 3030): BDAT, for a message in chunks. What holds behind DATA holds
in them: a LF without its CR is 451, here for that message only, a CR alone
stays, and a last line without an end gets one. A size that is none, or 2^63 or
more, is 501 and the end, since what follows could be taken for commands; so is,
with 502, an unknown command behind a chunk, whose client has counted wrong.
Between chunks there are RSET, EHLO, HELO, QUIT, NOOP, VRFY and HELP; the rest is 503.
ENHANCEDSTATUSCODES (RFC 2034): after EHLO every reply has such a code in front.
SMTPUTF8 (RFC 6531): addresses beyond ASCII, in UTF-8, in a transaction that says
so behind MAIL; in others they are 553 5.6.7. Received says UTF8SMTP then. Hosts
are compared by IDNA2008, whether U-labels or A-labels are written, in rcpthosts,
badmailfrom and senders too; local parts stay byte for byte what the sender has
written, composed or not, and only ASCII letters of them have a capital.
DSN (RFC 3461): RET and ENVID of MAIL, NOTIFY and ORCPT of RCPT go with the
message into the queue; qmail-send and qmail-remote do what they say.
REQUIRETLS (RFC 8689), announced and taken under TLS only: so does this, that the
message must not go on without TLS. Neither is there where QMAILQUEUE, or another
program in the place of qmail-queue, may lose it.
LIMITS (RFC 9422): 1000 recipients always have room; there is no limit of
messages in a session.

Where qmail-tlsd runs, STARTTLS (RFC 3207) is announced: qmail-tlsd speaks TLS on
the connection, and what it makes of it takes its place. A Received line says
ESMTPS then, with protocol and cipher. Anything behind STARTTLS in one segment is
503 and the end.

With SMTPAUTH in the environment, clients may log in (AUTH, RFC 4954) by
SCRAM-SHA-256, PLAIN or LOGIN, under TLS only; qmail-authd says whether they are
who they say; where control/logins is `checker`, qmail-checkpwd says it, and there
is no SCRAM. Who has logged in may send anywhere, with a sender that is his
(control/senders). Three failed logins end a session.

A message from a user who has logged in gets Date, Message-ID and From where they
are missing, as qmail-inject would write them (RFC 6409 8), in front of its header;
nothing else in it changes, Bcc included, and nothing in a message of others. Until
none is missing, 256 KiB of a header are kept; a longer one is 552 5.3.4. Where
there is a control/userlimits, qmail-authd is asked at DATA, and more than a user
may send in an hour is `450 4.7.1`.

With XCLIENT in the environment, as the rules of tcpserver may set it for a proxy,
the client may say whom it speaks for (XCLIENT, as Postfix has it): NAME, ADDR,
PORT, HELO, DESTADDR, DESTPORT, PROTO, and LOGIN where clients may log in; they
take the place of the TCP... variables, for this program and for a QMAILQUEUE. The
greeting is said again, and nothing counts that was said before. The rules are not
asked again: RELAYCLIENT, which they gave the proxy, is gone, and everything else
stays. It can be said once in a session, so that whoever the proxy lets through
cannot say it too. With the PROXY protocol (tcpserver -y) the rules see the client.

Where tcpserver is told to run qmail-smtpd without arguments, sessions are held
by a few processes of that name which are there already. Nothing of the above
changes, but that control files are read when they have changed; with
QMAILQUEUE, a variable that qmail-smtpd does not know in tcpserver's rules, or
another program in the place of qmail-smtpd or qmail-queue, each connection gets
a program as ever.

Environment: RELAYCLIENT lets the client send anywhere, and is appended to each
recipient; DATABYTES replaces control/databytes; TCPREMOTEIP, TCPREMOTEHOST,
TCPREMOTEINFO, TCPLOCALHOST (tcp-environ(5)); QMAILQUEUE replaces qmail-queue.
SMTPS, whatever its value: TLS comes before the greeting, as on port 465.
XCLIENT, whatever its value: the client may say whom it speaks for.
SMTPAUTH: clients may log in; with a `!` in it they must, before MAIL.
SSL_PROTOCOL, SSL_CIPHER: TLS is there already, as tlswrap says. SMTPDCLIENTS=1
in tcpserver's environment keeps clients in processes of their own.
Files: control/: me, smtpgreeting, rcpthosts, morercpthosts.cdb, badmailfrom,
databytes, localiphost, senders, smtpextensions, timeoutsmtpd; for those who log
in control/: defaultdomain, defaulthost, plusdomain, idhost, logins, userlimits. One
that cannot be read ends the session with 421. QMAIL_HOME: qp/rcpt, qp/login, qt/socket.
Runs as: qmaild.
Faces: the network.
Exit codes: 0 the client said QUIT; 1 the session ended in another way.
"""

from __future__ import annotations

import os
import select

from qmail.formats import received
from qmail.formats.verdict import Temporary
from qmail.host import clock, fds, program, sockets
from qmail.protocols import smtpevents, smtpextensions, smtpserver
from qmail.protocols import smtpreply as reply
from qmail.stores import asking, home, logindoor, reception, submission, tlsdoor
from qmail.stores.control import Control

BLOCK = 65536  # bytes read at once
PIECE = 4096  # bytes written at once, so that a write after poll does not wait
LONGEST = 86_400.0  # seconds for a message to come, as qmail-queue has it
PATIENCE = 64  # turns after which replies are written though the client has sent more


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    return hold(home.find(argv[0], environ), environ)


def hold(place: home.Home, environ: dict[bytes, bytes], *, local: bool = False) -> int:
    """Hold a session on descriptors 0 and 1, and return its exit code. `local`: of LMTP, without TLS and logins."""
    try:
        site = reception.site(Control(place.path))
    except Temporary:
        program.say(1, reply.UNREADABLE)
        return 1
    if local:
        site.extensions = smtpextensions.local(site.extensions)
    tls = not local and tlsdoor.is_there(place) and sockets.is_tcp(0)
    carried = submission.foreign(place, environ) is None
    client = reception.client(environ, tls=tls, local=local, carried=carried)
    session = smtpserver.Session(site, client, b"%d" % os.getpid())
    return _Talk(session, site.timeout, place).held()


class _Talk:
    """One session over descriptors 0 and 1."""

    def __init__(self, session: smtpserver.Session, timeout: int, place: home.Home) -> None:
        self._session, self._timeout, self._home = session, timeout, place
        self._asker = asking.Patient(place)
        self._login = logindoor.Patient(place)
        self._message: submission.Submission | None = None
        self._latest: float | None = None  # when the message that is coming must have come
        self._deadline = 0.0  # for what the client is to send next
        self._extend()

    def held(self) -> int:
        """Hold it to its end; the exit code."""
        try:
            self._write(self._session.greeting)
            return self._turns()
        except OSError:
            return 1  # the client is gone
        finally:
            self._abandon()

    def _turns(self) -> int:
        session, turns = self._session, 0
        while True:
            event = session.turn()
            turns += 1
            if event != smtpevents.WAIT:
                self._extend()  # a part of a command gains no time
            if event == smtpevents.WAIT:
                self._write(session.replies())
                self._read()
            elif event == smtpevents.OVER:
                self._write(session.replies())
                return session.code
            elif event == smtpevents.ASK:
                session.answered(self._asker.verdict(session.envelope.question))
            elif event == smtpevents.TLS:
                self._secure()
            elif event == smtpevents.LOGIN:
                self._log_in()
            elif event != smtpevents.TURN:
                self._message_event(event)
            elif turns % PATIENCE == 0:
                self._write(session.replies())

    def _message_event(self, event: int) -> None:
        session = self._session
        if event == smtpevents.BEGIN:
            self._begin()
        elif event == smtpevents.ABANDON:
            self._abandon()
        elif self._message is not None:
            self._message.write(session.content)
            if event == smtpevents.COMMIT:
                self._finish(self._message)

    def _begin(self) -> None:
        try:
            self._message = submission.begin(self._home, self._session.peer.client.environ)
        except OSError:
            self._session.refuse(reply.NO_QUEUE)
            return
        self._latest = clock.monotonic() + LONGEST
        self._session.begin(int(clock.now()))
        self._message.write(self._session.content)

    def _finish(self, message: submission.Submission) -> None:
        envelope = self._session.envelope
        outcome = message.finish(envelope.sender, envelope.recipients, envelope.besides)
        self._message = self._latest = None
        self._extend()
        if outcome.code == 0:
            self._session.accepted(outcome.qp, int(clock.now()))
        else:
            self._session.refuse(reply.reply_to(submission.words(outcome)))

    def _secure(self) -> None:
        # The client goes to qmail-tlsd, and what comes from there takes its place. Raises OSError.
        try:
            door = tlsdoor.knock(self._home)
        except OSError:
            self._session.insecure()
            return
        self._session.securing()
        self._write(self._session.replies())
        facts = tlsdoor.secure(door, 0)
        if facts is None:
            raise ConnectionAbortedError
        fds.copy(door, 0)
        fds.move(door, 1)
        self._session.secured(received.secure(facts.protocol, facts.cipher))
        self._extend()

    def _log_in(self) -> None:
        # What the client says goes to qmail-authd; without a packet the talk with it is over.
        answer = self._login.answer(self._session.login.packet)
        if answer:
            self._session.told(answer)

    def _abandon(self) -> None:
        if self._message is not None:
            self._message.abandon()
            self._message = self._latest = None

    def _extend(self) -> None:
        self._deadline = clock.monotonic() + self._timeout
        if self._latest is not None:
            self._deadline = min(self._deadline, self._latest)

    def _read(self) -> None:
        if _ready(0, select.POLLIN, self._deadline - clock.monotonic()):
            self._session.receive(os.read(0, BLOCK))
        else:
            self._session.timed_out()

    def _write(self, text: bytes) -> None:
        while text:
            if not _ready(1, select.POLLOUT, self._timeout):
                raise TimeoutError
            text = text[os.write(1, text[:PIECE]) :]


def _ready(descriptor: int, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(max(0, seconds) * 1000))
