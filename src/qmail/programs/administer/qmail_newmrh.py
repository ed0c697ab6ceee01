"""qmail-newmrh: control/morercpthosts becomes control/morercpthosts.cdb.

For hosts that take mail for many domains: rcpthosts is read by every session, a
compiled file is asked for one name.

Usage: qmail-newmrh

    echo shop.example >> /var/qmail/control/morercpthosts && qmail-newmrh

One host, or `.suffix` of hosts, a line, as in rcpthosts; comments begin with
`#`.

Behaviour:
qmail-smtpd and qmail-qmtpd look there for what is not in rcpthosts, from their
next session on. The file is replaced as a whole or not at all.

Files: control/morercpthosts, control/morercpthosts.cdb,
control/morercpthosts.tmp.
Runs as: root.
Exit codes: 0; 111 control/morercpthosts cannot be read, or the new file cannot
    be written.
"""

from __future__ import annotations

from qmail.formats.domainname import compared
from qmail.stores import home, morelines


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    morelines.compile_lines(home.find(argv[0], environ), b"morercpthosts", lambda lines: map(compared, lines))
    return 0
