"""maildirserial: send the messages of a Maildir on, by a client that knows how.

For hosts that are not always connected: qmail delivers into a Maildir, and this
empties it when there is a line. maildirsmtp and maildirqmtp are the usual ways
to run it.

Usage: maildirserial [-b] [-t SECONDS] DIR PREFIX CLIENT [ARGUMENT...]

    setlock -nx ~/pppdir.lock maildirserial -b -t 1209600 ~/pppdir joe-ppp- \\
    tcpclient -RHl0 mx.example.org 25 serialsmtp joe-ppp- me.example.org

    -b  return messages that are refused for good to their senders, and remove
        them
    -t SECONDS  what is older and refused for now is refused for good

Behaviour:
CLIENT runs in DIR. On descriptor 0 it gets the names of the messages in new/
and cur/, oldest first, each ended by a NUL, but only those with PREFIX at the
beginning of their recipient, which qmail-local wrote into their second line,
Delivered-To. On descriptor 1 it answers for any of them with its name, a NUL, a
letter, a line of words and a line feed. K: the message is taken, and is removed.
D: it is refused for good. Z: it is refused for now, and left until the next run.
What it says of other names does not count.

CLIENT is run again as long as there are messages that it has not answered for;
where it answers for none in three runs, that is given up. A bounce is in
qmail-send's format, and may be bounced itself to doublebounceto; what cannot be
returned stays. Files that deliveries left in tmp/ 36 hours ago are removed. Run
one at a time for a DIR.

Environment: PATH, to find CLIENT; QMAILQUEUE replaces qmail-queue; QMAIL_HOME.
Files: DIR/new, DIR/cur, DIR/tmp; with -b control/: me, bouncefrom, bouncehost,
    doublebounceto, doublebouncehost.
Runs as: the owner of DIR.
Exit codes: 0 nothing is left; 100 usage, or the client said so; 111 something
    is left.
"""

from __future__ import annotations

import os

from qmail.formats import deliverylines
from qmail.formats.options import Wrong, options
from qmail.formats.verdict import PERMANENT, TEMPORARY, Temporary, Usage
from qmail.host import clock, durable
from qmail.host.program import say
from qmail.host.reasons import reason
from qmail.stores import home as homes
from qmail.stores import maildir, maildrop
from qmail.stores.control import leading_digits
from qmail.stores.returning import Returning, Unreturned
from qmail.stores.serialclient import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

USAGE = b"maildirserial: usage: maildirserial [ -b ] [ -t lifetime ] dir prefix client [ arg ... ]"
TRIES = 3  # runs without any answer


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        found, words = options(argv[1:], b"bt:")
    except Wrong as wrong:
        say(2, b"maildirserial: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    if len(words) < 3:
        raise Usage(USAGE)
    home, given = homes.find(argv[0], environ), dict(found)
    try:
        os.chdir(words[0])
    except OSError as error:
        raise Temporary(b"unable to chdir to " + words[0] + b": " + reason(error)) from error
    lifetime = int(leading_digits(given[b"t"]) or b"0") if b"t" in given else None
    returning = Returning(home, environ, b"maildirserial") if b"b" in given else None
    maildrop.clean(b".", int(clock.now()))
    return _Sending(words[1], lifetime, returning).go(words[2:], environ)


class _Sending:
    """One Maildir, the working directory, until nothing can be done any more."""

    def __init__(self, prefix: bytes, lifetime: int | None, returning: Returning | None) -> None:
        self._prefix, self._lifetime, self._returning = prefix, lifetime, returning
        self._left: set[bytes] = set()  # decided, and still there

    def go(self, client: Sequence[bytes], environ: Mapping[bytes, bytes]) -> int:
        """Run the client as often as it takes. Returns the exit code. Raises Temporary."""
        tries = TRIES
        while True:
            names = self._waiting()
            first = next(names, None)
            if first is None:
                return TEMPORARY if self._left else 0
            running = Client(client, environ, _again(first, names))
            tries -= 1
            for name, letter, words in running.reports():
                tries = TRIES
                self._decide(name, letter, words)
            if running.code < 0:
                raise Temporary(b"client crashed")
            if running.code == PERMANENT:
                return PERMANENT
            if not tries:
                raise Temporary(b"making no progress, giving up")

    def _waiting(self) -> Iterator[bytes]:
        """The messages that are to be sent, the oldest first."""
        try:
            found = maildir.waiting(b"")
        except OSError as error:
            raise Temporary(b"unable to read new/ or cur/: " + reason(error)) from error
        return (path for path, _ in found if path not in self._left and self._fits(path))

    def _fits(self, path: bytes) -> bool:
        if not self._prefix:
            return True
        try:
            with open(path, "rb", buffering=0) as file:
                lines = deliverylines.read(file.read(deliverylines.LONGEST) or b"")
        except OSError as error:
            _warn(b"unable to open " + path + b": " + reason(error))
            return False
        return lines is not None and lines.recipient.startswith(self._prefix)

    def _decide(self, name: bytes, letter: bytes, words: bytes) -> None:
        if letter == b"K":
            _inform(name + b" succeeded: " + words)
            self._remove(name, b"message will be delivered twice! unable to unlink ")
            return
        too_old = letter != b"D" and self._is_too_old(name)
        if self._returning is not None and (letter == b"D" or too_old):
            _inform(name + b" bounced: " + words)
            self._give_back(self._returning, name, words, too_old)
            return
        _inform(name + (b" failed: " if letter == b"D" or too_old else b" failed temporarily: ") + words)
        self._left.add(name)

    def _is_too_old(self, name: bytes) -> bool:
        if self._lifetime is None:
            return False
        try:
            return clock.now() > os.stat(name).st_mtime + self._lifetime
        except OSError as error:
            _warn(b"assuming message is still alive; unable to stat " + name + b": " + reason(error))
            return False

    def _give_back(self, returning: Returning, name: bytes, words: bytes, too_old: bool) -> None:
        try:
            number = returning.give_back(name, self._prefix, words, too_old=too_old)
        except (OSError, Unreturned) as error:
            why = reason(error) if isinstance(error, OSError) else os.fsencode(str(error))
            _warn(b"unable to bounce " + name + b": " + why)
            self._left.add(name)
            return
        if number is None:
            _inform(b"discarding " + name + b": triple bounce")
        else:
            _inform(b"returned %b: qp %d" % (name, number))
        self._remove(name, b"message has been bounced but not removed! unable to unlink ")

    def _remove(self, name: bytes, otherwise: bytes) -> None:
        try:
            durable.remove(name)
        except OSError as error:
            _warn(otherwise + name + b": " + reason(error))
            self._left.add(name)


def _again(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def _inform(text: bytes) -> None:
    say(2, b"maildirserial: info: " + text.replace(b"\n", b" ") + b"\n")


def _warn(text: bytes) -> None:
    say(2, b"maildirserial: warning: " + text.replace(b"\n", b" ") + b"\n")
