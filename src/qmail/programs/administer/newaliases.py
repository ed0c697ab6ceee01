"""newaliases: make a forwarding database for fastforward from /etc/aliases.

Usage: newaliases [FILE]

    newaliases                     /etc/aliases becomes /etc/aliases.cdb
    newaliases /home/joe/aliases   /home/joe/aliases becomes /home/joe/aliases.cdb

It takes effect by a line in alias/.qmail-default, which answers for what no user
and no other alias does:

    | fastforward -d /etc/aliases.cdb

Where no .qmail file in alias/ runs fastforward nothing would read the database:
then newaliases without FILE says so, does nothing, and exits 100.

FILE has one instruction a line, an alias and who gets its mail:

    # a comment
    postmaster: joe
    sales: sue@b.example, Bill Smith <bill@c.example> (new),
       ann
    info@a.example: joe (at one host)
    (the rest of that host) @a.example: sue
    staff: :include:/etc/staff
    owner-staff: ann
    weather: "|weather-server -x"

A comment begins with # as the first byte of a line; remarks elsewhere stand in
parentheses. Lines that begin with a blank, and empty ones, go on with the line
before, also with a comment.

Behaviour:
Addresses are read as in header fields; those with special characters need
quotes. Recipients without a host, or with an incomplete one, are completed as by
qmail-inject; aliases are not: without a host they answer for all hosts. Upper and
lower case are the same in aliases. Of several instructions for one alias the
first counts. An address without a host that begins with | is a program, which
finds UFLINE, RPLINE and DTLINE in front of the message. For an :include: file the
list that newinclude makes of it is read at each delivery (/etc/staff.bin); it
must be readable for everybody. An alias owner-NAME is the owner of NAME: mail to
NAME leaves in its name. Files as recipients are refused: .qmail files can do that.

FILE.cdb is replaced by a rename of FILE.tmp: fastforward sees the old database
or the new one, whole. It can be read by everybody. Where a line is wrong
FILE.cdb stays as it was. `printforward < FILE.cdb` shows what it has. FILE may
have 64 MiB, an address 800 bytes. Two newaliases at the same time are not kept
apart.

Environment: QMAILDEFAULTHOST, QMAILDEFAULTDOMAIN, QMAILPLUSDOMAIN replace the
    control files.
Files: FILE, by default /etc/aliases; FILE.cdb; FILE.tmp is left where it cannot
    be moved; control/: me, defaulthost, defaultdomain, plusdomain; .qmail files in
    alias/.
Runs as: whoever may write there.
Exit codes: 0; 100 nothing runs fastforward, or an address is too long; 111 a line
    that cannot be understood, or a file that cannot be read, written or moved.
"""

from __future__ import annotations

from qmail.formats import forwardtable
from qmail.formats.verdict import Permanent, Temporary
from qmail.rules import aliases
from qmail.rules.rewriting import Unparsable
from qmail.stores import completion, forwardfiles, home
from qmail.stores.control import Control

ALIASES = b"/etc/aliases"
LARGEST = 64 << 20  # bytes of FILE


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    place = home.find(argv[0], environ)
    if len(argv) < 2 and not forwardfiles.in_use(place.file(b"alias")):
        raise Permanent(
            b"nothing reads " + ALIASES + b".cdb: put `| fastforward -d " + ALIASES + b".cdb` into "
            + place.file(b"alias/.qmail-default") + b" first"
        )  # fmt: skip
    name = argv[1] if len(argv) > 1 else ALIASES
    hosts = completion.hosts(Control(place.path), environ)
    text = forwardfiles.text(name, LARGEST)
    try:
        forwardfiles.replace_database(name + b".cdb", name + b".tmp", aliases.records(text, hosts))
    except Unparsable as wrong:
        raise Temporary(b"unable to parse this line: " + wrong.text) from None
    except aliases.Unsupported as wrong:
        raise Temporary(wrong.text) from None
    except forwardtable.Malformed as wrong:
        raise Permanent(str(wrong).encode()) from None
    return 0
