"""maildir2mbox: move the mail of a Maildir into an mbox.

For mail readers that know no Maildir.

Usage: maildir2mbox

    MAILDIR=~/Maildir MAIL=~/Mailbox MAILTMP=~/.mailtmp maildir2mbox && mutt -f ~/Mailbox

Behaviour:
Writes what MAIL has, and behind it every message of MAILDIR, those in new/ and
cur/, oldest first, to MAILTMP, puts MAILTMP in MAIL's place, and only then
removes the messages: whatever happens, no mail is lost, though some may be
there twice. MAIL is locked meanwhile. MAILTMP and MAIL must be on one file
system. Run one at a time.

Environment: MAILDIR, MAIL, MAILTMP.
Runs as: the user.
Exit codes: 0; 111 a variable is missing, or something cannot be read or
    written.
"""

from __future__ import annotations

import os

from qmail.formats import mbox
from qmail.formats.verdict import Temporary
from qmail.host import clock, durable, fds
from qmail.host.program import say
from qmail.host.reasons import reason
from qmail.stores import maildir, maildrop, mboxfile
from qmail.stores.message import Message

RETURN_PATH = b"Return-Path: <"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    os.umask(0o077)
    for name in (b"MAIL", b"MAILTMP", b"MAILDIR"):
        if name not in environ:
            raise Temporary(name + b" not set")
    directory, target, temporary = environ[b"MAILDIR"], environ[b"MAIL"], environ[b"MAILTMP"]
    maildrop.clean(directory, int(clock.now()))
    try:
        messages = maildir.waiting(directory + b"/")
    except OSError as error:
        raise Temporary(b"unable to chdir to %b: %b" % (directory, reason(error))) from error
    if not messages:
        return 0
    try:
        lock = mboxfile.open_locked(target)
    except OSError as error:
        raise Temporary(b"unable to lock %b: %b" % (target, reason(error))) from error
    try:
        durable.replace_with(target, temporary, lambda new: _write(new, lock, messages))
    except OSError as error:
        raise Temporary(b"unable to write %b: %b" % (temporary, reason(error))) from error
    _remove([path for path, _ in messages])
    return 0


def _write(new: int, old: int, messages: list[tuple[bytes, float]]) -> None:
    # The old mbox, whole, then the messages.
    for piece in Message(old).pieces():
        fds.write_all(new, piece)
    fds.write_all(new, mboxfile.missing_end(old))
    for path, changed in messages:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pieces = Message(descriptor).pieces()
            first = next(pieces)
            quoter = mbox.Quoter()
            fds.write_all(new, mbox.from_line(_sender(first), int(changed)) + quoter.feed(first))
            for piece in pieces:
                fds.write_all(new, quoter.feed(piece))
            fds.write_all(new, quoter.end() + b"\n")
        finally:
            os.close(descriptor)


def _sender(first: bytes) -> bytes:
    # From the line that qmail-local puts in front.
    line = first.partition(b"\n")[0]
    return line[len(RETURN_PATH) : line.rfind(b">")] if line.startswith(RETURN_PATH) and b">" in line else b""


def _remove(paths: list[bytes]) -> None:
    for path in paths:
        try:
            durable.remove(path)
        except OSError as error:
            say(2, b"maildir2mbox: warning: %b will be delivered twice; unable to unlink: %b\n" % (path, reason(error)))
    for directory in sorted({os.path.dirname(path) for path in paths}):
        durable.sync_directory(directory)
