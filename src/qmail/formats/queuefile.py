"""Names and records of the queue (INTERNALS): where the files of message N are, and what todo/N says.

todo/N, intd/N     u<uid> NUL p<pid> NUL F<sender> NUL T<recipient> NUL ...
info/s/N           F<sender> NUL           local/s/N, remote/s/N   T<recipient> NUL or D<recipient> NUL ...

What the sender asked for besides stands behind them, in todo/N and info/N, as records u<uid> <parameters> NUL
(formats.mailparameters). The C programs read a number there and no further, and of info/N the first record alone.
"""

from __future__ import annotations

from qmail.formats import mailparameters
from qmail.formats.mailparameters import Parameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SPLIT = 23  # directories under mess, info, local, remote; read from the tree where it may differ
SPLIT_KINDS = (b"mess", b"info", b"local", b"remote")
FLAT_KINDS = (b"todo", b"intd", b"bounce")
PIECE = 65536  # bytes of a file that become records at once


class Corrupt(ValueError):
    """A record that no program of ours wrote. `before`: the envelope up to it, or None where it has no sender."""

    before: Envelope | None = None


def path(kind: bytes, number: int, split: int = SPLIT) -> bytes:
    """The name of message `number`'s file of this kind, below queue/: `mess/6/1000000`, `todo/1000000`."""
    if kind in SPLIT_KINDS:
        return b"%b/%d/%d" % (kind, number % split, number)
    return b"%b/%d" % (kind, number)


class Envelope:
    """Who sent a message, by which local user and process, and for whom. `parameters`: what was asked for besides."""

    __slots__ = ("parameters", "pid", "recipients", "sender", "uid")

    def __init__(
        self,
        sender: bytes,
        recipients: Sequence[bytes],
        uid: int = 0,
        pid: int = 0,
        parameters: Parameters | None = None,
    ) -> None:
        self.sender, self.recipients, self.uid, self.pid = sender, recipients, uid, pid
        self.parameters = parameters


def todo(envelope: Envelope) -> bytes:
    """The text of todo/N."""
    head = b"u%d\0p%d\0F%b\0" % (envelope.uid, envelope.pid, envelope.sender)
    recipients = b"".join(b"T" + recipient + b"\0" for recipient in envelope.recipients)
    return head + recipients + asked(envelope.uid, envelope.parameters)


def info(sender: bytes, parameters: Parameters | None = None) -> bytes:
    """The text of info/N."""
    return b"F%b\0" % sender + asked(0, parameters)


def parse_info(text: bytes) -> tuple[bytes, Parameters | None]:
    """Read info/N. Raises Corrupt where there is no sender."""
    record, end, rest = text.partition(b"\0")
    if not end or record[:1] != b"F":
        raise Corrupt("no sender")
    if not rest:
        return record[1:], None
    return record[1:], _parameters([each[1:] for each in rest.split(b"\0")[:-1] if each[:1] == b"u"])


def asked(uid: int, parameters: Parameters | None) -> bytes:
    """The records of what was asked for besides; nothing where there is nothing."""
    return besides(uid, mailparameters.records(parameters)) if parameters else b""


def besides(uid: int, records: Sequence[bytes]) -> bytes:
    """The same of records of mailparameters."""
    return b"".join([b"u%d %b\0" % (uid, record) for record in records])


def _parameters(values: Sequence[bytes]) -> Parameters | None:
    # What makes no sense here is no reason to keep a message from its recipients, nor to send it without TLS.
    lines = [value.partition(b" ")[2] for value in values]
    try:
        return mailparameters.parse(lines)
    except mailparameters.Malformed:
        secret = any(line.startswith(b"mail ") and line.endswith(b" REQUIRETLS") for line in lines)
        return Parameters(requiretls=True) if secret else None


def parse_todo(text: bytes) -> Envelope:
    """Read todo/N. Raises Corrupt where it is not whole: no sender, an unknown letter, no NUL at the end."""
    sender: bytes | None = None
    uid = pid = 0
    recipients = []
    besides: list[bytes] = []
    for record in records(text):
        kind, value = record[:1], record[1:]
        if kind == b"T":
            recipients.append(value)
        elif kind == b"F" and sender is None:
            sender = value
        elif kind == b"u":
            if b" " in value:
                besides.append(value)
            else:
                uid = _number(value)
        elif kind == b"p":
            pid = _number(value)
        else:
            corrupt = Corrupt("unknown record")
            corrupt.before = None if sender is None else Envelope(sender, recipients, uid, pid)
            raise corrupt
    if sender is None:
        raise Corrupt("no sender")
    return Envelope(sender, recipients, uid, pid, _parameters(besides) if besides else None)


def _number(text: bytes) -> int:
    # Only the log shows these: what is no number is no reason to keep a message from its recipients.
    return int(text[:18]) if text.isdigit() else 0


def records(text: bytes) -> Iterator[bytes]:
    """The NUL-terminated records of a file, some at a time. Raises Corrupt, first, where the last one has no end."""
    if text and text[-1]:
        raise Corrupt("unfinished record")
    at = 0
    while at < len(text):
        end = text.index(b"\0", min(at + PIECE, len(text) - 1)) + 1
        yield from text[at : end - 1].split(b"\0")
        at = end
