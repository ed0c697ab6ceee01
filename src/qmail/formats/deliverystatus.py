"""Delivery status notifications (RFC 3464): what the machine-readable part says of each recipient.

A report comes with the words of qmail-local and qmail-remote. They hold a code, as in `(#5.1.1)` or in what another
host said, and that host's name and words.
"""

from __future__ import annotations

from qmail.formats import mailparameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


FAILED, DELAYED, DELIVERED, RELAYED, EXPANDED = b"failed", b"delayed", b"delivered", b"relayed", b"expanded"
PASSED_ON = b"dsn"  # behind a report: the next host took the parameters, and reports by itself
LONGEST_LINE = 900  # bytes of a field; RFC 5322 2.1.1 has 998
_CLASS = {FAILED: b"5", DELAYED: b"4"}
_SAID = b"Remote host said: "

# What a success report says of a recipient.
WORDS = {
    DELIVERED: b"Delivered.\n",
    RELAYED: b"Handed over to a mail server that does not say what becomes of it.\n",
    EXPANDED: b"Delivered, and sent on to others.\n",
}


class Fate:
    """What became of one recipient. `recipient`: as the sender knows it; `words`: the delivery's own."""

    __slots__ = ("action", "recipient", "words")

    def __init__(self, action: bytes, recipient: bytes, words: bytes) -> None:
        self.action, self.recipient, self.words = action, recipient, words


def success(recipient: bytes, report: bytes, *, local: bool) -> Fate | None:
    """What a delivery was; None where the next host tells of it. `report`: words, perhaps NUL and PASSED_ON."""
    words, _, passed_on = report.partition(b"\0")
    if not local:
        return None if passed_on == PASSED_ON else Fate(RELAYED, recipient, words)
    # did 0+2+0: mailboxes, forwards, programs.
    _, did, numbers = words.rstrip(b"\n").rpartition(b"did ")
    counts = numbers.split(b"+")
    forwarded = bool(did) and len(counts) == 3 and counts[1].isdigit() and counts[1] != b"0"
    return Fate(EXPANDED if forwarded else DELIVERED, recipient, words)


def paragraph(fate: Fate) -> bytes:
    """What a person is told of a success."""
    return b"<%b>:\n%b\n" % (fate.recipient.replace(b"\n", b"_"), WORDS[fate.action])


def message_fields(host: bytes, envid: bytes, arrival: bytes) -> bytes:
    """The fields about the message (RFC 3464 2.2). `envid`: xtext; `arrival`: a date."""
    fields = b"Reporting-MTA: dns; " + _line(host) + b"\n"
    if envid:
        fields += b"Original-Envelope-Id: " + _line(mailparameters.decoded(envid)) + b"\n"
    if arrival:
        fields += b"Arrival-Date: " + arrival + b"\n"
    return fields


def recipient_fields(fate: Fate, orcpt: bytes) -> bytes:
    """The fields about one recipient (RFC 3464 2.3), with the empty line in front. `orcpt`: TYPE;XTEXT or nothing."""
    fields = [b""]
    if orcpt:
        kind, _, address = orcpt.partition(b";")
        fields.append(b"Original-Recipient: " + _address(kind, mailparameters.decoded(address)))
    kind = b"rfc822" if fate.recipient.isascii() else b"utf-8"
    fields.append(b"Final-Recipient: " + _address(kind, fate.recipient))
    fields += [b"Action: " + fate.action, b"Status: " + status(fate)]
    partner, _, rest = fate.words.partition(_SAID)
    said = _line(b"\n".join([line for line in rest.split(b"\n") if line[:3].isdigit()]))
    if said[:3].isdigit():
        words = partner.removeprefix(b"Connected to ").removeprefix(b"Giving up on ").split(None, 1)
        if words and words[0].strip(b"0123456789abcdefABCDEF.:") == b"":
            fields.append(b"Remote-MTA: dns; [%b]" % words[0].rstrip(b"."))
        fields.append(b"Diagnostic-Code: smtp; " + said)
    elif fate.action in _CLASS and fate.words.strip():
        fields.append(b"Diagnostic-Code: x-qmail; " + _line(fate.words))
    return b"\n".join(fields) + b"\n"


def _address(kind: bytes, address: bytes) -> bytes:
    # message/delivery-status is in ASCII; for addresses beyond it there are words (RFC 6533 3, utf-8-addr-xtext).
    if kind.lower() == b"utf-8" and not address.isascii():
        try:
            characters = b"".join(address.split()).decode()
        except UnicodeDecodeError:
            kind = b"rfc822"
        else:
            coded = (
                each if "!" <= each <= "~" and each not in "+=\\" else f"\\x{{{ord(each):02X}}}" for each in characters
            )
            address = "".join(coded).encode()
    return kind + b"; " + _line(address)


def status(fate: Fate) -> bytes:
    """The code of RFC 3463: the one in the words, if it fits what became of it."""
    first = _CLASS.get(fate.action, b"2")
    said = fate.words.partition(_SAID)[2]
    for text in (said[4:20].split(b" ")[0], *(each.partition(b")")[0] for each in fate.words.split(b"(#")[1:])):
        digits = text.split(b".")
        if len(digits) == 3 and all(each.isdigit() and len(each) < 4 for each in digits) and len(digits[0]) == 1:
            # An attempt that could have been made again was the last one: that failed for good.
            return first + b"." + digits[1] + b"." + digits[2]
    return first + (b".4.7" if first == b"5" and b"in the queue too long" in fate.words else b".0.0")


def fates(paragraphs: Iterable[bytes], action: bytes) -> Iterator[Fate]:
    """Those that formats.bounce has written about, in pieces of any size."""
    rest = b""
    for piece in paragraphs:
        *whole, rest = (rest + piece).split(b"\n\n")
        for one in whole:
            head, colon, words = one.lstrip(b"\n").partition(b">:\n")
            if not colon:
                head, colon, words = one.lstrip(b"\n").removesuffix(b">:"), b">:", b""
            if head.startswith(b"<"):
                yield Fate(action, head[1:], words)


def _line(text: bytes) -> bytes:
    """On one line, and in ASCII, whatever is in it."""
    words = b" ".join(text.split())[:LONGEST_LINE]
    return bytes(byte if 32 <= byte < 127 else 63 for byte in words)


# ---- the message around them


class Parts:
    """The lines between the parts of a multipart/report (RFC 6522). `boundary` stands in no part."""

    __slots__ = ("_boundary",)

    def __init__(self, boundary: bytes) -> None:
        self._boundary = boundary

    def header(self) -> bytes:
        """The fields of the message that say so."""
        return (
            b"Auto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: multipart/report;\n"
            b' report-type=delivery-status; boundary="%b"\n'
        ) % self._boundary

    def begin(self, kind: bytes) -> bytes:
        """The line that begins a part, and its header: `kind` is its type."""
        encoding = b"" if kind == b"message/delivery-status" else b"Content-Transfer-Encoding: 8bit\n"
        return b"\n--%b\nContent-Type: %b\n%b\n" % (self._boundary, kind, encoding)

    def end(self) -> bytes:
        """The line behind the last one."""
        return b"\n--%b--\n" % self._boundary


def header_only(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The header of a message, without the empty line behind it, and at most so many bytes."""
    last = b"\n"  # what the header looks like at its end so far
    for piece in pieces:
        text = last + piece
        end = text.find(b"\n\n")
        if end >= 0:
            yield text[1 : end + 1]
            return
        yield piece[:most]
        most -= len(piece)
        if most <= 0:
            return
        last = piece[-1:] or last
