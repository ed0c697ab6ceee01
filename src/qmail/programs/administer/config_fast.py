"""config-fast: the first control files, from the name of this host.

Usage: config-fast FQDN

    config-fast mail.example.com

FQDN is the full name of this host.

Behaviour:
Writes the name to control/me, its domain to defaultdomain and plusdomain, and
adds the name to locals and rcpthosts unless it stands there already. Running it
again changes nothing; other control files stay as they are. Mail is then
accepted from the network for FQDN alone: every name that is added to locals or
virtualdomains belongs in rcpthosts too.

Environment: QMAIL_HOME, else the parent of the bin/ that it stands in.
Files: control/: me, defaultdomain, plusdomain, locals, rcpthosts.
Runs as: root, or whoever owns the home.
Exit codes: 0 done; 100 usage, or not a host name; 111 a file cannot be read or
    written.
"""

from __future__ import annotations

from qmail.formats.verdict import Usage
from qmail.host import program
from qmail.stores import configuration, home

USAGE = b"config-fast: usage: config-fast FQDN, such as config-fast mail.example.com"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) != 2:
        raise Usage(USAGE)
    place = home.find(argv[0], environ)
    for name, text in configuration.configure(place.path, argv[1]):
        program.say(1, b"control/" + name + b": " + b", ".join(text.split(b"\n")[:-1]) + b"\n")
    program.say(1, b"SMTP takes mail for rcpthosts alone: what you add to locals or virtualdomains, add there.\n")
    return 0
