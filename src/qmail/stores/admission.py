"""The checkpassword interface (checkpassword(8)): a name and a password in, a program as the user out.

Descriptor 3 has NAME, PASSWORD and TIMESTAMP, each ended by NUL, perhaps more, and then ends. What a client
has typed is never written anywhere: people type passwords where a name belongs.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Permanent, Temporary
from qmail.host import execute, identity, signals
from qmail.host.reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pwd import struct_passwd
    from typing import NoReturn

LONGEST = 512  # bytes on descriptor 3
PATIENCE = 300  # seconds for all of it, then the alarm ends us
UNACCEPTABLE, MISUSED = 1, 2
CLOSED = (b"/etc/nologin", b"/run/nologin", b"/var/run/nologin")


class Request:
    """What the client says."""

    __slots__ = ("name", "password", "stamp")

    def __init__(self, name: bytes, password: bytes, stamp: bytes) -> None:
        self.name, self.password, self.stamp = name, password, stamp


class Account:
    """Who is let in, and where. `variables`: more of them, for the program's environment."""

    __slots__ = ("gid", "home", "name", "shell", "uid", "variables")

    def __init__(self, entry: struct_passwd, home: bytes = b"", variables: Sequence[bytes] = ()) -> None:
        self.name, self.shell = os.fsencode(entry.pw_name), os.fsencode(entry.pw_shell)
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        # Another home may be given, a relative one below the account's.
        self.home = os.path.join(os.fsencode(entry.pw_dir), home) if home else os.fsencode(entry.pw_dir)
        self.variables = variables


def request(argv: Sequence[bytes]) -> Request:
    """Read descriptor 3 to its end. Raises Permanent or Temporary, with the codes of the interface."""
    name = os.path.basename(argv[0])
    if len(argv) < 2:
        raise Permanent(name + b": usage: " + name + b" program [ argument ... ]", code=MISUSED, plain=True)
    signals.alarm(PATIENCE)
    said = b""
    try:
        while len(said) <= LONGEST and (piece := os.read(3, LONGEST + 1 - len(said))):
            said += piece
        os.close(3)
    except OSError as error:
        raise Permanent(b"unable to read descriptor 3: " + reason(error), code=MISUSED) from error
    if len(said) > LONGEST:
        raise Permanent(code=UNACCEPTABLE)
    parts = said.split(b"\0")
    if len(parts) < 4:
        raise Permanent(b"descriptor 3 lacks a name, a password or a time stamp", code=MISUSED)
    if any(os.path.exists(path) for path in CLOSED):
        raise Temporary(b"nobody may log in now, says nologin")
    return Request(*parts[:3])


def admit(account: Account, argv: Sequence[bytes], environ: Mapping[bytes, bytes]) -> NoReturn:
    """Become the user, go home, and run the program. Raises Temporary, except where exec has worked."""
    given = dict(variable.split(b"=", 1) for variable in account.variables if b"=" in variable)
    given |= {b"USER": account.name, b"HOME": account.home, b"SHELL": account.shell}
    try:
        if os.geteuid() == 0 or (account.uid, account.gid) != (os.geteuid(), os.getegid()):
            identity.become(account.uid, account.gid)
    except OSError as error:
        raise Temporary(b"unable to become the user: " + reason(error)) from error
    try:
        os.chdir(account.home)
    except OSError as error:
        raise Temporary(b"unable to go to " + account.home + b": " + reason(error)) from error
    signals.alarm(0)
    try:
        execute.replace(argv[1:], {**environ, **given}, search=environ)
    except OSError as error:
        raise Temporary(b"unable to run " + argv[1] + b": " + reason(error)) from error
