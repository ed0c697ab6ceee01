"""A message of a Maildir that cannot be sent on goes back to its sender, in QSBMF (formats.bounce)."""

from __future__ import annotations

import os

from qmail.formats import bounce, deliverylines
from qmail.formats.received import date
from qmail.host import clock, fds
from qmail.stores import bouncers, submission
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.stores.home import Home

TOO_OLD = b"The message has waited too long; it is not tried again.\n"


class Unreturned(Exception):
    """It cannot be returned now; the text says why."""


class Returning:
    """Returns messages from Maildirs in the name of `program`. Raises Temporary where control files cannot be read."""

    def __init__(self, home: Home, environ: Mapping[bytes, bytes], program: bytes) -> None:
        self._home, self._environ, self._program = home, environ, program
        self._names = bouncers.names(Control(home.path))

    def give_back(self, path: bytes, prefix: bytes, words: bytes, *, too_old: bool) -> int | None:
        """Return a message, because of these words (one line). The number that the log knows the notice by.

        None: nobody is to be told, since it tells of a notice itself. Raises Unreturned and OSError.
        """
        with open(path, "rb", buffering=0) as file:
            lines = deliverylines.read(os.pread(file.fileno(), deliverylines.LONGEST, 0))
            if lines is None:
                raise Unreturned("bad file format")
            if lines.sender == bounce.DOUBLE:
                return None
            notice = bounce.Bounce(lines.sender, self._names.postmaster)
            away = submission.begin(self._home, self._environ)
            names = self._names
            away.write(notice.head(date(int(clock.now())), names.local, names.host, self._program))
            report = words + b"\n" + (TOO_OLD if too_old else b"")
            away.write(bounce.paragraph(lines.recipient.removeprefix(prefix), report) + notice.middle())
            file.seek(lines.size)
            for piece in fds.chunks(file.fileno()):
                away.write(piece)
        outcome = away.finish(notice.envelope_sender, [notice.recipient])
        if said := submission.words(outcome):
            raise Unreturned("qq failed: " + os.fsdecode(said[1:]))
        return outcome.qp
