"""A Maildir as POP3 serves it: what was there at the start, read, removed, and put to what is known (maildir(5))."""

from __future__ import annotations

import os
import stat

from qmail.formats import maildirname
from qmail.host import durable, fds
from qmail.stores import maildir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LEFT_BEHIND = 36 * 3600  # seconds after which a file in tmp/ is nobody's any more


class Maildrop:
    """The messages of a Maildir, oldest first; those of this very second may still have company to come.

    Raises OSError where new/ or cur/ cannot be listed.
    """

    def __init__(self, directory: bytes, now: int) -> None:
        self._directory = directory
        self.paths: list[bytes] = []
        self.sizes: list[int] = []
        found = maildir.waiting(directory + b"/")
        self.crowded = len(found) == maildir.MOST  # there may be more
        for path, changed in found:
            if int(changed) < now:
                try:
                    size = os.stat(path).st_size
                except FileNotFoundError:
                    continue
                self.paths.append(path)
                self.sizes.append(size)

    @property
    def names(self) -> Sequence[bytes]:
        """What identifies each message for ever, whatever happens to its flags."""
        return [maildirname.unique(os.path.basename(path)) for path in self.paths]

    def pieces(self, place: int) -> Iterator[bytes]:
        """A message's bytes. Raises OSError, at once where it cannot be opened."""
        descriptor = os.open(self.paths[place], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError
        return _pieces(descriptor)

    def remove(self, places: Iterable[int]) -> bool:
        """Remove these messages. False: at least one could not be, or was gone."""
        whole = True
        for place in sorted(places):
            try:
                whole = durable.remove(self.paths[place]) and whole
            except OSError:
                whole = False
        return whole

    def mark_known(self, places: Iterable[int]) -> None:
        """Those that were new are so no longer: from new/ to cur/, under a name that nothing else has there.

        First all of them are in both places, and that is durable; only then do they leave new/.
        """
        moved = []
        for place in places:
            directory, name = os.path.split(self.paths[place])
            if os.path.basename(directory) == b"new":
                try:
                    durable.link(self.paths[place], self._directory + b"/cur/" + name + maildirname.INFO)
                    moved.append(self.paths[place])
                except OSError:
                    pass  # it stays new
        if moved:
            try:
                durable.sync_directory(self._directory + b"/cur")
                for path in moved:
                    durable.remove(path)
            except OSError:
                pass  # a message that is there twice is better than one that is nowhere


def clean(directory: bytes, now: int) -> None:
    """Remove from tmp/ what deliveries have left behind. Never fails."""
    try:
        for entry in os.scandir(directory + b"/tmp"):
            if not entry.name.startswith(b".") and now - entry.stat(follow_symlinks=False).st_mtime > LEFT_BEHIND:
                durable.remove(entry.path)
    except OSError:
        pass  # somebody else may be cleaning too


def _pieces(descriptor: int) -> Iterator[bytes]:
    try:
        yield from fds.chunks(descriptor)
    finally:
        os.close(descriptor)
