"""Sessions with other hosts, counted for reports (RFC 8460): told to qmail-tlsrptd, which has a file a day in tlsrpt/.

A file is called after its day, UTC: 2026-11-26; its lines are those of formats/tlscount. It is replaced whole.
"""

from __future__ import annotations

import os
import time

from qmail.formats import tlscount
from qmail.host import durable, fds, localsocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home

SOCKET = b"qr/tlsrpt"
LOCK = b"qr/tlsrpt.lock"  # held by the qmail-tlsrptd that listens there
DIRECTORY = b"tlsrpt"
MODE = 0o600  # of the socket
DAYS = 10  # that are kept
MOST_LINES = 20_000  # of a day
MOST_BYTES = 8 * 1024 * 1024  # of a day
MOST_OF_DOMAIN = 100  # lines about one domain that go into details
LARGEST = 2 * MOST_BYTES  # bytes of a file that is read
_NEW = b".new"


def day_of(seconds: float) -> bytes:
    """The UTC day of a moment, as its file is called."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds)).encode()


def read(where: Home, day: bytes) -> dict[bytes, int]:
    """What was counted on a day; nothing where there is no file. Raises OSError."""
    try:
        descriptor = fds.open_to_read(where.file(DIRECTORY) + b"/" + day)
    except FileNotFoundError:
        return {}
    try:
        return tlscount.counts(fds.read_all(descriptor, LARGEST) or b"")
    finally:
        os.close(descriptor)


class Teller:
    """The way to qmail-tlsrptd. Nothing waits and nothing raises: what it does not take is not counted."""

    def __init__(self, where: Home) -> None:
        self._path = where.file(SOCKET)
        self._descriptor = -1

    def tell(self, session: tlscount.Session) -> None:
        """Count a session."""
        try:
            line = tlscount.line(session)
        except tlscount.Broken:
            return
        for fresh in (self._descriptor < 0, True):
            try:
                if self._descriptor < 0:
                    self._descriptor = localsocket.connect(self._path, localsocket.PACKETS)
                os.write(self._descriptor, line)
                return
            except BlockingIOError:
                return  # it has too much to do
            except OSError:
                self.close()
            if fresh:
                return

    def close(self) -> None:
        """Let the connection go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Counts:
    """The counts of today. Only one process may have them."""

    def __init__(self, where: Home) -> None:
        self._home, self._directory = where, where.file(DIRECTORY)
        self._day = b""
        self._counts: dict[bytes, int] = {}
        self._bytes = 0
        self._detailed: dict[bytes, int] = {}  # domains to lines with details
        self.changed = False
        self.lost = 0  # sessions of today that were not counted, there being too many lines

    def count(self, line: bytes, now: float) -> None:
        """One more session like this. Raises tlscount.Broken, or OSError where a day cannot be begun or ended."""
        if (day := day_of(now)) != self._day:
            self._begin(day)
        tlscount.checked(line)
        if line not in self._counts and not self._may_add(line):
            line = tlscount.coarse(line)
            if line not in self._counts and not self._may_add(line):
                self.lost += 1
                return
        self._add(line, 1)
        self.changed = True

    def write(self) -> None:
        """Put it on disk. Raises OSError."""
        if self.changed:
            path = self._directory + b"/" + self._day
            durable.replace_file(path, self._directory + b"/" + _NEW, tlscount.day(self._counts.items()), 0o600)
            self.changed = False

    def _begin(self, day: bytes) -> None:
        self.write()
        found = read(self._home, day)
        self._day, self._counts, self._detailed, self._bytes, self.lost = day, {}, {}, 0, 0
        for line, count in found.items():
            self._add(line, count)
        names = [name for name in os.listdir(self._directory) if name[:1].isdigit()]
        kept = sorted({name[:10] for name in names})[-DAYS:]
        for name in names:
            if name[:10] not in kept:
                durable.remove(self._directory + b"/" + name)

    def _may_add(self, line: bytes) -> bool:
        if len(self._counts) >= MOST_LINES or self._bytes + len(line) > MOST_BYTES:
            return False
        return not _is_detailed(line) or self._detailed.get(_domain(line), 0) < MOST_OF_DOMAIN

    def _add(self, line: bytes, count: int) -> None:
        if line not in self._counts:
            self._bytes += len(line)
            if _is_detailed(line):
                self._detailed[_domain(line)] = self._detailed.get(_domain(line), 0) + 1
        self._counts[line] = self._counts.get(line, 0) + count


def _domain(line: bytes) -> bytes:
    return line.partition(b"\t")[0]


def _is_detailed(line: bytes) -> bool:
    return line.split(b"\t", 4)[3] != b""
