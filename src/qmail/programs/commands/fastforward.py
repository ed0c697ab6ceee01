"""fastforward: send a message on as a forwarding database says.

A program for lines of .qmail files, such as alias/.qmail-default, where it does
what sendmail does with /etc/aliases.

Usage: fastforward [-nNpPdD] CDB

    | fastforward -d /etc/aliases.cdb

    -n  show what would be done with mail for the recipient, and do nothing:
        env DEFAULT=postmaster HOST=host.example.org fastforward -nd /etc/aliases.cdb
    -N  (default) do it
    -p  pass on: where CDB knows nothing of the recipient, exit 0, so that the
        next line of .qmail is followed, and 99 where it does
    -P  (default) where CDB knows nothing of the recipient the message bounces
    -d  the recipient is $DEFAULT@$HOST, or $EXT@$HOST where DEFAULT is not set
    -D  (default) the recipient is $RECIPIENT

Behaviour:
CDB is made by newaliases or setforward. For user@host the targets user@host,
@host and user@ are looked up, in this order and without regard to case, and
the first that is there says what to do: send to recipients and to the members
of binary lists (newinclude, setmaillist), run programs. A recipient that is
itself a target, by its whole address, is replaced by what that target says,
unless the target has an owner: such mail is queued for the target, and leaves
it in the owner's name. Nobody gets a message twice because two lists name him;
each program runs as often as it is named.

Programs run first, in order, by /bin/sh -c, with the message on descriptor 0;
one that newaliases has put there finds UFLINE, RPLINE and DTLINE in front of
it. 0 and 99 are success, 100, 64, 65, 70, 76, 77, 78 and 112 fail for good,
anything else defers; where one fails nothing is sent. Then the message is queued
once for all recipients, DTLINE in front, from the owner of the first target, or
from SENDER where it has none or the message is a bounce.

Targets that only lead to each other make the message bounce. A list must be a
file that everybody can read. At most a million recipients, and 500 targets and
lists within each other.

Environment: RECIPIENT, or DEFAULT, EXT, HOST; SENDER, DTLINE, UFLINE, RPLINE: all
set by qmail-local; QMAILQUEUE replaces qmail-queue.
Files: CDB and the lists it names; relative names are looked for in the home
directory. Nothing needs to be told where they are replaced.
Runs as: the recipient, in alias/.qmail-default as alias.
Exit codes: 0 done, or with -p nothing known; 99 done, with -p; 100 no such
    recipient, refused for good, or usage; 111 try again.
"""

from __future__ import annotations

from qmail.formats import forwardtable
from qmail.formats.options import Wrong, options
from qmail.formats.verdict import FOR_GOOD, PERMANENT, STOP, SUCCESS, TEMPORARY, Ending, Permanent, Temporary, Usage
from qmail.host import program
from qmail.rules import forwardsearch
from qmail.stores import children, forwardfiles, forwarding, home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.rules.forwardsearch import Orders

USAGE = b"fastforward: usage: fastforward [ -nNpPdD ] data.cdb"
NO_MAILBOX = b"Sorry, no mailbox here by that name. (#5.1.1)"
CIRCLE = b"Sorry, that address leads only back to itself. (#5.4.6)"
LINES = (b"UFLINE", b"RPLINE", b"DTLINE")


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        found, words = options(argv[1:], b"nNpPdD")
    except Wrong as wrong:
        program.say(2, b"fastforward: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    if not words:
        raise Usage(USAGE)
    chosen = {letter.lower(): letter.islower() for letter, _ in found}
    shown, passing = chosen.get(b"n", False), chosen.get(b"p", False)
    recipient = _recipient(environ, by_default=chosen.get(b"d", False))
    sender = environ.get(b"SENDER", b"original envelope sender") if shown else _variable(environ, b"SENDER")
    orders = _orders(words[0], recipient, sender)
    if orders is None:
        if passing:
            return SUCCESS
        raise Permanent(NO_MAILBOX, plain=True)
    if not orders:
        raise Permanent(CIRCLE, plain=True)
    if shown:
        _show(orders)
    else:
        _follow(orders, home.find(argv[0], environ), environ)
    return STOP if passing else SUCCESS


def _variable(environ: Mapping[bytes, bytes], name: bytes) -> bytes:
    if name not in environ:
        raise Permanent(b"$" + name + b" must be set")
    return environ[name]


def _recipient(environ: Mapping[bytes, bytes], *, by_default: bool) -> bytes:
    if not by_default:
        return _variable(environ, b"RECIPIENT")
    box = environ.get(b"DEFAULT", environ.get(b"EXT"))
    if box is None:
        raise Permanent(b"$DEFAULT or $EXT must be set")
    return box + b"@" + _variable(environ, b"HOST")


def _orders(path: bytes, recipient: bytes, sender: bytes) -> Orders | None:
    database = forwardfiles.Database(path)
    try:
        return forwardsearch.orders(recipient, sender, database.find, forwardfiles.members)
    except forwardtable.Malformed as wrong:
        raise Temporary(b"unable to read " + path + b": " + str(wrong).encode()) from None
    except forwardsearch.Endless as error:
        raise Permanent(str(error).encode()) from None


def _show(orders: Orders) -> None:
    lines = [program.line(b"run " + command) for command in orders.programs]
    lines.append(program.line(b"from <" + orders.sender + b">") if orders.recipients else b"no forwarding\n")
    lines += (program.line(b"to <" + recipient + b">") for recipient in orders.recipients)
    program.say(1, b"".join(lines))


def _follow(orders: Orders, place: home.Home, environ: dict[bytes, bytes]) -> None:
    # Programs first, as qmail-local does: a failing one forwards nothing.
    for number, command in enumerate(orders.programs):
        if number:
            forwarding.rewind()
        with_lines = command.startswith(forwardtable.PROGRAM_WITH_LINES)
        _run(command[1:], environ, b"".join(_variable(environ, name) for name in LINES) if with_lines else None)
    if orders.recipients:
        if orders.programs:
            forwarding.rewind()
        qp = forwarding.send_on(place, environ, orders.sender, orders.recipients)
        program.say(2, b"fastforward: qp %d\n" % qp)


def _run(command: bytes, environ: dict[bytes, bytes], head: bytes | None) -> None:
    argv = [b"/bin/sh", b"-c", command]
    if head is None:
        code = children.run(argv, environ, unable=TEMPORARY)
    else:
        code = children.feed(b"fastforward", argv, environ, head, unable=TEMPORARY)
    if code in FOR_GOOD:
        raise Ending(code=PERMANENT)
    if code not in (SUCCESS, STOP):
        raise Ending(code=TEMPORARY)
