"""Fetching policies: each by a process of its own, so that a slow or hostile host holds nobody else up.

Such a process looks the name up, asks the host, writes what came into a pipe, and ends. In the pipe: a letter, T and
the text, or a failure of protocols/policyquery and a line on it.
"""

from __future__ import annotations

import os

from qmail.formats import mtasts
from qmail.host import fds, sandbox, signals
from qmail.host.clock import monotonic
from qmail.host.loop import READ, Loop
from qmail.protocols import policyquery
from qmail.stores import confinement, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qmail.stores.home import Home

LIMIT = 60  # seconds for all of it (RFC 8461 3.3)
STEP = 20  # seconds to connect, and for each piece of the answer
GRACE = 2.0  # seconds behind the limit, after which one that has not ended by itself is killed
PORT = 443
MOST_TRUSTED = 16 * 1024 * 1024  # bytes of control/tlstrust.pem
PATH = "/.well-known/mta-sts.txt"
_TEXT = b"T"


class Fetched:
    """What came: a text, or a failure type (RFC 8460 4.3) and why, for people."""

    __slots__ = ("failure", "text", "why")

    def __init__(self, text: bytes = b"", failure: bytes = b"", why: bytes = b"") -> None:
        self.text, self.failure, self.why = text, failure, why


class Fetch:
    """One that is under way. Raises OSError where there can be no process."""

    def __init__(self, where: Home, environ: Mapping[bytes, bytes], loop: Loop, domain: bytes) -> None:
        self._loop, self._said = loop, b""
        self._done: Callable[[Fetched], None] = lambda _fetched: None
        self.until = monotonic() + LIMIT + GRACE
        self._pipe, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            self._pid = _forked(where, environ, domain, theirs)
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(theirs)
        loop.watch(self._pipe, lambda _events: self._hear(), READ)

    def then(self, done: Callable[[Fetched], None]) -> None:
        """Tell `done` what came, from the loop."""
        self._done = done

    def end(self) -> None:
        """Its time is over, or it has said all that it will."""
        self._loop.forget(self._pipe)
        os.close(self._pipe)
        os.kill(self._pid, signals.KILL)  # it has ended, or should have
        os.waitpid(self._pid, 0)
        self._done(_read(self._said))

    def _hear(self) -> None:
        said = os.read(self._pipe, fds.CHUNK)
        self._said += said
        if not said or len(self._said) > mtasts.LARGEST + 1:
            self.end()


def awaited(where: Home, environ: Mapping[bytes, bytes], domain: bytes) -> Fetched:
    """The policy of one domain, for who has nothing else to do. Raises OSError where there can be no process."""
    loop, found = Loop(), list[Fetched]()
    fetch = Fetch(where, environ, loop, domain)
    fetch.then(found.append)
    while not found:
        loop.round(max(fetch.until - monotonic(), 0))
        if not found and monotonic() >= fetch.until:
            fetch.end()
    loop.close()
    return found[0]


def _read(said: bytes) -> Fetched:
    letter, rest = said[:1], said[1:]
    if letter == _TEXT and len(rest) <= mtasts.LARGEST:
        return Fetched(rest)
    failure, _, why = said.partition(b" ")
    if failure in policyquery.FAILURES:
        return Fetched(failure=failure, why=why)
    return Fetched(failure=policyquery.FETCHING, why=b"no answer within %d seconds" % LIMIT)


def _forked(where: Home, environ: Mapping[bytes, bytes], domain: bytes, pipe: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        signals.restore()
        signals.alarm(LIMIT)  # which ends this process
        fds.close_from(3, keep=(pipe,))
        trusted = _trusted(where)
        sandbox.enter(confinement.fetching())
        fds.write_all(pipe, _fetched(where, environ, domain, trusted))
    finally:
        os._exit(0)


def _trusted(where: Home) -> bytes | None:
    """Certificates that may have signed the host's; None where they cannot be read.

    Read before this process is confined: control/ has passwords, too, and who speaks to the host is not to see them.
    """
    try:
        descriptor = fds.open_to_read(where.file(b"control/tlstrust.pem"))
    except FileNotFoundError:
        return b""
    except OSError:
        return None
    try:
        return fds.read_all(descriptor, MOST_TRUSTED)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _fetched(where: Home, environ: Mapping[bytes, bytes], domain: bytes, trusted: bytes | None) -> bytes:
    """What goes into the pipe."""
    if trusted is None:
        return policyquery.FETCHING + b" control/tlstrust.pem cannot be read"
    from qmail.host import https

    host = b"mta-sts." + domain
    port = environ.get(b"STSPORT", b"")
    try:
        text = https.text(
            names.Names(where, environ).addresses(host), int(port) if port.isdigit() else PORT, host.decode(), PATH,
            trusted=trusted, largest=mtasts.LARGEST, seconds=STEP,
        )  # fmt: skip
    except https.Untrusted as error:
        return policyquery.CERTIFICATE + b" " + _line(error)
    except https.Failed as error:
        return policyquery.FETCHING + b" " + _line(error)
    except (names.Unknown, names.Unanswered):
        return policyquery.FETCHING + b" the name of its host cannot be found"
    try:
        mtasts.policy(text)
    except mtasts.Broken as error:
        return policyquery.INVALID + b" " + _line(error)
    return _TEXT + text


def _line(error: Exception) -> bytes:
    # Perhaps in the host's own words: none of them is to move the cursor of whoever reads the log.
    return "".join(each if each.isprintable() else "?" for each in str(error))[:200].encode("ascii", "backslashreplace")
