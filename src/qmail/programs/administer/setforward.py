"""setforward: make a forwarding database for fastforward.

Usage: setforward CDB TMP

    setforward forward.cdb forward.tmp < forward

Standard input is a table of instructions, each a target, a colon, commands with
commas between them, and a semicolon:

    root@a.example: sue@b.example, bill@c.example;
    @d.example: joe@b.example;     # everybody at one host
    info@: joe@b.example;          # one name at every host
    list@a.example: ?owner-list@a.example, /home/joe/list.bin;
    weather@a.example: |weather-server\\ -x;

    &ADDRESS  a recipient, with its host; the & may be left out where ADDRESS
              begins with none of these marks
    /FILE     (or ./FILE) a binary mailing list: see setmaillist, newinclude
    |COMMAND  a program, which gets the message
    !COMMAND  a program, which finds UFLINE, RPLINE and DTLINE in front of it
    ?ADDRESS  the owner of the target: mail leaves in this name

How they are followed is in the manual of fastforward.

Behaviour:
Blanks and line ends mean nothing, also within words; a backslash makes the next
byte a part of the word, whatever it is. From a # to the end of its line is a
comment. Targets are compared without regard to case. Of several instructions
for a target the first counts, but its owner may stand in one of its own. NUL is
not permitted. An address may have 800 bytes, the table 256 MiB.

CDB is replaced by a rename of TMP, on the same file system: fastforward sees
the old instructions or the new ones, whole. It can be read by everybody. Where
the table is wrong CDB stays as it was.

Files: CDB, a constant database; TMP is left where it cannot be written or moved.
Runs as: whoever may write there.
Exit codes: 0; 100 usage, or a table that makes no sense; 111 a file cannot be
    read, written or moved.
"""

from __future__ import annotations

from qmail.formats import forwardtable
from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import fds
from qmail.host.reasons import reason
from qmail.stores import forwardfiles

USAGE = b"setforward: usage: setforward data.cdb data.tmp"
LARGEST = 1 << 28  # bytes of instructions


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 3:
        raise Usage(USAGE)
    try:
        text = fds.read_all(0, LARGEST)
    except OSError as error:
        raise Temporary(b"unable to read input: " + reason(error)) from error
    if text is None:
        raise Permanent(b"unable to read input: more than 256 MiB")
    try:
        forwardfiles.replace_database(argv[1], argv[2], forwardtable.records(text))
    except forwardtable.Malformed as wrong:
        raise Permanent(str(wrong).encode()) from None
    return 0
