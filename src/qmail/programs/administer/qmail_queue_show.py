"""qmail-queue-show: what is known of one message in the queue.

Usage: qmail-queue-show NUMBER
       qmail-queue-show --message NUMBER

    qmail queue show 1000000
    qmail queue show --message 1000000 > 1000000.eml

    --message  the message itself, byte for byte

`qmail-qread` lists the numbers, and the log names them.

Behaviour:
First the sender, then what he asked for besides (parameters of MAIL and RCPT, `=`
where nothing was said), then each recipient: who has it, who not, and when it is tried
next; then the failures that the sender was not told of yet, and the header of
the message. Odd bytes are shown as `_`. While qmail-send runs it knows better
when it tries next, and that is not said.

Environment: QMAIL_HOME.
Files: queue/: todo, info, local, remote, bounce, mess.
Runs as: root, or the owner in single-user mode.
Exit codes: 0; 1 there is no such message; 100 usage; 111 it cannot be read, or
    makes no sense.
"""

from __future__ import annotations

import os

from qmail.formats.queuefile import Corrupt
from qmail.formats.received import date
from qmail.formats.verdict import Temporary, Usage
from qmail.host import fds, program
from qmail.host.reasons import reason
from qmail.stores import home as homes
from qmail.stores import queuedmessage, standstill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.stores.queuedmessage import Queued

USAGE = b"qmail-queue-show: usage: qmail-queue-show [--message] NUMBER"
NONE = 1
HEADER = 65536  # bytes of a message in which its header is looked for
_SHOWN = bytes(byte if 32 <= byte <= 126 or byte in b"\t\n" else ord("_") for byte in range(256))


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    words = [word for word in argv[1:] if word != b"--message"]
    if len(words) != 1 or not words[0].isdigit() or len(words[0]) > 19:
        raise Usage(USAGE)
    home = homes.find(argv[0], environ)
    number = int(words[0])
    try:
        queued = queuedmessage.read(home, number)
        if queued is None:
            program.say(2, b"qmail-queue-show: there is no message %d\n" % number)
            return NONE
        if b"--message" in argv:
            for piece in fds.chunks(queued.message):
                fds.write_all(1, piece)
        else:
            text = b"".join(_lines(queued, still=standstill.is_there(home)))
            fds.write_all(1, text.translate(_SHOWN))
    except Corrupt as error:
        raise Temporary(b"message %d makes no sense: %b" % (number, str(error).encode())) from error
    except OSError as error:
        where = os.fsencode(error.filename) + b": " if error.filename else b""
        raise Temporary(b"unable to show message %d: %b%b" % (number, where, reason(error))) from error
    return 0


def _lines(queued: Queued, *, still: bool) -> Iterator[bytes]:
    envelope = queued.envelope
    since = date(envelope.birth)
    yield b"message %d, %d bytes, here since %b\n" % (envelope.number, queued.size, since)
    yield b"from <%b>\n" % envelope.sender
    for record in envelope.asked:
        yield b"asked for: %b\n" % record
    for recipient in envelope.fresh:
        yield b"to   %b, not yet looked at\n" % recipient
    for channel, records in envelope.records.items():
        due = envelope.due[channel]
        waits = b", to be tried " + date(due) if still else b""
        for done, recipient in records:
            yield b"to   %b, %b%b\n" % (recipient, channel, b", done" if done else waits)
    if queued.bounce:
        yield b"\nfailures that the sender was not told of:\n\n" + queued.bounce
    yield b"\n" + os.pread(queued.message, HEADER, 0).partition(b"\n\n")[0] + b"\n"
