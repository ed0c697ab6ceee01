"""qmail-getpw: which account of the system owns a local part.

It is asked where users/cdb has no answer. To use other accounts than those of
the system, put another program in its place, with the same output.

Usage: qmail-getpw LOCAL

    $ qmail-getpw joe-lists | xargs -0
    joe 1000 100 /home/joe - lists

Behaviour:
Prints user, uid, gid, home, dash and ext, each followed by a NUL. LOCAL belongs
to the account of that name, or of the longest beginning of it before a hyphen;
ext is what follows the hyphen. Capitals in LOCAL do not count. Accounts with
uid 0, with a capital letter or 32 or more bytes in their name, and those that
do not own their home, or have none, own no address. What nobody owns belongs to
user alias, with all of LOCAL as ext.

Runs as: qmailp.
Faces: strangers' local parts.
Exit codes: 0 there is an answer; 100 usage; 115 a home does not answer now; 116
    there is no user alias; 111 another failure that may pass.
"""

from __future__ import annotations

from qmail.formats import report
from qmail.formats.usersassign import record
from qmail.formats.verdict import PERMANENT
from qmail.host import fds
from qmail.stores import home as homes
from qmail.stores import users


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        return PERMANENT
    try:
        account = users.of_system(homes.find(argv[0], environ), argv[1])
    except users.Unassigned:
        return report.EXIT_NO_ALIAS
    except users.Trouble:
        return report.EXIT_NFS
    fds.write_all(1, record(account))
    return 0
