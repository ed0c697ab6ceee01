"""The lines of qmail-log(5): what qmail-send says, word for word, since log tools match it literally.

Texts from outside are made safe: a newline becomes `/`; blanks, control and eight-bit bytes and `%` become `_`.
"""

from __future__ import annotations

_SAFE = bytes(
    ord("/") if byte == 10 else byte if 33 <= byte <= 126 and byte != ord("%") else ord("_") for byte in range(256)
)
CHANNELS = (b"local", b"remote")
EXITING = b"status: exiting\n"
LOST_SPAWNER = b"alert: oh no! lost spawn connection! dying...\n"
LOST_CLEANER = b"alert: oh no! lost qmail-clean connection! dying...\n"
OUT_OF_RANGE = b"warning: internal error: delivery report out of range\n"


def safe(text: bytes) -> bytes:
    """`text` without a byte that could end a line or confuse its readers."""
    return text.translate(_SAFE)


def status(local: int, locals_: int, remote: int, remotes: int, exiting: bool) -> bytes:
    """How many deliveries run, of how many that may."""
    end = b" exitasap\n" if exiting else b"\n"
    return b"status: local %d/%d remote %d/%d%b" % (local, locals_, remote, remotes, end)


def new(number: int) -> bytes:
    """A message is looked at for the first time."""
    return b"new msg %d\n" % number


def info(number: int, size: int, sender: bytes, qp: int, uid: int) -> bytes:
    """What is known of it; `size` in bytes, `qp` its long-term name."""
    return b"info msg %d: bytes %d from <%b> qp %d uid %d\n" % (number, size, sender.translate(_SAFE), qp, uid)


def starting(delivery: int, number: int, channel: int, recipient: bytes) -> bytes:
    """A spawner is told to deliver."""
    return b"starting delivery %d: msg %d to %b %b\n" % (
        delivery, number, CHANNELS[channel], recipient.translate(_SAFE),
    )  # fmt: skip


def success(delivery: int, text: bytes) -> bytes:
    """It arrived."""
    return b"delivery %d: success: %b\n" % (delivery, text.translate(_SAFE))


def failure(delivery: int, text: bytes) -> bytes:
    """It never will."""
    return b"delivery %d: failure: %b\n" % (delivery, text.translate(_SAFE))


def deferral(delivery: int, text: bytes) -> bytes:
    """It did not arrive this time."""
    return b"delivery %d: deferral: %b\n" % (delivery, text.translate(_SAFE))


def mangled(delivery: int) -> bytes:
    """The spawner's report was none."""
    return b"delivery %d: report mangled, will defer\n" % delivery


def bounce(number: int, qp: int) -> bytes:
    """The sender was told of failures, by the message `qp`."""
    return b"bounce msg %d qp %d\n" % (number, qp)


def notice(number: int, qp: int) -> bytes:
    """The sender was told of a success or a delay, as he had asked, by the message `qp`."""
    return b"notice msg %d qp %d\n" % (number, qp)


def triple(number: int) -> bytes:
    """A double bounce failed; nobody is told."""
    return b"triple bounce: discarding bounce/%d\n" % number


def end(number: int) -> bytes:
    """The message is about to leave the queue."""
    return b"end msg %d\n" % number


def warning(text: bytes) -> bytes:
    """Something has to be tried again."""
    return b"warning: " + text + b"\n"


def alert(text: bytes) -> bytes:
    """Something needs a person."""
    return b"alert: " + text + b"\n"
