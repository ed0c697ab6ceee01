"""dot-forward: follow a sendmail-style .forward file.

A program for lines of .qmail files, and for users who come from sendmail, and
keep their .forward files.

Usage: dot-forward [-nN] FILE...

    |dot-forward .forward
    ./Mailbox

    -n  show what FILE asks for, and do nothing
    -N  (default) do it

Behaviour:
The first FILE that exists and asks for anything is followed: the message goes
to the addresses in it, from NEWSENDER, and to commands (`"|command"`), which
get it with UFLINE, RPLINE and DTLINE in front; they run first, and their exit
codes mean what they mean in .qmail (99 only success). An address that is USER,
or USER@HOST, means that the delivery goes on with the next line of .qmail.
Incomplete addresses are completed as by qmail-inject. Files and :include: are
not followed: the delivery is put off. A colon or semicolon divides addresses as
a comma does.

Environment: USER, HOST, NEWSENDER, UFLINE, RPLINE, DTLINE, set by qmail-local;
QMAILQUEUE replaces qmail-queue; QMAILDEFAULTHOST, QMAILDEFAULTDOMAIN,
QMAILPLUSDOMAIN replace the control files.
Files: FILE; control/: me, defaulthost, defaultdomain, plusdomain.
Runs as: the recipient.
Exit codes: 99 done; 0 done and the delivery goes on, or there was no FILE; 100
    usage, a command or the queue refused for good; 111 a FILE that cannot be
    read or understood, or another failure that may pass.
"""

from __future__ import annotations

from qmail.formats.options import Wrong, options
from qmail.formats.verdict import FOR_GOOD, PERMANENT, STOP, SUCCESS, TEMPORARY, Ending, Permanent, Temporary, Usage
from qmail.host import program
from qmail.host.reasons import reason
from qmail.rules import dotforward
from qmail.rules.rewriting import Unparsable
from qmail.stores import children, completion, forwarding, home
from qmail.stores.control import Control

USAGE = b"dot-forward: usage: dot-forward [ -nN ] file ..."
LARGEST = 4 * 1024 * 1024  # bytes of a .forward file


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        found, files = options(argv[1:], b"nN")
    except Wrong as wrong:
        program.say(2, b"dot-forward: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    shown = [letter for letter, _ in found][-1:] == [b"n"]
    place = home.find(argv[0], environ)
    try:
        orders = _orders(files, environ, place, shown)
    except dotforward.Unsupported as error:
        raise Temporary(b"file delivery " + error.path + b" not supported") from None
    except Unparsable as error:
        raise Temporary(b"unable to parse this line: " + error.text) from None
    if shown:
        _show(orders)
    else:
        _follow(orders, place, environ)
    return SUCCESS if orders.direct or not orders else STOP


def _orders(files: list[bytes], environ: dict[bytes, bytes], place: home.Home, shown: bool) -> dotforward.Orders:
    complete = completion.hosts(Control(place.path), environ)
    for path in files:
        text = _text(path)
        if text is None:
            continue
        orders = dotforward.orders(text, environ.get(b"USER"), environ.get(b"HOST"), complete)
        if orders:
            return orders
        if shown:
            program.say(1, b"skipping empty file " + program.line(path))
    return dotforward.Orders()


def _text(path: bytes) -> bytes | None:
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Temporary(b"unable to read " + path + b": " + reason(error)) from error
    if len(text) > LARGEST:
        raise Temporary(path + b" is larger than 4 MiB")
    return text


def _show(orders: dotforward.Orders) -> None:
    for command in orders.commands:
        program.say(1, b"pipe through " + program.line(command))
    for recipient in orders.recipients:
        program.say(1, b"forward " + program.line(recipient))
    if orders.direct or not orders:
        program.say(1, b"direct delivery\n")


def _follow(orders: dotforward.Orders, place: home.Home, environ: dict[bytes, bytes]) -> None:
    # Commands first, as qmail-local does: a failing one forwards nothing.
    head = b"".join(environ.get(name, b"") for name in (b"UFLINE", b"RPLINE", b"DTLINE"))
    for number, command in enumerate(orders.commands):
        if number:
            forwarding.rewind()
        code = children.feed(b"dot-forward", [b"/bin/sh", b"-c", command], environ, head, unable=TEMPORARY)
        if code not in (SUCCESS, STOP):
            raise Ending(code=PERMANENT if code in FOR_GOOD else TEMPORARY)
    if orders.recipients:
        if orders.commands:
            forwarding.rewind()
        try:
            qp = forwarding.send_on(place, environ, forwarding.variable(environ, b"NEWSENDER"), orders.recipients)
        except Ending as end:
            kind = Permanent if end.code == PERMANENT else Temporary
            raise kind(b"unable to forward message: " + end.text) from None
        program.say(2, b"dot-forward: info: qp %d\n" % qp)
