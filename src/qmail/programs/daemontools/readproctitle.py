"""readproctitle: keep the last words of other programs where ps shows them.

svscan and supervise have nowhere to log their own trouble: a disk may be full.
Their words go here, and the newest are shown by ps, without any file.

Usage: readproctitle WORD... DOTS

    svscan /service 2>&1 | readproctitle service errors: ................

DOTS is one argument of at least five bytes, usually 400 dots (svscanboot). See
what has gone wrong lately with `ps ax | grep [r]eadproctitle`.

Behaviour:
What is read from descriptor 0 appears at the end of DOTS, pushing what was
there to the left. The argument keeps its length, and three dots always stay at
its start. NULs are left out; line ends appear as ps shows them.

Runs as: nobody, where root starts it.
Exit codes: 0 the end of the input; 100 DOTS is missing or too short; 111
    reading failed.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Permanent, Temporary
from qmail.host import fds, identity, title

SHORTEST = 5  # bytes of the last argument
KEPT = b"..."
NOBODY = 65534  # uid and gid, where no user has that name


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    length = len(argv[-1])
    if len(argv) < 2 or length < SHORTEST:
        raise Permanent
    room = length - len(KEPT)
    shown = b"." * room
    title.show_last(KEPT + shown)
    _be_nobody()
    try:
        for chunk in fds.chunks(0):
            shown = (shown + chunk.replace(b"\0", b""))[-room:]
            title.show_last(KEPT + shown)
    except OSError:
        raise Temporary from None
    return 0


def _be_nobody() -> None:
    """Anybody's words come here: root gives itself up, now that its title is open."""
    if os.geteuid():
        return
    import pwd

    try:
        entry = pwd.getpwnam("nobody")
        uid, gid = entry.pw_uid, entry.pw_gid
    except KeyError:
        uid = gid = NOBODY
    try:
        identity.become(uid, gid)
    except OSError:
        pass  # a user namespace without that user: words that nobody reads would stop who says them
