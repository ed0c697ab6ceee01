"""qmail-pw2u: the system's accounts as lines for users/assign.

With them mail no longer depends on how fast, or how reachable, the list of
accounts is.

Usage: qmail-pw2u [-/ohHuUC] [-cCHAR] < /etc/passwd > users/assign

    -o      skip accounts without a home (default)
    -h      stop where a home does not exist
    -H      do not look at homes
    -u      allow capital letters in names
    -U      do not (default)
    -C      no extension addresses
    -cCHAR  CHAR instead of - before the extension
    -/      home/.qmail-/ext instead of home/.qmail-ext

Run qmail-newu afterwards, and both again when accounts change.

Behaviour:
Prints the assignments that qmail-getpw would make. Skipped are accounts with
uid 0, with a capital letter in their name (not with -u), and those whose home
does not exist or is not their own. A line for user alias gets what nobody else
does.

Files: in users/, where they exist:
    include    only these accounts
    exclude    not these
    mailnames  `user:name:name...`, instead of the account's own name
    subusers   `sub:user:pre:`, more addresses, handled by .qmail-pre
    append     lines added at the end
Runs as: root.
Exit codes: 0; 100 usage; 111 no usable user alias in the input, or a file
    cannot be read.
"""

from __future__ import annotations

import os

from qmail.formats.options import Wrong, options
from qmail.formats.verdict import Permanent, Temporary
from qmail.host import fds
from qmail.stores import home as homes
from qmail.stores.control import Control, leading_digits, unreadable

LARGEST = 256 * 1024 * 1024  # bytes of input


class Wishes:
    """What the options say."""

    def __init__(self, words: list[bytes]) -> None:
        self.homes, self.capitals, self.hyphen, self.dash = b"o", False, b"-", b"-"
        try:
            letters, _ = options(words, b"/ohHuUCc:")
        except Wrong as wrong:
            raise Permanent(b"qmail-pw2u: " + wrong.text, plain=True) from None
        for letter, argument in letters:
            if letter in b"ohH":
                self.homes = letter
            elif letter in b"uU":
                self.capitals = letter == b"u"
            elif letter == b"/":
                self.dash = b"-/"
            else:
                self.hyphen = argument[:1] if letter == b"c" else b""


class Users(Control):
    """The files in users/ that shape the result; names in them match in any case."""

    def __init__(self, home: bytes) -> None:
        super().__init__(home)
        self.directory = home + b"/users"
        try:
            self.include = _names(self.lines(b"include"))
            self.exclude = _names(self.lines(b"exclude")) or frozenset()
            self.mailnames = dict(_split(line) for line in reversed(self.lines(b"mailnames") or []))
            self.subusers = self.lines(b"subusers") or []
            self.append = self.text(b"append") or b""
        except Temporary:
            raise Temporary(b"unable to read controls") from None


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    wishes = Wishes(argv[1:])
    users = Users(homes.find(argv[0], environ).path)
    text = fds.read_all(0, LARGEST)
    if text is None:
        raise Temporary(b"unable to read input: it is larger than 256 MiB")
    accounts: dict[bytes, bytes] = {}
    lines, _, last = text.rpartition(b"\n")
    fds.write_all(1, _assign(lines.split(b"\n"), wishes, users, accounts))
    printed = _assign([last], wishes, users, accounts)
    if b"alias" not in accounts:
        raise Temporary(b"unable to find alias user")
    printed += b"".join(_subuser(line, wishes, accounts) for line in users.subusers) + users.append
    fds.write_all(1, printed + (b".\n" if printed.endswith(b"\n") or not printed else b"\n.\n"))
    return 0


def _assign(lines: list[bytes], wishes: Wishes, users: Users, accounts: dict[bytes, bytes]) -> bytes:
    # The assignments of these lines of the input; their accounts are added to `accounts`.
    printed: list[bytes] = []
    for line in lines:
        account = _account(line, wishes, users)
        if account is None:
            continue
        user, fields = account
        accounts.setdefault(user.lower(), fields)
        if user == b"alias":
            printed.append(b"+:%b:%b::\n" % (fields, wishes.dash))
        for name in users.mailnames.get(user.lower(), [user]):
            printed.append(b"=%b:%b:::\n" % (name, fields))
            if wishes.hyphen:
                printed.append(b"+%b%b:%b:%b::\n" % (name, wishes.hyphen, fields, wishes.dash))
    return b"".join(printed)


def _account(line: bytes, wishes: Wishes, users: Users) -> tuple[bytes, bytes] | None:
    # The name, and `user:uid:gid:home`, of an account that gets mail.
    fields = line.split(b":")
    if len(fields) < 7 or b"\0" in line:
        return None
    user, uid, gid, place = fields[0], fields[2], fields[3], fields[5]
    number = int(leading_digits(uid) or b"0")
    if not number or (not wishes.capitals and user != user.lower()):
        return None
    if users.include is not None and user.lower() not in users.include:
        return None
    if user.lower() in users.exclude or (wishes.homes != b"H" and not _lives(place, number, wishes.homes == b"h")):
        return None
    if not user:
        return None  # looked at only now, as where a missing home ends everything
    return user, b":".join((user, uid, gid, place))


def _lives(place: bytes, uid: int, needed: bool) -> bool:
    # Is this the home of that uid? `needed`: a missing one ends everything.
    try:
        return os.stat(place).st_uid == uid
    except FileNotFoundError:
        if needed:
            raise Temporary(b"unable to stat " + place) from None
        return False
    except OSError as error:
        raise unreadable(place, error) from error


def _names(lines: list[bytes] | None) -> frozenset[bytes] | None:
    return None if lines is None else frozenset(line.lower() for line in lines)


def _split(line: bytes) -> tuple[bytes, list[bytes]]:
    user, _, names = line.partition(b":")
    return user.lower(), names.split(b":")


def _subuser(line: bytes, wishes: Wishes, accounts: dict[bytes, bytes]) -> bytes:
    fields = line.split(b":")
    if len(fields) < 4:
        raise Temporary(b"bad format in users/subusers")
    sub, user, pre = fields[:3]
    if user.lower() not in accounts:
        raise Temporary(b"unable to find " + user + b" user for subuser")
    account = accounts[user.lower()]
    printed = b"=%b:%b:%b:%b:\n" % (sub, account, wishes.dash, pre)
    if wishes.hyphen:
        printed += b"+%b%b:%b:%b:%b-:\n" % (sub, wishes.hyphen, account, wishes.dash, pre)
    return printed
