"""Is there such a recipient? The decisions of qmail-send, qmail-lspawn and qmail-local, by their own functions, unsent.

Whether mail is local is decided as qmail-send does with the control files of now, who answers as qmail-lspawn does
(users/cdb, else the accounts of the system). The .qmail files are searched as qmail-local does, as far as they can
be seen from outside: where not, `OWNER` says that only who owns the home can tell. Of other hosts' recipients
control/relayrecipients may say who is there.
"""

from __future__ import annotations

import os
import stat

from qmail.formats.verdict import Temporary
from qmail.protocols.recipients import TAKEN, TROUBLE, UNKNOWN, UNTOLD
from qmail.rules.routing import LOCAL
from qmail.stores import home as homes
from qmail.stores import userhome, users
from qmail.stores.control import Control
from qmail.stores.relayrecipients import RelayRecipients
from qmail.stores.sendcontrols import FILES, SendControls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from qmail.formats.usersassign import Account
    from qmail.rules.routing import Routes
    from qmail.stores.control import Stamp
    from qmail.stores.home import Home

OWNER: Final = b"?"  # beside the verdicts of protocols.recipients: ask the owner of the home


class Recipients:
    """The recipients of a home. Needs no privilege; what it cannot see counts for nobody."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._control = Control(home.path)
        self._assignments = users.Assignments(home)
        self._stamps: list[Stamp] = []
        self._routes: Routes | None = None
        self._relayed = RelayRecipients(self._control)
        self._programs = [homes.Launcher(home, name) for name in (b"qmail-getpw", b"qmail-local")]

    def verdict(self, recipient: bytes) -> tuple[bytes, bytes, bytes]:
        """(a verdict or OWNER, the local part that a delivery is for, the address where it is elsewhere)."""
        try:
            channel, address = self._routed(recipient)
        except Temporary:
            return TROUBLE, b"", b""
        if channel != LOCAL:
            return self._relayed.verdict(address), b"", address
        local = address.rpartition(b"@")[0]
        if not local:
            return TAKEN, b"", b""
        try:
            who = self._assigned(local)
            if who is None:
                if not self._programs[0].is_own():
                    return UNTOLD, local, b""
                who = users.of_system(self._home, local)
        except users.Trouble:
            return TROUBLE, local, b""
        if who.uid == 0:
            return TROUBLE, local, b""
        return (seen(who) if self._programs[1].is_own() else UNTOLD), local, b""

    def _routed(self, recipient: bytes) -> tuple[int, bytes]:
        stamps = self._control.stamps(FILES)
        if self._routes is None or stamps != self._stamps:
            # Stamps first: what changes while it is read is read again.
            self._routes, self._stamps = None, stamps
            self._routes = SendControls(self._home.path).routes
        return self._routes.route(recipient)

    def _assigned(self, local: bytes) -> Account | None:
        self._assignments.changed()
        return self._assignments.find(local)


def seen(who: Account) -> bytes:
    """What qmail-local would find in this home, as far as we may see: TAKEN, UNKNOWN, UNTOLD or OWNER.

    UNTOLD: the home is not fit for deliveries, which are put off.
    """
    if not who.dash:
        return TAKEN
    try:
        directory = os.open(who.home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return OWNER
    except OSError:
        return UNTOLD
    try:
        mode = os.fstat(directory).st_mode
        if mode & (userhome.WRITABLE | userhome.STICKY):
            return UNTOLD
        return TAKEN if userhome.takes(who.dash, who.ext, lambda name: _is_there(directory, name)) else UNKNOWN
    except _Hidden:
        return OWNER
    finally:
        os.close(directory)


class _Hidden(Exception):
    """Only the owner can tell."""


def _is_there(directory: int, name: bytes) -> bool:
    # Of links, and of what lies deeper, only the owner is to find out where they lead.
    if b"/" in name:
        raise _Hidden
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except OSError as error:
        if error.errno in userhome.ABSENT:
            return False
        raise _Hidden from error
    if stat.S_ISLNK(mode):
        raise _Hidden
    return stat.S_ISREG(mode)
