"""control/relayrecipients and control/morerelayrecipients.cdb, read again when they have changed."""

from __future__ import annotations

import errno
import os

from qmail.formats import cdb
from qmail.formats.verdict import Temporary
from qmail.host import fds
from qmail.protocols.recipients import TAKEN, TROUBLE, UNKNOWN
from qmail.rules import relayrecipients
from qmail.stores.control import unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.control import Control, Stamp

LIST, MORE = b"relayrecipients", b"morerelayrecipients.cdb"
LARGEST_MORE = 1 << 28  # bytes of morerelayrecipients.cdb


class RelayRecipients:
    """The recipients that other hosts are said to have."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._stamps: list[Stamp] | None = None
        self._listed: frozenset[bytes] = frozenset()
        self._more: bytes | None = None

    def verdict(self, address: bytes) -> bytes:
        """TAKEN, UNKNOWN, or TROUBLE where a file cannot be read."""
        try:
            self._look()
            known = relayrecipients.knows(self._lists, address)
        except (Temporary, cdb.Corrupt):
            return TROUBLE
        return UNKNOWN if known is False else TAKEN

    def _look(self) -> None:
        stamps = self._control.stamps((LIST, MORE))
        if stamps != self._stamps:
            # Stamps first: what changes while it is read is read again.
            self._stamps = None
            self._listed = frozenset(relayrecipients.keys(self._control.lines(LIST) or ()))
            self._more = _whole(self._control.directory + b"/" + MORE)
            self._stamps = stamps

    def _lists(self, key: bytes) -> bool:
        return key in self._listed or (self._more is not None and cdb.find(self._more, key) is not None)


def _whole(path: bytes) -> bytes | None:
    """A database, None where it is missing. Raises Temporary."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            large = os.fstat(descriptor).st_size > LARGEST_MORE
            data = None if large else fds.read_all(descriptor, LARGEST_MORE)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise unreadable(path, error) from error
    if data is None:
        raise Temporary(path + b" is larger than 256 MiB (#4.3.0)")
    return data
