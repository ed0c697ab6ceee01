"""An SMTP connection with its conversation: messages from files to another host, one after the other."""

from __future__ import annotations

import os
import time

from qmail.protocols import replyreader, smtpclient
from qmail.protocols.smtpentry import Entry
from qmail.rules import tlsneeds
from qmail.rules.tlsneeds import Needs, Unmet
from qmail.stores import clienttls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qmail.formats.mailparameters import Single
    from qmail.host.connect import Connection
    from qmail.host.tlsclient import Secured

CHUNK = 65536
NONCE = 18  # bytes of chance
HEADER = 262144  # bytes of a header that are looked at for what is beyond ASCII
PARTIAL_LINE = b"DSMTP cannot transfer messages with partial final lines. (#5.6.2)\n"
UNREADABLE = b"ZUnable to read message. (#4.3.0)\n"


class Session:
    """What follows a connection: transactions, then `close`.

    `seconds`: within which each reply must be whole. `needs`: what TLS there must be; `name`: the server's; `trusted`:
    a file of certificates that sign others, beside those of the system. `local`: it is LMTP, and a last line without
    an end gets one. `credentials`: user and password to log in with.
    """

    def __init__(
        self,
        connection: Connection,
        partner: bytes,
        hello: bytes,
        seconds: int,
        *,
        extended: bool,
        needs: Needs | None = None,
        name: bytes = b"",
        trusted: bytes = b"",
        local: bool = False,
        credentials: tuple[bytes, bytes] | None = None,
    ) -> None:
        self._connection: Connection | Secured = connection
        self._plain, self._seconds = connection, max(seconds, 1)
        self.needs = needs = needs or Needs(tlsneeds.NONE)
        self.unmet: Unmet | None = None  # why the last transaction could not have the TLS that it needs
        self.instead: Needs | None = None  # to be tried now, on a fresh connection to the same server
        self._name, self._trusted = name, trusted
        self._conversation = smtpclient.Conversation(
            partner,
            hello,
            extended=extended,
            tls=needs.level > tlsneeds.NONE,
            must=needs.level >= tlsneeds.ENCRYPT,
            local=local,
            entry=None if credentials is None else Entry(*credentials, os.urandom(NONCE).hex().encode()),
        )
        self._replies = replyreader.Reader()
        self._local = local

    def fileno(self) -> int:
        """The connection's descriptor, for polling."""
        return self._connection.fileno()

    def tell_when_slow(self, slow: Callable[[], None]) -> None:
        """Call `slow` once, when the server lets us wait."""
        self._connection.tell_when_slow(slow)

    @property
    def report(self) -> bytes:
        """The records of the last transaction."""
        if self.unmet is None:
            return self._conversation.report
        said = smtpclient.said(reply) if (reply := self._conversation.unoffered) else b""
        about = b"Connected to " + self._conversation.partner
        return tlsneeds.report(about, self.unmet, final=self.needs.final, said=said) + b"\0"

    @property
    def reusable(self) -> bool:
        """May another transaction follow?"""
        return self._conversation.reusable

    @property
    def again(self) -> bool:
        """Must the last transaction be tried anew, on a fresh connection, since this one was worn out?"""
        return self._conversation.again

    @property
    def secured(self) -> bool:
        """Is everything said in TLS?"""
        return self._conversation.is_secured

    @property
    def clear(self) -> bool:
        """Has mail gone by it, or was it about to, without TLS?"""
        return self._conversation.begun and not self.secured

    def addresses(self) -> tuple[bytes, bytes]:
        """The server's address, and our own, as text; our own is empty where the connection is lost."""
        return self._conversation.partner, self._plain.ours()

    def satisfies(self, needs: Needs) -> bool:
        """May mail to a domain with these needs go by this session?"""
        if needs.final and not self.needs.final:
            return False  # nobody has asked who vouches for this exchanger
        return needs.met_by(self.needs, secured=self.secured, exchanger=self._name)

    def transact(
        self,
        sender: bytes,
        recipients: Sequence[bytes],
        message: int,
        size: int | None,
        asked: Single | None = None,
    ) -> None:
        """Carry one transaction to its end. The message is a file of `size` bytes, or (None) whatever can be read.

        `asked`: parameters, where there is one recipient.
        """
        self._conversation.begin(
            sender, recipients, lambda: size is not None and _is_international(message, size), asked=asked
        )
        self._carry(message, size)

    def ask(self, recipient: bytes) -> None:
        """Find out what the server says to a recipient of a message from nobody, which it never gets."""
        self._conversation.begin(b"", (recipient,), asking=True)
        self._carry(-1, 0)

    def _carry(self, message: int, size: int | None) -> None:
        talk = self._conversation
        try:
            while talk.stage != smtpclient.OVER:
                if output := talk.take():
                    self._connection.send(output)
                talk.heard(self._reply())
                if talk.stage == smtpclient.MESSAGE:
                    self._send(message, size)
                elif talk.stage == smtpclient.HANDSHAKE:
                    self._secure()
        except (OSError, replyreader.Broken):
            if talk.stage != smtpclient.OVER:
                talk.dropped()
        if talk.unoffered is not None:
            self.unmet = Unmet(tlsneeds.NO_STARTTLS)
        elif talk.unsupported:
            self.unmet = Unmet(tlsneeds.NO_REQUIRETLS)

    def close(self) -> None:
        """Say goodbye where that is in order, and close; waiting for an answer would be ridiculous."""
        try:
            if self._conversation.polite:
                self._connection.send(smtpclient.QUIT)
        except OSError:
            pass
        self._connection.close()

    def _secure(self) -> None:
        """Put TLS in front of the connection."""
        if not self._replies.idle:
            # Said before the keys were agreed on, and to be taken for what was said behind them: by nobody knows whom.
            raise replyreader.Broken("words behind the answer to STARTTLS")
        found = clienttls.secured(self._plain, self.needs, self._name, self._trusted, self._seconds)
        if isinstance(found, Needs):
            self.instead = found
        elif isinstance(found, Unmet):
            self.unmet, self.instead = found, _weaker(self.needs)
        else:
            self._connection = found
            self._conversation.secured()
            return
        self._conversation.insecure()

    def _reply(self) -> replyreader.Reply:
        reply = self._replies.next()
        until = 0.0
        while reply is None:
            self._replies.feed(self._connection.receive())
            reply = self._replies.next()
            if reply is None:
                now = time.monotonic()
                until = until or now + self._seconds
                if now > until:
                    raise TimeoutError
        return reply

    def _send(self, message: int, size: int | None) -> None:
        """Send the message block by block; the last one together with the dot."""
        talk, block, fresh = self._conversation, b"", True
        try:
            for chunk in _chunks(message, size):
                if len(block) + len(chunk) > CHUNK:
                    # A CR goes with what follows it.
                    keep = 1 if block.endswith(b"\r") else 0
                    ready, block = block[: len(block) - keep], block[len(block) - keep :]
                    self._connection.send(smtpclient.stuffed(ready, fresh))
                    fresh = ready.endswith(b"\n")
                block = block + chunk if block else chunk
        except _Unreadable:
            talk.abandoned(UNREADABLE)
            return
        if self._local and block and not block.endswith((b"\n", b"\r")):
            block += b"\n"
        if block and not block.endswith((b"\n", b"\r")):
            talk.abandoned(PARTIAL_LINE)
            return
        talk.sending_last()
        self._connection.send(smtpclient.stuffed(block, fresh) + smtpclient.DOT)


def _weaker(needs: Needs) -> Needs | None:
    """What to try on another connection where these were not met; None: nothing."""
    if needs.trial and needs.level < tlsneeds.VERIFY:
        return needs.trying(False)
    return needs.without_tls() if needs.level == tlsneeds.MAY else None


class _Unreadable(Exception):
    """The message cannot be read."""


def _chunks(message: int, size: int | None) -> Iterator[bytes]:
    at = 0
    try:
        while size is None or at < size:
            chunk = os.read(message, CHUNK) if size is None else os.pread(message, CHUNK, at)
            if not chunk:
                break
            yield chunk
            at += len(chunk)
    except OSError as error:
        raise _Unreadable from error
    if size is not None and at < size:
        raise _Unreadable  # a message never becomes shorter by itself


def header(message: int, size: int) -> bytes:
    """That of a file of `size` bytes, or much of it."""
    try:
        head = os.pread(message, min(size, HEADER), 0)
    except OSError:
        return b""  # it is said when it is sent
    end = 0 if head.startswith(b"\n") else head.find(b"\n\n")
    return head[: end if end >= 0 else head.rfind(b"\n") + 1]


def _is_international(message: int, size: int) -> bool:
    """Is the header in UTF-8, and not in ASCII? Where it is of other bytes, it is of nothing that has a name."""
    head = header(message, size)
    if head.isascii():
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
