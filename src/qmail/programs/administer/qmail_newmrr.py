"""qmail-newmrr: control/morerelayrecipients becomes control/morerelayrecipients.cdb.

What qmail-newmrh is to hosts, this is to recipients: for those who know very many.

Usage: qmail-newmrr

    ldapsearch ... > /var/qmail/control/morerelayrecipients && qmail-newmrr

One recipient a line, as in relayrecipients: `user@domain`, `user-default@domain`
or `@domain`; comments begin with `#`, and a line without an @ says nothing.

Behaviour:
qmail-rcptd looks there for what is not in relayrecipients, from its next question
on. The file is replaced as a whole or not at all.

Files: control/morerelayrecipients, control/morerelayrecipients.cdb,
control/morerelayrecipients.tmp.
Runs as: root.
Exit codes: 0; 111 control/morerelayrecipients cannot be read, or the new file
    cannot be written.
"""

from __future__ import annotations

from qmail.rules import relayrecipients
from qmail.stores import home, morelines


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    morelines.compile_lines(home.find(argv[0], environ), b"morerelayrecipients", relayrecipients.keys)
    return 0
