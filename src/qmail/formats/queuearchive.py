"""What is written of a message that leaves one queue for another: see queue-archive(5).

N/envelope   lines of a word and a value     N/message.eml   the message, with its Received lines
N/bounce     failures to be told             N/sha256        sums of those, as sha256sum(1) writes and reads them
"""

from __future__ import annotations

from qmail.formats import mailparameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ENVELOPE, MESSAGE, BOUNCE, SUMS = b"envelope", b"message.eml", b"bounce", b"sha256"
PARTS = (ENVELOPE, MESSAGE, BOUNCE, SUMS)
CHANNELS = (b"local", b"remote")
VERSION = b"1"
ABOUT = b"README"
_PLAIN = bytes(byte for byte in range(33, 127) if byte != ord("%"))


class Corrupt(ValueError):
    """Nothing that was written by us, or not whole."""


class Envelope:
    """All that is known of a message but its text and its failures.

    Either `fresh`: the recipients of a message that was never looked at; or `records`: by channel, (done, recipient).
    `due`: by channel, when it is tried next. `asked`: records of formats.mailparameters. Times are seconds since 1970.
    """

    __slots__ = ("asked", "birth", "due", "fresh", "number", "qp", "records", "sender", "uid")

    def __init__(self, number: int, sender: bytes, birth: int) -> None:
        self.number, self.sender, self.birth = number, sender, birth
        self.uid = self.qp = 0
        self.fresh: list[bytes] = []
        self.asked: list[bytes] = []
        self.records: dict[bytes, list[tuple[bool, bytes]]] = {}
        self.due: dict[bytes, int] = {}

    @property
    def left(self) -> int:
        """How many recipients are still to be served."""
        return len(self.fresh) + sum(not done for records in self.records.values() for done, _ in records)


def about(host: bytes, date: bytes) -> bytes:
    """The text of README, which stands first."""
    return (
        b"The queue of the mail host %b on %b.\n\n"
        b"`qmail queue import` reads this archive into another queue. Directory N is message N of this one:\n"
        b"N/envelope says from whom it is, for whom, who has it already, since when it has been here and when it is\n"
        b"tried next; odd bytes are written as %%XX. N/message.eml is the message. N/bounce is there where some\n"
        b"recipients have failed and the sender does not know it yet. N/sha256 has the sums of these files.\n"
    ) % (host, date)


def text(envelope: Envelope) -> bytes:
    """The text of N/envelope."""
    lines = [(b"format", VERSION), (b"number", b"%d" % envelope.number), (b"birth", b"%d" % envelope.birth)]
    lines += [(b"uid", b"%d" % envelope.uid), (b"qp", b"%d" % envelope.qp), (b"sender", quoted(envelope.sender))]
    lines += [(b"asked", quoted(record)) for record in envelope.asked]
    lines += [(b"fresh", quoted(recipient)) for recipient in envelope.fresh]
    for channel in CHANNELS:
        if channel in envelope.records:
            lines.append((channel + b"-due", b"%d" % envelope.due[channel]))
        for done, recipient in envelope.records.get(channel, ()):
            lines.append((channel + (b"-done" if done else b""), quoted(recipient)))
    return b"".join(b"%b %b\n" % line for line in lines)


def parse(content: bytes) -> Envelope:
    """Read N/envelope. Raises Corrupt."""
    words: dict[bytes, bytes] = {}
    envelope = Envelope(0, b"", 0)
    for line in content.split(b"\n")[:-1]:
        word, blank, value = line.partition(b" ")
        channel, _, rest = word.partition(b"-")
        if not blank or word in words:
            raise Corrupt("an odd line")
        if word == b"fresh":
            envelope.fresh.append(unquoted(value))
        elif word == b"asked":
            envelope.asked.append(unquoted(value))
        elif channel in CHANNELS and rest in (b"", b"done"):
            envelope.records.setdefault(channel, []).append((bool(rest), unquoted(value)))
        elif channel in CHANNELS and rest == b"due":
            envelope.records.setdefault(channel, [])
            envelope.due[channel] = _number(value)
        else:
            words[word] = value
    if words.pop(b"format", b"") != VERSION:
        raise Corrupt("another format")
    try:
        envelope.number, envelope.birth = _number(words.pop(b"number")), _number(words.pop(b"birth"))
        envelope.sender = unquoted(words.pop(b"sender"))
    except KeyError as error:
        raise Corrupt("no sender, number or birth") from error
    envelope.uid, envelope.qp = _number(words.pop(b"uid", b"0")), _number(words.pop(b"qp", b"0"))
    if words or not content.endswith(b"\n") or envelope.due.keys() != envelope.records.keys():
        raise Corrupt("an odd line")
    try:
        mailparameters.parse(envelope.asked)
    except mailparameters.Malformed as error:
        raise Corrupt("odd parameters") from error
    if envelope.fresh and envelope.records:
        raise Corrupt("it cannot be fresh and looked at")
    return envelope


def sums(number: int, digests: Mapping[bytes, bytes]) -> bytes:
    """The text of N/sha256; `digests`: part to hexadecimal digits."""
    return b"".join(b"%b  %d/%b\n" % (digests[part], number, part) for part in PARTS if part in digests)


def parse_sums(content: bytes) -> dict[bytes, bytes]:
    """Read N/sha256. Raises Corrupt."""
    found = {}
    for line in content.splitlines():
        digest, _, name = line.partition(b"  ")
        part = name.rpartition(b"/")[2]
        if len(digest) != 64 or part not in PARTS or part in found:
            raise Corrupt("an odd sum")
        found[part] = digest
    return found


def quoted(value: bytes) -> bytes:
    """An address of any bytes as one word of a line."""
    if not value.translate(None, _PLAIN):
        return value
    return b"".join(b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in value)


def unquoted(value: bytes) -> bytes:
    """The address again. Raises Corrupt."""
    first, *rest = value.split(b"%")
    pieces = [first]
    for piece in rest:
        digits = piece[:2]
        if len(digits) != 2 or digits.strip(b"0123456789ABCDEF"):
            raise Corrupt("an odd address")
        pieces += [bytes.fromhex(digits.decode()), piece[2:]]
    found = b"".join(pieces)
    if quoted(found) != value or b"\0" in found:
        raise Corrupt("an odd address")
    return found


def _number(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise Corrupt("an odd number")
    return int(value)
