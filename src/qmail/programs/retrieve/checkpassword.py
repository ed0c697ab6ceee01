"""checkpassword: let in who knows the password of an account of the system.

Usage: checkpassword PROGRAM [ARGUMENT...]

    tcpserver 0 pop3 qmail-popup pop.example.org checkpassword qmail-pop3d Maildir

Those who let clients in, such as qmail-popup, run it and tell it on descriptor 3
what the client has said. For passwords of mail's own there is checkpwfile.

Behaviour:
Descriptor 3 has a name, a password and a time stamp, each ended by NUL, in at
most 512 bytes. Where the account of this name has this password, and may log in
now, PROGRAM takes the place of checkpassword: as the user, with the user's main
group and no other, in the user's home, with USER, HOME and SHELL.

Where PAM has a file for the service `qmail`, PAM decides: authentication, then
the account, then its credentials, and what variables they set. No session is
opened. Else /etc/shadow decides: the hash is one of crypt(3), the account has
not expired, and its password has neither expired nor to be changed first.

Refused are uid 0, an account without a password, and one that is locked. A
shell that lets nobody in does not count: accounts for nothing but mail have
one. Where /etc/nologin or /run/nologin is there, nobody is let in for now.
Unknown names cost as much work as known ones. The time stamp says nothing here,
since nobody knows the password itself: there is no APOP.

Environment: TCPREMOTEIP, the client's address, for PAM; PATH, to find PROGRAM.
Files: /etc/shadow; /etc/pam.d/qmail, /usr/lib/pam.d/qmail.
Runs as: root.
Faces: what the network has typed.
Exit codes: 1 not with this name and password; 2 misused; 111 not now; else those
    of PROGRAM.
"""

from __future__ import annotations

from qmail.formats.verdict import Temporary
from qmail.stores import admission, systemlogins


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    asked = admission.request(argv)
    try:
        account = systemlogins.check(asked.name, asked.password, environ.get(b"TCPREMOTEIP", b""))
    except systemlogins.Trouble as trouble:
        raise Temporary(str(trouble).encode()) from trouble
    if account is not None:
        admission.admit(account, argv, environ)
    return admission.UNACCEPTABLE
