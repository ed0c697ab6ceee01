"""qmail-pop3d: a Maildir by POP3, for a user who has been let in.

Usage: qmail-pop3d MAILDIR

    tcpserver 0 pop3 qmail-popup pop.example.org checkpassword qmail-pop3d Maildir

MAILDIR is relative to the user's home, where the checker has gone.

Behaviour:
Talks POP3 (RFC 1939) on descriptors 0 and 1, after qmail-popup and a checker:
STAT, LIST, UIDL, RETR, TOP, DELE, RSET, LAST, NOOP, QUIT. The messages are
those that were there at the start, oldest first, and only regular files; UIDL
gives their file names. At QUIT, and only then, what was deleted goes and what
was in new/ moves to cur/. Files that deliveries left in tmp/ 36 hours ago are
removed. Each wait for the client ends after 1,200 seconds; a command of more
than 8 KiB is none. Of more than a million messages so many are shown, and the
greeting says so.

Files: MAILDIR/new, MAILDIR/cur, MAILDIR/tmp.
Runs as: the user.
Faces: the network.
Exit codes: 0; 1 run by root.
"""

from __future__ import annotations

import os

from qmail.host import clock, program
from qmail.host.timedio import Conversation
from qmail.protocols import pop3
from qmail.stores import maildrop
from qmail.stores.maildrop import Maildrop

PATIENCE = 1200  # seconds
UNSEEN = pop3.bad(b"unable to open that message")
NO_MAILDIR = pop3.bad(b"this user has no $HOME/Maildir")
UNREADABLE = pop3.bad(b"unable to scan $HOME/Maildir")
CROWDED = pop3.good(b"there are too many messages to show all of them")
NOT_REMOVED = pop3.bad(b"unable to unlink all deleted messages")


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if not os.geteuid():
        program.say(2, b"qmail-pop3d invoked as uid 0, terminating\n")
        return 1
    try:
        os.chdir(argv[1] if len(argv) > 1 else b"")
    except OSError:
        program.say(1, NO_MAILDIR)
        return 0
    now = int(clock.now())
    maildrop.clean(b".", now)
    try:
        store = Maildrop(b".", now)
    except OSError:
        program.say(1, UNREADABLE)
        return 0
    try:
        _Session(store).talk()
    except OSError:
        pass  # the client is gone, or says nothing: then nothing is deleted
    return 0


class _Session:
    """One client and its messages."""

    def __init__(self, store: Maildrop) -> None:
        self._store = store
        self._drop = pop3.Drop(store.sizes, store.names)
        self._client = Conversation(0, 1, PATIENCE)

    def talk(self) -> None:
        """Raises OSError."""
        client, lines = self._client, pop3.Lines()
        client.say(CROWDED if self._store.crowded else pop3.OK)
        while data := client.hear():
            for verb, argument in map(pop3.command, lines.feed(data)):
                if verb == b"quit":
                    self._quit()
                    return
                try:
                    self._obey(verb, argument)
                except pop3.Refused as refused:
                    client.say(refused.answer)

    def _obey(self, verb: bytes, argument: bytes) -> None:
        if verb in (b"retr", b"top"):
            self._show(self._drop.place(argument), pop3.lines_wanted(argument) if verb == b"top" else None)
        else:
            answer = self._drop.answer(verb, argument)
            self._client.say(pop3.UNKNOWN if answer is None else answer)

    def _show(self, place: int, lines: int | None) -> None:
        try:
            pieces = self._store.pieces(place)
        except OSError:
            self._client.say(UNSEEN)
            return
        self._client.say(pop3.OK)
        for piece in pop3.shown(pieces, lines):
            self._client.say(piece)

    def _quit(self) -> None:
        deleted = self._drop.deleted
        if not self._store.remove(deleted):
            self._client.say(NOT_REMOVED)
        self._store.mark_known(place for place in range(len(self._store.sizes)) if place not in deleted)
        self._client.say(pop3.OK)
        self._client.flush()
