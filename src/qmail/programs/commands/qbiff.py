"""qbiff: tell of new mail on the terminals where the user is logged in.

A program for lines of .qmail files.

Usage: qbiff

    ./Maildir/
    |qbiff

And on the terminal, say `biff y` (which gives its owner the x bit there).

Behaviour:
Who has said `biff y` sees for whom the message is, from whom, its subject and
its first lines. What could mean something to a terminal is shown as `?`. Nobody
is kept waiting: where a terminal takes nothing more, the rest is left out.

Environment: USER, RECIPIENT, SENDER, set by qmail-local.
Files: /run/utmp says who is logged in.
Runs as: the recipient.
Exit codes: 0 always, so that no mail is lost or delayed.
"""

from __future__ import annotations

import os
import stat

from qmail.formats import utmp
from qmail.formats.header_fields import Header, TooLarge, name
from qmail.host import fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

UTMP = (b"/run/utmp", b"/var/run/utmp")
LARGEST = 4 * 1024 * 1024  # bytes of utmp that are looked at
WIDTH, FIELDS, LINES = 78, 4, 3  # columns of a line, From and Subject fields, lines of the body
ENOUGH = 65536  # bytes of the body, where lines do not end
_SHOWN = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        user = environ.get(b"USER", b"")
        terminals = sorted(set(utmp.lines(_utmp(), user)))
        if terminals:
            text = _announcement(environ)
            for line in terminals:
                _tell(line, text)
    except OSError:
        pass  # a message that could not be announced is delivered all the same
    return 0


def _utmp() -> bytes:
    for path in UTMP:
        try:
            with open(path, "rb") as file:
                return file.read(LARGEST)
        except FileNotFoundError:
            continue
    return b""


def _announcement(environ: Mapping[bytes, bytes]) -> bytes:
    header = Header()
    wanted: list[bytes] = []
    try:
        for chunk in fds.chunks(0):
            header.feed(chunk)
            wanted = (wanted + _wanted(header))[:FIELDS]
            if header.body is not None and (len(header.body) > ENOUGH or header.body.count(b"\n") > LINES):
                break
        header.end()
    except TooLarge:
        pass
    first = [b"*** New mail for " + environ.get(b"RECIPIENT", environ.get(b"USER", b""))]
    if sender := environ.get(b"SENDER"):
        first.append(b"*** Sent by " + sender)
    wanted = (wanted + _wanted(header))[:FIELDS]
    body = [line for line in (header.body or b"").split(b"\n") if line.strip()][:LINES]
    shown = (line.replace(b"\n", b" ").replace(b"\t", b" ").translate(_SHOWN)[:WIDTH] for line in first + wanted + body)
    return b"\r\n\a" + b"".join(line + b"\r\n" for line in shown)


def _wanted(header: Header) -> list[bytes]:
    fields = (field for field in header.taken() if name(field).lower() in (b"from", b"subject"))
    return [field[:WIDTH].removesuffix(b"\n") for field in fields]


def _tell(line: bytes, text: bytes) -> None:
    if b".." in line or line.startswith(b"/"):
        return
    try:
        terminal = os.open(b"/dev/" + line, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        status = os.fstat(terminal)
        if stat.S_ISCHR(status.st_mode) and status.st_mode & stat.S_IXUSR and status.st_uid == os.geteuid():
            os.write(terminal, text)
    except OSError:
        pass
    finally:
        os.close(terminal)
