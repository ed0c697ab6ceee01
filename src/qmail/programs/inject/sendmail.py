"""sendmail: the old name under which programs send mail.

Many programs know no other way to send mail. What they need of sendmail is
here, done by qmail-inject, qmail-smtpd and qmail-qread.

Usage: sendmail [-t] [-fSENDER] [-FNAME] [-bp] [-bs] [RECIPIENT...]
       mailq
       newaliases

    sendmail -t -i < message

    -t          recipients come from the header, and from the arguments
    -fSENDER    the envelope sender, and the user in From
    -FNAME      the person in From
    -bs         speak SMTP on descriptors 0 and 1, and take mail for everywhere
    -bp         (or the name mailq) show the queue
    -bm -i -v -m -n... -oX -eX -BX -pX -E -J -x   allowed, and without effect

Behaviour:
The message is sent by qmail-inject: with -t by `qmail-inject -H`, else by
`qmail-inject -a`. A line with a single dot does not end the input. -bs runs
qmail-smtpd with RELAYCLIENT set, DATABYTES=0 and a client that is localhost;
-bp runs qmail-qread. qmail has no aliases file: the name newaliases only says
where to look, and exits 100.

Environment: see qmail-inject; -f sets QMAILUSER and QMAILHOST, -F sets
MAILNAME.
Runs as: the user.
Exit codes: those of the program that is run; 100 usage; 111 it cannot be run.
"""

from __future__ import annotations

import os

from qmail.formats.options import Wrong, options
from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import execute, program
from qmail.host.reasons import reason
from qmail.stores import home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[[list[bytes], dict[bytes, bytes]], int]

USAGE = b"sendmail: usage: sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]"
LOCAL = {
    b"TCPREMOTEIP": b"127.0.0.1", b"TCPREMOTEHOST": b"localhost", b"TCPREMOTEINFO": b"sendmail-bs",
    b"TCPLOCALIP": b"127.0.0.1", b"TCPLOCALHOST": b"localhost", b"PROTO": b"TCP",
    b"RELAYCLIENT": b"", b"DATABYTES": b"0",
}  # fmt: skip


def start(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Become the program."""
    try:
        execute.replace(argv, environ)
    except OSError as error:
        raise Temporary(b"unable to run " + argv[0] + b": " + reason(error)) from error


def main(argv: list[bytes], environ: dict[bytes, bytes], start: Start = start) -> int:
    """Run as described above. `start` runs the program that the options ask for."""
    place = home.find(argv[0], environ)
    called = os.path.basename(argv[0])
    if called == b"newaliases":
        program.say(2, b"sendmail: fatal: please use fastforward/newaliases instead\n")
        raise Permanent()
    if called == b"mailq":
        return start([place.program(b"qmail-qread")], environ)
    try:
        found, recipients = options(argv[1:], b"vimte:f:p:o:B:F:EJxb:")
    except Wrong as wrong:
        program.say(2, b"sendmail: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    environ, mode, whom, sender = dict(environ), b"m", b"-a", []
    for letter, value in found:
        if letter == b"t":
            whom = b"-H"
        elif letter == b"b":
            mode = value[:1]
            if mode not in (b"m", b"s", b"p"):
                raise Usage(USAGE)
        elif letter == b"f":
            sender = [b"-f", value]
            box, at, host = value.rpartition(b"@")
            environ[b"QMAILUSER"] = box if at else value
            if at:
                environ[b"QMAILHOST"] = host
        elif letter == b"F":
            environ[b"MAILNAME"] = value
    if mode == b"s":
        return start([place.program(b"qmail-smtpd")], environ | LOCAL)
    if mode == b"p":
        return start([place.program(b"qmail-qread")], environ)
    return start([place.program(b"qmail-inject"), whom, *sender, b"--", *recipients], environ)
