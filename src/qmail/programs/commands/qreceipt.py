"""qreceipt: answer somebody who asked to be told of delivery.

A program for lines of .qmail files.

Usage: qreceipt ADDRESS

    ./Maildir/
    |qreceipt joe@example.org

Behaviour:
Where the message has a Notice-Requested-Upon-Delivery-To field that names
ADDRESS, byte for byte, a success notice goes to SENDER, from nobody, so that it
is never answered. The message itself goes where the other lines of .qmail say.

Environment: SENDER, set by qmail-local; QMAILQUEUE replaces qmail-queue.
Runs as: the recipient.
Exit codes: 0 answered, or nothing to answer; 100 usage, or a field that cannot
    be read; 111 try again.
"""

from __future__ import annotations

from qmail.formats import address
from qmail.formats.header_fields import Header, TooLarge, name
from qmail.formats.header_tokens import Malformed, TooMany, spoken, tokens
from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import fds
from qmail.host.reasons import reason
from qmail.rules.rewriting import rewrite
from qmail.stores import home, submission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.formats.header_tokens import Token

USAGE = b"qreceipt: usage: qreceipt deliveryaddress"
REQUEST, IDENTIFIER = b"notice-requested-upon-delivery-to", b"message-id"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2 or b"SENDER" not in environ:
        raise Usage(USAGE)
    sender = environ[b"SENDER"]
    if sender in (b"", b"#@[]"):
        return 0
    header = _header()
    # All of them are read, so that a broken one is told of wherever it stands.
    requests = [_addresses(field) for field in header if name(field).lower() == REQUEST]
    if not any(argv[1] in addresses for addresses in requests):
        return 0
    identifiers = [field for field in header if name(field).lower() == IDENTIFIER]
    _answer(home.find(argv[0], environ), environ, sender, _notice(argv[1], sender, identifiers[-1:]))
    return 0


def _header() -> list[bytes]:
    header = Header()
    fields: list[bytes] = []
    try:
        for chunk in fds.chunks(0):
            header.feed(chunk)
            fields += _wanted(header)
            if header.body is not None:
                break
        header.end()
    except OSError as error:
        raise Temporary(b"unable to read message: " + reason(error)) from error
    except TooLarge:
        return []  # no reason to bounce a message that is otherwise delivered
    return fields + _wanted(header)


def _wanted(header: Header) -> list[bytes]:
    return [field for field in header.taken() if name(field).lower() in (REQUEST, IDENTIFIER)]


def _addresses(field: bytes) -> list[bytes]:
    found: list[bytes] = []

    def seen(words: Sequence[Token]) -> list[Token]:
        found.append(spoken(words))
        return list(words)

    try:
        rewrite(tokens(field[field.index(b":") + 1 : -1]), seen)
    except (Malformed, TooMany):
        raise Permanent(b"unable to parse this: " + field) from None
    return found


def _notice(delivered: bytes, sender: bytes, identifier: list[bytes]) -> bytes:
    quoted = address.quote(sender).replace(b"\n", b"_")
    return b"".join((
        b"From: DELIVERY NOTICE SYSTEM <", quoted, b">\nTo: <", quoted, b">\nSubject: success notice\n\n",
        b"Hi! This is the qreceipt program. Your message was delivered to the\nfollowing address: ",
        delivered.replace(b"\n", b"_"), b". Thanks for asking.\n", *(b"Your " + field for field in identifier),
    ))  # fmt: skip


def _answer(place: home.Home, environ: dict[bytes, bytes], sender: bytes, notice: bytes) -> None:
    try:
        message = submission.begin(place, environ)
    except OSError as error:
        raise Temporary(b"unable to fork: " + reason(error)) from error
    message.write(notice)
    words = submission.words(message.finish(b"", [sender]))
    if words.startswith(b"D"):
        raise Permanent(b"permanent qmail-queue error")
    if words:
        raise Temporary(b"temporary qmail-queue error")
