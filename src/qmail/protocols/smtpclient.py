"""The client's side of SMTP (RFC 5321), from the greeting to the reply after the message, without I/O.

A `Conversation` says what to write (`take`), and is told what came (`heard`), until a transaction is
over and its report stands in `report`: qmail-remote(8)'s records, each ended by NUL,

    r   recipient accepted      h   refused for good      s   refused for now     (in order, with the reply)
    K   message accepted        D   failed for good       Z   failed for now      (one)
    P   the server has taken the DSN parameters, and tells of the recipient by itself (behind K, where there are any)

Where the server announces PIPELINING (RFC 2920), MAIL, RCPT and DATA go out in one write. Where it offers
STARTTLS (RFC 3207) and that is wanted, the stage HANDSHAKE comes: whoever drives the conversation puts TLS in front
of the connection and says `secured`, or `insecure`. Where mail must have TLS and the server has none, `unoffered` is
set, and whoever drives the conversation knows what to report.
"""

from __future__ import annotations

from qmail.formats import domainname, mailparameters
from qmail.formats.remotereport import PASSED_ON
from qmail.protocols import smtpentry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmail.formats.mailparameters import Single
    from qmail.protocols.replyreader import Reply
    from qmail.protocols.smtpentry import Entry

# Stages: what is being waited for.
GREETING, HELLO, STARTTLS, HANDSHAKE, LOGIN, ENVELOPE, MESSAGE, VERDICT, OVER = range(9)

# No such command, or none in this form: a server from before EHLO.
UNKNOWN = (500, 501, 502, 504)
# A session may go on only so long: closing down, too many recipients or messages.
WORN_OUT = (421, 452)
NO_UTF8 = b" but it takes no addresses beyond ASCII (SMTPUTF8), and this message has one. (#5.6.7)\n"
QUIT = b"QUIT\r\n"
DOT = b".\r\n"


class Conversation:
    """One connection, with one transaction after the other.

    `partner`: how reports name the server; `hello`: our own name; `extended`: say EHLO. `tls`: take it where it is
    offered; `must`: send nothing without it. `local`: it is LMTP (RFC 2033), and for one recipient. `entry`: log in
    first, which is never done without TLS.
    """

    def __init__(
        self,
        partner: bytes,
        hello: bytes,
        *,
        extended: bool,
        tls: bool = False,
        must: bool = False,
        local: bool = False,
        entry: Entry | None = None,
    ) -> None:
        self.partner, self._hello, self._extended = partner, hello, extended
        self._tls, self._must, self._local, self._entry = tls, must or entry is not None, local, entry
        self._modern = extended and not local  # what is not ASCII is said as RFC 6531 has it, and not otherwise
        self.is_secured = False
        self.stage = GREETING
        self.report = b""
        self.extensions: frozenset[bytes] = frozenset()
        self.reusable = False  # may another transaction follow?
        self.again = False  # should this transaction be tried anew, on a fresh connection?
        self.polite = False  # is QUIT in order?
        self.begun = False  # was a sender named?
        self.unoffered: Reply | None = None  # what it said instead of the TLS that there must be
        self._output = b""
        self._sender, self._parameters = b"", b""
        self._behind = b">\r\n"  # what follows a recipient
        self.unsupported = False  # it does not say that it keeps REQUIRETLS, which the message must have
        self._recipients: Sequence[bytes] = ()
        self._asked: Single | None = None
        self._answered = self._accepted = 0
        self._records = b""
        self._critical = self._worn = self._asking = False

    def begin(
        self,
        sender: bytes,
        recipients: Sequence[bytes],
        international: Callable[[], bool] = lambda: False,
        *,
        asking: bool = False,
        asked: Single | None = None,
    ) -> None:
        """The transaction to make next; addresses as they stand between the brackets.

        `international`: is the header in UTF-8, and not in ASCII? Asked where that counts. `asking`: there is no
        message, and what is said of the recipients is the end of it. `asked`: parameters of the one recipient.
        """
        self._sender, self._recipients, self._asking, self._asked = sender, recipients, asking, asked
        self._behind = b">\r\n"
        self._international = international
        self._answered, self._accepted, self._records = 0, 0, b""
        if self.reusable:
            self.reusable = self.polite = False
            self._worn, self.report = True, b""
            self._envelope()

    def take(self) -> bytes:
        """What is to be written now."""
        output, self._output = self._output, b""
        return output

    def heard(self, reply: Reply) -> None:
        """The next reply has come."""
        if self.stage == ENVELOPE:
            self._heard_of_envelope(reply)
        elif self.stage == VERDICT:
            self._heard_verdict(reply)
        elif self.stage == GREETING:
            if reply.code != 220:
                self._fail(b"ZConnected to ", b" but greeting failed", reply)
            else:
                self.stage = HELLO
                self._output = self._verb() + self._hello + b"\r\n"
        elif self.stage == HELLO:
            self._heard_hello(reply)
        elif self.stage == LOGIN and self._entry is not None:
            self._heard_of_login(self._entry, self._entry.heard(reply), reply)
        elif self.stage == STARTTLS:
            if reply.code == 220:
                self.stage = HANDSHAKE
            else:
                self._without_tls(reply)

    def secured(self) -> None:
        """TLS stands in front of the connection; what the server said before it counts no more."""
        self.is_secured, self.extensions = True, frozenset()
        self.stage = HELLO
        self._output = self._verb() + self._hello + b"\r\n"

    def insecure(self) -> None:
        """TLS could not be had as it must be. This connection is of no use; another one may go without."""
        self._end(b"")

    def sending_last(self) -> None:
        """The last bytes of the message, with the final dot, are about to be written: the server may take it now."""
        self._critical = True
        self.stage = VERDICT

    def dropped(self) -> None:
        """The connection is lost, or the server talks nonsense."""
        duplicate = b"Possible duplicate! " if self._critical else b""
        self.again = self._worn and not self._critical
        self._end(b"ZConnected to " + self.partner + b" but connection died. " + duplicate + b"(#4.4.2)\n")

    def abandoned(self, text: bytes) -> None:
        """The message cannot be sent to its end; `text` is the final record. The server must not get a dot now."""
        self._end(text)

    def _verb(self) -> bytes:
        return b"LHLO " if self._local else b"EHLO " if self._extended else b"HELO "

    def _heard_hello(self, reply: Reply) -> None:
        if self._extended and not self._local and reply.code in UNKNOWN:
            self._extended = False
            self._output = b"HELO " + self._hello + b"\r\n"
        elif reply.code != 250:
            self._fail(b"ZConnected to ", b" but my name was rejected", reply)
        else:
            if self._extended:
                self.extensions = extensions(reply.text)
            if self.is_secured and self._entry is not None:
                self._heard_of_login(self._entry, self._entry.begin(reply.text), None)
            elif self.is_secured or not (self._tls or self._must):
                self._envelope()
            elif b"STARTTLS" in self.extensions:
                self.stage, self._output = STARTTLS, b"STARTTLS\r\n"
            else:
                self._without_tls(reply)

    def _heard_of_login(self, entry: Entry, state: int, reply: Reply | None) -> None:
        if state == smtpentry.IN:
            self._envelope()
        elif state == smtpentry.NOT_YET:
            self.stage, self._output = LOGIN, entry.output
        else:
            self.polite = True
            about = b"ZConnected to " + self.partner + entry.complaint + b". (#4.7.8)\n"
            self._end(about + (said(reply) if reply else b""))

    def _without_tls(self, reply: Reply) -> None:
        if not self._must:
            self._envelope()
            return
        self.unoffered, self.polite = reply, True
        self._end(b"")

    def _envelope(self) -> None:
        asked = self._asked
        if asked is not None and asked.requiretls and not (self.is_secured and b"REQUIRETLS" in self.extensions):
            self.unsupported = self.polite = True
            self._end(b"")
            return
        if self._modern and not self._agree_on_language():
            self._end(b"DConnected to " + self.partner + NO_UTF8)
            self.reusable = self.polite = True
            return
        if asked is not None:
            self._parameters += asked.of_mail(self.extensions)
            self._behind = b">" + asked.of_rcpt(self.extensions) + b"\r\n"
        self.stage, self.begun = ENVELOPE, True
        self._output = b"MAIL FROM:<" + self._sender + b">" + self._parameters + b"\r\n"
        if b"PIPELINING" in self.extensions:
            self._output += b"".join([b"RCPT TO:<" + each + self._behind for each in self._recipients])
            self._output += b"" if self._asking else b"DATA\r\n"

    def _agree_on_language(self) -> bool:
        """Can the envelope be said to this server?"""
        addresses = [self._sender, *self._recipients]
        self._parameters = b""
        simple = all(map(bytes.isascii, addresses))
        if b"SMTPUTF8" in self.extensions:
            if not simple or self._international():
                self._parameters = b" BODY=8BITMIME SMTPUTF8"  # who has this one has the other (RFC 6531 3.1)
            return True
        if simple:
            return True
        # Where the host alone is beyond ASCII, it has a name in ASCII. A header goes as it is: servers have let
        # eight bits in headers pass for decades, and nobody can change them without breaking a signature.
        self._sender, *self._recipients = map(domainname.downgraded, addresses)
        return all(map(bytes.isascii, [self._sender, *self._recipients]))

    def _heard_of_envelope(self, reply: Reply) -> None:
        """One reply each to MAIL, every RCPT, and DATA."""
        step, code = self._answered, reply.code
        self._answered += 1
        if step == 0:
            if code >= 400:
                self._fail(_letter(code) + b"Connected to ", b" but sender was rejected", reply, renew=True)
        elif step <= len(self._recipients):
            if code < 400:
                self._accepted += 1
                self._records += b"r\0"
            elif self._worn and code in WORN_OUT:
                self._fail(b"Z", b" does not like recipient", reply, renew=True)
            else:
                letter = b"h" if code >= 500 else b"s"
                self._records += letter + self.partner + b" does not like recipient.\n" + said(reply) + b"\0"
            if step == len(self._recipients) and not self._accepted and self.stage == ENVELOPE:
                self._fail(b"DGiving up on ", b"", None)
            elif step == len(self._recipients) and self._asking:
                self.polite = True
                self._end(b"K" + self.partner + b" would accept a message.\n" + said(reply))
        elif code >= 400:
            self._fail(_letter(code), b" failed on DATA command", reply, renew=True)
        else:
            self.stage = MESSAGE
        if self.stage == ENVELOPE and b"PIPELINING" not in self.extensions:
            more = self._answered <= len(self._recipients)
            self._output = b"RCPT TO:<" + self._recipients[step] + self._behind if more else b"DATA\r\n"

    def _heard_verdict(self, reply: Reply) -> None:
        self._critical = False
        if reply.code >= 400:
            self._fail(_letter(reply.code), b" failed after I sent the message", reply)
        else:
            self._end(b"K" + self.partner + b" accepted message.\n" + said(reply))
            if self._asked is not None and mailparameters.DSN in self.extensions:
                self.report += PASSED_ON
            self.reusable = self.polite = True

    def _fail(self, before: bytes, after: bytes, reply: Reply | None, *, renew: bool = False) -> None:
        """End with a record that names the server between two texts. The rest of pipelined replies is not awaited."""
        self.again = renew and self._worn
        self.polite = True
        self._end(before + self.partner + after + b".\n" + (said(reply) if reply else b""))

    def _end(self, record: bytes) -> None:
        self.stage = OVER
        self.report = self._records + record + b"\0"


def extensions(text: bytes) -> frozenset[bytes]:
    """The keywords of a reply to EHLO, in upper case, without parameters (RFC 5321 4.1.1.1)."""
    words = (line[4:].split(maxsplit=1) for line in text.split(b"\n")[1:])
    return frozenset(word[0].upper() for word in words if word)


def stuffed(block: bytes, fresh: bool) -> bytes:
    """Lines for the wire: CR LF at each end, a dot doubled at each beginning (RFC 5321 4.5.2).

    `fresh`: the block begins a line. A CR that no LF follows ends a line too, so that no server can find
    a beginning that we did not look at; so the block must not end in a CR unless the message does.
    """
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\n." in block:
        block = block.replace(b"\n.", b"\n..")
    if fresh and block.startswith(b"."):
        block = b"." + block
    return block.replace(b"\n", b"\r\n")


def _letter(code: int) -> bytes:
    return b"D" if code >= 500 else b"Z"


def said(reply: Reply) -> bytes:
    """A line of a record, with the server's own words."""
    return b"Remote host said: " + reply.text if reply.text else b""
