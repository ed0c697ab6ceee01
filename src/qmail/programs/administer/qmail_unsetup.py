"""qmail-unsetup: what qmail-setup made, taken away again.

Usage: qmail-unsetup [--dry-run]

    qmail unsetup --dry-run     # show what would go

It ends the services of qmail-setup, and takes away what setup.record in the home names, the last first:
services, rules, aliases, control files, programs, the queue, users and groups.

Behaviour:
What was there before qmail-setup stays. A file that somebody has changed since, a
directory that holds something else, and a Maildir with mail stay too, and are
named. While a message is in the queue nothing is done.
The logs of the services go with them only if they are empty.
Running it again goes on where it was stopped.

Files: QMAIL_HOME/setup.record, and everything that qmail-setup names.
Runs as: root.
Exit codes: 0 done; 100 usage, not root, there is no record, or mail is in the
    queue; 111 a service does not end, or something cannot be removed.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import durable, program
from qmail.host.reasons import reason
from qmail.stores import home, setuprecord

USAGE = b"qmail-unsetup: usage: qmail-unsetup [--dry-run]"
STARTERS = (b"unit ", b"line ")  # lines of the record: what starts the services with the machine
PATIENCE = b"60"  # seconds for a service to end; deliveries under way are finished first
# What the programs leave behind where qmail-setup has made the directory.
SUPERVISED = (b"lock", b"ok", b"control", b"status", b"status.new")
SOCKETS = (
    b"qq/lock", b"qq/socket", b"qs/notes", b"qr/dns", b"qr/lock", b"qr/sts", b"qr/sts.lock", b"qr/tlsrpt",
    b"qr/tlsrpt.lock", b"qr/verify", b"qr/verify.lock", b"qp/rcpt", b"qp/lock", b"qp/login", b"qp/login.lock",
    b"qc/check", b"qc/lock", b"ql/homes", b"qt/socket",
)  # fmt: skip


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    dry = argv[1:] == [b"--dry-run"]
    if argv[1:] and not dry:
        raise Usage(USAGE)
    path = home.find(argv[0], environ).path
    try:
        lines = setuprecord.lines(path)
        if not lines:
            raise Permanent(b"there is no " + path + setuprecord.NAME + b": nothing here was made by qmail-setup")
        if dry:
            program.say(1, b"".join([b"would remove " + line + b"\n" for line in reversed(lines)]))
            return 0
        if os.geteuid() != 0:
            raise Permanent(b"only root can take users and services away; --dry-run shows what would go")
        _refuse_while_mail_waits(path)
        _end_services(path, lines)
        _remains(path, lines)
        return _undo(path, lines)
    except OSError as error:
        raise Temporary(os.fsencode(error.filename or path) + b": " + reason(error)) from error


def _refuse_while_mail_waits(path: bytes) -> None:
    waiting = sum(len(names) for _, _, names in os.walk(path + b"/queue/mess"))
    if waiting:
        raise Permanent(b"%d messages are in the queue; deliver them first (qmail-qread shows them)" % waiting)


def _end_services(path: bytes, lines: list[bytes]) -> None:
    """The unit or line first, so that nothing starts them again; then each service and its log."""
    for line in reversed(lines):
        if line.startswith(STARTERS):
            setuprecord.undo(line)
    links = [line.split(b" ")[2] for line in lines if line.startswith(b"link ") and b"/supervise/" in line]
    for link in links:
        if os.path.islink(link):
            place = os.readlink(link)
            durable.remove(link)
            words = (path + b"/bin/svc", b"-dx", b"-w", PATIENCE, place, place + b"/log")
            if os.path.exists(place + b"/supervise") and setuprecord.run(*words):
                raise Temporary(place + b" does not end")


def _remains(path: bytes, lines: list[bytes]) -> None:
    for line in lines:
        place = line.removeprefix(b"directory ") + b"/supervise"
        if line.startswith(b"directory ") and os.path.isdir(place) and b"directory " + place not in lines:
            for name in SUPERVISED:
                durable.remove(place + b"/" + name)
            os.rmdir(place)
    for place in (path + b"/queue/spare", path + b"/sts", path + b"/tlsrpt"):
        if b"directory " + place in lines and os.path.isdir(place):
            for name in os.listdir(place):
                durable.remove(place + b"/" + name)
    for name in SOCKETS:
        if b"directory " + path + b"/" + name.partition(b"/")[0] in lines:
            durable.remove(path + b"/" + name)


def _undo(path: bytes, lines: list[bytes]) -> int:
    left = []
    for line in reversed(lines):
        if line == b"directory " + path or line.startswith(STARTERS):
            continue  # the last of all, and the first
        if why := setuprecord.undo(line):
            left.append(why)
    durable.remove(path + setuprecord.NAME)
    if b"directory " + path in lines and (why := setuprecord.undo(b"directory " + path)):
        left.append(why)
    program.say(1, b"".join([b"left: " + program.line(why) for why in left]))
    program.say(1, b"What qmail-setup made is gone.\n" if not left else b"The rest of what qmail-setup made is gone.\n")
    return 0
