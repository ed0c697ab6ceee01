"""sendmail: the old name under which programs send mail.

Many programs know no other way to send mail. What they need of sendmail is
here, done by qmail-inject, qmail-smtpd, qmail-qread and newaliases.

Usage: sendmail [-t] [-fSENDER] [-FNAME] [-bp] [-bs] [-bi] [RECIPIENT...]
       mailq
       newaliases

    sendmail -t -i < message

    -t          recipients come from the header, and from the arguments
    -fSENDER    the envelope sender, and the address in From, which then has no name;
                -r is the same
    -FNAME      the person in From, where there is no -f
    -N, -R, -V  what the sender wants to hear (RFC 3461), each with its argument: `never`, or
                some of `success,failure,delay`; of a failure `full` or `hdrs`; a name for
                this message, in xtext, that reports bear
    -bs         speak SMTP on descriptors 0 and 1, and take mail for everywhere
    -bp         (or the name mailq) show the queue
    -bi         (or -I, or the name newaliases) compile the aliases: newaliases

Allowed, and without effect: -bm -i -m -n -v -x -E -G -J -U -d..., and, with an
argument of their own, -e -h -o -p -A -B -C -L -O -X.

Behaviour:
The message is sent by qmail-inject: with -t by `qmail-inject -H`, else by
`qmail-inject -a`. A line with a single dot does not end the input. -bs runs
qmail-smtpd with RELAYCLIENT set, DATABYTES=0 and a client that is localhost;
-bp runs qmail-qread. What only a daemon of sendmail could do (-bd, -bD, -bh)
or test (-bt, -bv) is refused, and so are letters not named here: -q too, since
qmail-send tries the queue by itself. As newaliases it exits 100 where no .qmail
file in alias/ runs fastforward.

Environment: see qmail-inject; -f sets QMAILUSER and QMAILHOST and takes away
MAILHOST, QMAILNAME, MAILNAME and NAME; -F sets MAILNAME; -N, -R and -V set
QMAILNOTIFY, QMAILRET and QMAILENVID. Where no variable names the user, LOGNAME
becomes the account's name.
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
LETTERS = b"vimte:f:p:o:B:F:EJxb:" + b"r:Id::nGUh:A:C:L:N:O:R:V:X:"  # of qmail's sendmail, and of others
WISHES = {b"N": b"QMAILNOTIFY", b"R": b"QMAILRET", b"V": b"QMAILENVID"}
NAMES = {b"mailq": b"p", b"newaliases": b"i"}
OTHERS = {b"s": b"qmail-smtpd", b"p": b"qmail-qread", b"i": b"newaliases"}
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
    if called in NAMES:
        if called == b"newaliases":
            _refuse_newaliases(place)
        return start([place.program(OTHERS[NAMES[called]])], environ)
    found, recipients, complaint = _options(argv[1:])
    environ, mode, whom, sender = dict(environ), b"m", b"-a", None
    for letter, value in found:
        if letter == b"t":
            whom = b"-H"
        elif letter in (b"b", b"I"):
            asked = value[:1] if letter == b"b" else b"i"
            mode = asked if mode == b"m" else mode  # the first one counts
        elif letter in (b"f", b"r"):
            sender = _bare(value)
        elif letter == b"F":
            environ[b"MAILNAME"] = value
        elif letter in WISHES:
            environ[WISHES[letter]] = value
    if mode in OTHERS:
        return start([place.program(OTHERS[mode])], environ | (LOCAL if mode == b"s" else {}))
    if complaint or mode != b"m":
        program.say(2, complaint if mode == b"m" else b"")
        raise Usage(USAGE)
    words = [whom, b"--"]
    if sender is not None:
        words[1:1] = [b"-f", sender]
        _sign(sender, environ)
    return start([place.program(b"qmail-inject"), *words, *recipients], _named(environ))


def _refuse_newaliases(place: home.Home) -> None:
    # Whoever calls us by this name knows nothing of fastforward.
    from qmail.stores import forwardfiles

    if not forwardfiles.in_use(place.file(b"alias")):
        raise Permanent(b"sendmail: fatal: please use fastforward/newaliases instead", plain=True)


def _options(words: list[bytes]) -> tuple[list[tuple[bytes, bytes]], list[bytes], bytes]:
    # The options, what follows them, and a complaint: it may come too late, behind one that asks for another program.
    try:
        return *options(words, LETTERS), b""
    except Wrong as wrong:
        return list(wrong.before), [], b"sendmail: " + wrong.text + b"\n"


def _bare(sender: bytes) -> bytes:
    # `Joe <joe@x>` and `<>` are ways to say it, too.
    return sender[:-1].rpartition(b"<")[2] if b"<" in sender and sender.endswith(b">") else sender


def _sign(sender: bytes, environ: dict[bytes, bytes]) -> None:
    """Let From be the sender alone: the environment's name and host may be those of a program's account."""
    if not sender:
        return  # nobody is no author: then From is the user's
    for name in (b"QMAILNAME", b"MAILNAME", b"NAME", b"QMAILHOST", b"MAILHOST"):
        environ.pop(name, None)
    box, at, host = sender.rpartition(b"@")
    environ[b"QMAILUSER"] = box if at else sender
    if at:
        environ[b"QMAILHOST"] = host


def _named(environ: dict[bytes, bytes]) -> dict[bytes, bytes]:
    # cron says nowhere who runs it, and mail from nobody in particular could not come back.
    if any(name in environ for name in (b"QMAILUSER", b"MAILUSER", b"USER", b"LOGNAME")):
        return environ
    import pwd

    try:
        return environ | {b"LOGNAME": os.fsencode(pwd.getpwuid(os.getuid()).pw_name)}
    except KeyError:
        return environ
