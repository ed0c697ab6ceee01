"""checkpwfile: let in who knows a password of users/passwords.

For people who read mail here and have no account, and for passwords that are
good for nothing but mail. `qmail password` sets them.

Usage: checkpwfile PROGRAM [ARGUMENT...]

    tcpserver 0 pop3 qmail-popup pop.example.org checkpwfile qmail-pop3d Maildir

It takes the place of checkpassword, for programs that run it alike.

Behaviour:
Descriptor 3 has a name, a password and a time stamp, each ended by NUL, in at
most 512 bytes. Where users/passwords has this name with this password, PROGRAM
takes the place of checkpwfile: as the account that the file names, with its
main group and no other, in the home that the file names, with USER (the
account), HOME and SHELL. The file and its kinds of hashes are described in
passwords(5).

Refused are uid 0, and logins that are locked. Where /etc/nologin or
/run/nologin is there, nobody is let in for now. Unknown names cost as much work
as known ones. There is no APOP: nobody here knows the password itself. In
single-user mode PROGRAM runs as the user that everything runs as.

Environment: PATH, to find PROGRAM; QMAIL_HOME.
Files: users/passwords.
Runs as: root.
Faces: what the network has typed.
Exit codes: 1 not with this name and password; 2 misused; 111 not now; else those
    of PROGRAM.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary
from qmail.stores import admission, passwords
from qmail.stores import home as homes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.passwordfile import Login
    from qmail.stores.home import Home


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    home = homes.find(argv[0], environ)
    asked = admission.request(argv)
    try:
        login = passwords.PasswordFile(home).check(asked.name, asked.password)
    except passwords.Trouble as trouble:
        raise Temporary(str(trouble).encode()) from trouble
    account = _account(home, login) if login is not None else None
    if account is not None:
        admission.admit(account, argv, environ)
    return admission.UNACCEPTABLE


def _account(home: Home, login: Login) -> admission.Account | None:
    """Whom the program becomes; nobody with uid 0. Raises Temporary where there is no such account."""
    import pwd

    name = login.account or login.name
    try:
        entry = pwd.getpwuid(os.geteuid()) if home.single else pwd.getpwnam(os.fsdecode(name))
    except (KeyError, ValueError):
        raise Temporary(b"users/passwords names an account that is not there") from None
    return admission.Account(entry, login.home) if entry.pw_uid else None
