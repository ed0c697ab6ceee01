"""serialsmtp: send messages from files to an SMTP server, one after the other.

The client that maildirsmtp runs: it needs a connection that somebody else has
made.

Usage: serialsmtp PREFIX HELOHOST

    maildirserial ~/pppdir joe-ppp- \\
    tcpclient -RHl0 mx.example.org 25 serialsmtp joe-ppp- me.example.org

HELOHOST is what the server is told that we are called.

Behaviour:
The names of the files come on descriptor 0, each ended by a NUL. A file begins
with the lines Return-Path and Delivered-To, as qmail-local writes them: they
are the envelope, and are not sent. PREFIX is taken off the beginning of the
recipient; a message without these lines, or for a recipient without PREFIX, is
passed over. So is, with a warning, one that cannot be opened.

The server is read on descriptor 6 and written to on 7. Where it announces
PIPELINING, the envelope is sent in one write. Of each message that the server
has decided about, descriptor 1 is told the name, a NUL, K (accepted), Z (not
now) or D (never), the last line of the answer (behind TCPREMOTEIP, if set, and
`said:`), and a line feed. A message whose last line lacks its end is D: SMTP
cannot carry it. There need not be a report for every message.

Each wait for the server ends after 600 seconds.

Environment: TCPREMOTEIP.
Runs as: the user.
Faces: the network.
Exit codes: 0; 100 usage; 111 the server was lost, or does not speak SMTP.
"""

from __future__ import annotations

from qmail.formats import address
from qmail.formats.verdict import Temporary, Usage
from qmail.host.reasons import reason
from qmail.host.timedio import Conversation
from qmail.protocols import replyreader, smtpclient
from qmail.stores import serialmail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qmail.protocols.replyreader import Reply
    from qmail.stores.serialmail import Waiting

USAGE = b"serialsmtp: usage: serialsmtp prefix helohost"
PATIENCE = 600  # seconds (RFC 5321 4.5.3.2.6)
VIOLATION = b"protocol violation"
PARTIAL = b"SMTP cannot transfer messages with partial final lines"
BROKEN_ADDRESS = b"SMTP has no words for an address with a line break, or with a blank or such in its host"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 3:
        raise Usage(USAGE)
    prefix, server = argv[1], _Server(environ)
    try:
        server.greet(argv[2])
        for name in serialmail.Names().all():
            message = serialmail.opened(b"serialsmtp", name, prefix)
            if message is not None:
                server.transact(message)
                message.close()
        server.leave()
    except TimeoutError:
        raise Temporary(b"network error: timed out") from None
    except OSError as error:
        raise Temporary(b"network error: " + reason(error)) from error
    except replyreader.Broken:
        raise Temporary(VIOLATION) from None
    return 0


class _Server:
    """The connection, and one transaction after the other. Methods raise Temporary, OSError and Broken."""

    def __init__(self, environ: Mapping[bytes, bytes]) -> None:
        self._environ = environ
        self._talk = Conversation(6, 7, PATIENCE)
        self._replies = replyreader.Reader()
        self._pipelining = self._used = False

    def greet(self, own_name: bytes) -> None:
        """Up to the server's answer to our name."""
        if self._reply().code != 220:
            self.leave()
            raise Temporary(b"connected but greeting failed")
        hello = self._ask(b"EHLO " + own_name)
        self._pipelining = hello.code == 250 and b"PIPELINING" in smtpclient.extensions(hello.text)
        if hello.code != 250 and self._ask(b"HELO " + own_name).code != 250:
            self.leave()
            raise Temporary(b"connected but my name was rejected")

    def leave(self) -> None:
        """Say goodbye; waiting for an answer would be ridiculous."""
        self._talk.say(smtpclient.QUIT)
        self._talk.flush()

    def transact(self, message: Waiting) -> None:
        """Send one message, and report what the server says of it."""
        if message.ends_in_the_middle_of_a_line:
            serialmail.report(message.name, b"D", PARTIAL, self._environ, theirs=False)
        elif None in (address.mailbox(message.sender), address.mailbox(message.recipient)):
            serialmail.report(message.name, b"D", BROKEN_ADDRESS, self._environ, theirs=False)
        elif self._envelope(message):
            for block in _wire(message.pieces()):
                self._talk.say(block)
            self._told(message, self._reply())

    def _envelope(self, message: Waiting) -> bool:
        """MAIL, RCPT and DATA. False: one was refused, and that is reported."""
        commands = [
            b"MAIL FROM:<" + address.quote(message.sender) + b">",
            b"RCPT TO:<" + address.quote(message.recipient) + b">",
            b"DATA",
        ]
        if self._used:
            commands.insert(0, b"RSET")
        self._used, refused = True, False
        if self._pipelining:
            self._talk.say(b"".join([command + b"\r\n" for command in commands]))
        for command in commands:
            if refused and not self._pipelining:
                break
            reply = self._reply() if self._pipelining else self._ask(command)
            if reply.code < 400:
                if refused:
                    self._withdraw(command)
                continue
            if command == b"RSET":
                raise Temporary(VIOLATION)
            if not refused:
                self._told(message, reply)
            refused = True
        return not refused

    def _withdraw(self, command: bytes) -> None:
        """The server has taken a command although it refused the one before."""
        if command != b"DATA":
            raise Temporary(VIOLATION)
        self._talk.say(smtpclient.DOT)  # RFC 2920 3.1: then it waits for a message
        self._reply()

    def _told(self, message: Waiting, reply: Reply) -> None:
        letter = b"D" if reply.code >= 500 else b"Z" if reply.code >= 400 else b"K"
        words = reply.text.rstrip(b"\n").rpartition(b"\n")[2]
        serialmail.report(message.name, letter, words, self._environ)

    def _ask(self, command: bytes) -> Reply:
        self._talk.say(command + b"\r\n")
        return self._reply()

    def _reply(self) -> Reply:
        self._talk.flush()
        while (reply := self._replies.next()) is None:
            data = self._talk.hear()
            if not data:
                raise Temporary(b"network read error: end of file")
            self._replies.feed(data)
        return reply


def _wire(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A message for the wire, with its end."""
    held, fresh = b"", True
    for piece in pieces:
        block = held + piece
        held = b"\r" if block.endswith(b"\r") else b""  # a CR goes with what follows it
        block = block[: len(block) - len(held)]
        if block:
            yield smtpclient.stuffed(block, fresh)
            fresh = block.endswith(b"\n")
    yield smtpclient.DOT
