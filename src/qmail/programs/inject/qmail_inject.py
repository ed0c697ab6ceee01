"""qmail-inject: a person's message, its header put in order, handed to the queue.

Usage: qmail-inject [-nNaAhH] [-fSENDER] [RECIPIENT...]

    (echo To: steve; echo Subject: hello; echo; echo 'How are you?') | qmail-inject

    -a  send to the RECIPIENTs alone
    -h  send to the recipients in the header alone
    -H  send to both
    -A  (default) to the RECIPIENTs, or to the header's where there are none
    -n  show the message on descriptor 1, and send nothing
    -N  (default) queue it
    -fSENDER  the envelope sender, whatever else says

Recipients in the header are those of To, Cc, Bcc and Apparently-To, or, where
there is any Resent field, of Resent-To, Resent-Cc and Resent-Bcc.

Behaviour:
Addresses in the header are completed: without a host they get defaulthost, a
host without a dot gets defaultdomain, one that ends in a plus sign plusdomain.
A missing From, Date, Message-ID or Cc is added. Bcc, Return-Path and
Content-Length are removed; the first Return-Path is the envelope sender.
Everything else stays byte for byte. An unfinished last line gets its newline.
The header is kept in memory and may have 16 MiB, with 500,000 words in all its
fields with addresses; the body is not.

Environment: the first of these that is set counts.
    QMAILUSER, MAILUSER, USER, LOGNAME   the user in From and the envelope sender
    QMAILHOST, MAILHOST                  the host of both
    QMAILNAME, MAILNAME, NAME            the person in From
    QMAILSUSER, QMAILSHOST               the envelope sender alone
    QMAILDEFAULTHOST, QMAILDEFAULTDOMAIN, QMAILPLUSDOMAIN, QMAILIDHOST
                                         instead of the control files
    QMAILMFTFILE  a file of mailing lists; mail to one gets Mail-Followup-To
    QMAILNOTIFY, QMAILRET, QMAILENVID
                  what the sender wants to hear (RFC 3461): NEVER, or some of SUCCESS,FAILURE,DELAY;
                  of a failure FULL or HDRS; a name for this message, in xtext, that reports bear
    QMAILQUEUE    a program instead of qmail-queue
    QMAILINJECT   letters: c write From as `address (person)`; s, f, i throw away Return-Path,
                  From, Message-ID of the input; r a bounce address for each recipient; m for
                  each message
Files: control/: me, defaulthost, defaultdomain, plusdomain, idhost.
Runs as: the user.
Exit codes: 0 queued, or shown; 100 usage, an address that cannot be read, a
    message refused for good; 111 a failure that may pass.
"""

from __future__ import annotations

import os
import time

from qmail.formats import address, mailparameters, received
from qmail.formats.header_fields import Header, TooLarge
from qmail.formats.header_tokens import TooMany
from qmail.formats.mailparameters import Malformed, Parameters, Wish
from qmail.formats.options import Wrong, options
from qmail.formats.verdict import PERMANENT, Permanent, Temporary
from qmail.host import fds, program
from qmail.host.reasons import reason
from qmail.rules import injection
from qmail.rules.injection import Injection
from qmail.rules.rewriting import Hosts, Unparsable
from qmail.stores import completion, home, submission
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.formats.header_tokens import Token

NAME = b"qmail-inject"
MOST_LISTS = 1024 * 1024  # bytes of QMAILMFTFILE


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        return _Inject(argv, environ).run()
    except Unparsable as error:
        # The field comes with its own newlines.
        program.say(2, NAME + b": fatal: unable to parse this line:\n" + error.text)
        return PERMANENT
    except (TooLarge, TooMany) as error:
        raise Permanent(str(error).encode()) from None
    except Malformed as error:
        raise Permanent(b"QMAIL%b cannot be read" % str(error).encode()) from None
    except Wrong as error:
        raise Permanent(NAME + b": " + error.text, plain=True) from None


class _Inject:
    """One run."""

    def __init__(self, argv: list[bytes], environ: dict[bytes, bytes]) -> None:
        self.environ, self.home = environ, home.find(argv[0], environ)
        self.letters = environ.get(b"QMAILINJECT", b"")
        self._besides([])  # before anything is read
        self.now, self.pid = int(time.time()), os.getpid()
        found, arguments = options(argv[1:], b"aAhHnNf:")
        self.shown, self.whom, given = False, b"A", None
        for letter, value in found:
            if letter in b"nN":
                self.shown = letter == b"n"
            elif letter == b"f":
                given = value
            else:
                self.whom = letter
        self.hosts = self._controls()
        self.sender = None if given is None else injection.argument(self.hosts, given)
        self.arguments = [] if self.whom == b"h" else [self._recipient(one) for one in arguments]
        self.lists = self._lists()

    def run(self) -> int:
        message, rest = self._header()
        author = self._author()
        sender = self._sender(message)
        message_id = injection.message_id(self.now, b"%d" % self.pid, self.id_host)
        head = message.header(received.date(self.now), message_id, author, self.lists)
        recipients = list(self.arguments)
        if self.whom in b"hH" or (self.whom == b"A" and not recipients):
            recipients += message.recipients
        if self.shown:
            return self._show(b"Return-Path: <" + address.quote(sender).replace(b"\n", b"_") + b">\n" + head, rest)
        return self._queue(head, rest, sender, recipients)

    def _controls(self) -> Hosts:
        control = Control(self.home.path)
        try:
            self.id_host = completion.name(control, self.environ, b"idhost")
            return completion.hosts(control, self.environ)
        except Temporary:
            raise Temporary(b"read error") from None

    def _recipient(self, text: bytes) -> bytes:
        try:
            return injection.argument(self.hosts, text)
        except Unparsable:
            raise Permanent(b"unable to parse address: " + text) from None

    def _lists(self) -> frozenset[bytes]:
        path = self.environ.get(b"QMAILMFTFILE")
        if path is None:
            return frozenset()
        try:
            with open(path, "rb", buffering=0) as file:
                text = fds.read_all(file.fileno(), MOST_LISTS)
        except FileNotFoundError:
            return frozenset()
        except OSError:
            raise Temporary(b"read error") from None
        if text is None:
            raise Temporary(path + b" is larger than %d bytes" % MOST_LISTS)
        stripped = (line.rstrip(b" \t").lower() for line in text.split(b"\n"))
        return frozenset(line for line in stripped if line and not line.startswith(b"#"))

    def _header(self) -> tuple[Injection, bytes]:
        """The header, taken in, and the beginning of the body."""
        ignored = {b"f": b"from", b"i": b"message-id", b"s": b"return-path"}
        message = Injection(self.hosts, [name for letter, name in ignored.items() if letter in self.letters])
        header = Header()
        while header.body is None:
            data = _read()
            if data:
                header.feed(data)
            else:
                header.end()
            for field in header.taken():
                message.take(field)
        return message, header.body

    def _first(self, *names: bytes) -> bytes | None:
        # A newline would end the field: what is behind it would be a field of its own.
        value = next((self.environ[name] for name in names if name in self.environ), None)
        return None if value is None else value.replace(b"\n", b" ").replace(b"\r", b" ")

    def _user(self) -> bytes:
        user = self._first(b"QMAILUSER", b"MAILUSER", b"USER", b"LOGNAME")
        return b"anonymous" if user is None else user

    def _author(self) -> list[Token]:
        words = injection.mailbox(self._user(), self._first(b"QMAILHOST", b"MAILHOST"))
        person = self._first(b"QMAILNAME", b"MAILNAME", b"NAME")
        return injection.author(words, person, as_comment=b"c" in self.letters)

    def _sender(self, message: Injection) -> bytes:
        if self.sender is not None:
            return self.sender
        every = b"r" in self.letters  # recipient gets a bounce address of his own
        sender = message.sender
        if sender is None:
            user = self._first(b"QMAILSUSER")
            box = self._user() if user is None else user
            if b"m" in self.letters:
                box += b"-%d.%d" % (self.now, self.pid)
            if every:
                box += b"-"
            host = self._first(b"QMAILSHOST", b"QMAILHOST", b"MAILHOST")
            sender = injection.envelope_sender(self.hosts, injection.mailbox(box, host))
        return sender + b"-@[]" if every else sender

    def _besides(self, recipients: list[bytes]) -> Parameters | None:
        values = [self.environ.get(name, b"") for name in (b"QMAILNOTIFY", b"QMAILRET", b"QMAILENVID")]
        if not any(values):
            return None
        wish = Wish(mailparameters.notify(values[0])) if values[0] else None
        ret, envid = values[1] and mailparameters.ret(values[1]), values[2] and mailparameters.envid(values[2])
        return Parameters(ret, envid, wishes=dict.fromkeys(recipients, wish) if wish else None)

    def _show(self, head: bytes, rest: bytes) -> int:
        try:
            fds.write_all(1, head)
            for piece in _body(rest):
                fds.write_all(1, piece)
        except OSError:
            raise Temporary(b"write error") from None
        return 0

    def _queue(self, head: bytes, rest: bytes, sender: bytes, recipients: list[bytes]) -> int:
        try:
            message = submission.begin(self.home, self.environ)
        except OSError as error:
            raise Temporary(b"unable to run qmail-queue: " + reason(error)) from None
        try:
            message.write(head)
            for piece in _body(rest):
                message.write(piece)
        except Temporary:
            message.abandon()
            raise
        words = submission.words(message.finish(sender, recipients, self._besides(recipients)))
        if words:
            raise (Permanent if words.startswith(b"D") else Temporary)(words[1:])
        return 0


def _read() -> bytes:
    try:
        return os.read(0, fds.CHUNK)
    except OSError:
        raise Temporary(b"read error") from None


def _body(first: bytes) -> Iterator[bytes]:
    """The body, which ends in a newline."""
    last, piece = b"\n", first
    while True:
        if piece:
            yield piece
            last = piece[-1:]
        piece = _read()
        if not piece:
            break
    if last != b"\n":
        yield b"\n"
