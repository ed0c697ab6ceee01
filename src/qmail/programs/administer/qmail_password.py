"""qmail-password: set a password in users/passwords.

Usage: qmail-password [-a ACCOUNT] [-d HOME] NAME
       qmail-password -r NAME

    qmail password joe
    qmail password -a vmail -d /home/vmail/ann ann@example.org

NAME is what the user types to log in. Who is in the file may read mail by POP3
with checkpwfile, and needs no account of the system.

    -a ACCOUNT  the account that the user's programs run as (default: the one
                called NAME)
    -d HOME     the directory that they start in, absolute or below the home of
                ACCOUNT (default: that home)
    -r          remove NAME, who cannot log in any more

Behaviour:
The password is asked for twice, unseen, at the terminal; where descriptor 0 is
no terminal, it is the first line there, asked for once. It may have up to 255
bytes. What is kept is a hash, argon2id where argon2-cffi is installed and else
what crypt(3) prefers, and the keys of SCRAM-SHA-256, never the password itself.

A NAME that is there already keeps its account and home where none is given.
The file is made where it is missing, with mode 600; it is replaced as a whole
or not at all, keeps its owner, and has its comments left as they are. Two who
set passwords at one time wait for each other. Accounts with uid 0 are refused.

Files: users/passwords, users/passwords.lock, users/passwords.tmp.
Runs as: root, or the owner of users/passwords.
Exit codes: 0; 100 usage, a NAME that cannot be one, no such account, two
    different passwords or an empty one; 111 the file cannot be read or
    written.
"""

from __future__ import annotations

import os

from qmail.formats import passwordfile
from qmail.formats.options import Wrong, options
from qmail.formats.passwordfile import Login
from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import program, terminal
from qmail.stores import home as homes
from qmail.stores import passwords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home
    from qmail.stores.passwords import PasswordFile

USAGE = b"qmail-password: usage: qmail-password [ -r ] [ -a account ] [ -d home ] name"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        found, words = options(argv[1:], b"a:d:r")
    except Wrong as wrong:
        program.say(2, b"qmail-password: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    given = dict(found)
    if len(words) != 1 or (b"r" in given and len(given) > 1):
        raise Usage(USAGE)
    home, name = homes.find(argv[0], environ), words[0]
    if not passwordfile.may_be_name(name):
        raise Permanent(b"a name has at most 128 bytes, no colon, and does not begin with #")
    file = passwords.PasswordFile(home)
    try:
        before = file.find(name) if os.path.exists(file.path) else None
        if b"r" in given:
            if before is None:
                raise Permanent(b"there is no " + name + b" in " + file.path)
            file.remove(name)
        else:
            _set(file, _login(home, name, before, given))
    except passwords.Trouble as trouble:
        raise Temporary(os.fsencode(str(trouble))) from trouble
    return 0


def _login(home: Home, name: bytes, before: Login | None, given: dict[bytes, bytes]) -> Login:
    """The login without its password. Raises Permanent where nobody could become its account."""
    login = before or Login(name, b"")
    login.account = given.get(b"a", login.account)
    login.home = given.get(b"d", login.home)
    if any(byte in field for field in (login.account, login.home) for byte in (b":", b"\n")):
        raise Permanent(b"an account and a home have no colon")
    if not home.single:
        import pwd

        account = login.account or name
        try:
            if not pwd.getpwnam(os.fsdecode(account)).pw_uid:
                raise Permanent(account + b" has uid 0, and reads no mail here")
        except KeyError:
            raise Permanent(b"there is no account " + account + b"; name one with -a") from None
    return login


def _set(file: PasswordFile, login: Login) -> None:
    if not os.isatty(0):
        password = terminal.line(0, passwordfile.LONGEST_PASSWORD)
    else:
        password = terminal.secret(b"Password for " + login.name + b": ", passwordfile.LONGEST_PASSWORD)
        if terminal.secret(b"The same again: ", passwordfile.LONGEST_PASSWORD) != password:
            raise Permanent(b"these were two passwords; nothing has changed")
    if not password:
        raise Permanent(b"an empty password, or one of more than 255 bytes, is none; nothing has changed")
    file.set(login, password)
