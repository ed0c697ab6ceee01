"""maildirwatch: show, all the time, what is new in a Maildir.

Usage: maildirwatch

    MAILDIR=~/Maildir maildirwatch

It is made for a small window of its own, which may be any terminal that obeys
the sequences of a VT100. End it by closing the window, or with Ctrl-C.

Behaviour:
Twice a minute the window is cleared, and shows the messages of MAILDIR that
nobody has seen (those in new/), oldest first: envelope sender and recipient, the
From field in bold type, and the subject with the beginning of the body, together
158 characters. What could mean something to a terminal is shown as `/` or `?`.
Messages are left as they are. Files that deliveries left in tmp/ 36 hours ago
are removed.

Environment: MAILDIR.
Runs as: the user.
Exit codes: 0 nobody reads what it writes; 111 MAILDIR is not set, or cannot be
    read.
"""

from __future__ import annotations

import os

from qmail.formats.header_fields import Header, TooLarge, name
from qmail.formats.verdict import Temporary
from qmail.host import clock, fds
from qmail.host.reasons import reason
from qmail.stores import maildir, maildrop

PAUSE = 30  # seconds
CLEAR, BOLD, PLAIN = b"\033[;H\033[;J", b"\033[1m", b"\033[0m"
WIDTH = 158  # two lines of a VT100
READ = 65536  # bytes of a message that are looked at: its header, and a little of its body
_WORDS = bytes(byte if 32 <= byte < 127 else ord("/") for byte in range(256))
_ADDRESS = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if b"MAILDIR" not in environ:
        raise Temporary(b"MAILDIR not set")
    try:
        os.chdir(environ[b"MAILDIR"])
    except OSError as error:
        raise Temporary(b"unable to chdir to %b: %b" % (environ[b"MAILDIR"], reason(error))) from error
    while True:
        maildrop.clean(b".", int(clock.now()))
        try:
            found = maildir.waiting(b"", (b"new/",))
        except OSError as error:
            raise Temporary(b"unable to read new/: " + reason(error)) from error
        try:
            fds.write_all(1, CLEAR)
            for path, _ in found:
                fds.write_all(1, _summary(path))
        except OSError:
            return 0  # the window is closed
        clock.sleep(PAUSE)


def _summary(path: bytes) -> bytes:
    """What is shown of a message; nothing where it is gone."""
    header = Header()
    try:
        with open(path, "rb", buffering=0) as file:
            header.feed(file.read(READ) or b"")
            header.end()
    except (OSError, TooLarge):
        return b""
    values: dict[bytes, bytes] = {}
    for field in header.fields:
        values.setdefault(name(field).lower(), field.partition(b":")[2].strip(b" \t\n"))
    sender, recipient = (values.get(each, b"?").translate(_ADDRESS) for each in (b"return-path", b"delivered-to"))
    text = (values.get(b"subject", b"") + b"\n" + (header.body or b""))[:WIDTH].translate(_WORDS)
    author = [BOLD, b"From: ", values[b"from"].translate(_WORDS), PLAIN, b"\n"] if b"from" in values else []
    return b"".join((b"FROM ", sender, b" TO <", recipient, b">\n", *author, text, b"\n\n"))
