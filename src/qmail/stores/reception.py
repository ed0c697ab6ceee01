"""The control files that decide on mail coming in by SMTP, as one value (qmail-smtpd(8)).

A file that is there and cannot be read is Temporary, never a default. morercpthosts.cdb is opened with
the others and read at the first recipient that needs it.
"""

from __future__ import annotations

import errno
import os

from qmail.formats import cdb, received
from qmail.formats.verdict import Temporary
from qmail.host import clock
from qmail.host.interfaces import Own
from qmail.protocols import smtpextensions, smtplogin
from qmail.protocols.recipients import surroundings
from qmail.protocols.smtpsite import FIRST, NEVER, OFFERED, Client, Site, Unreadable
from qmail.rules import senders
from qmail.rules.relay import Door
from qmail.stores import usersessions
from qmail.stores.control import Control, leading_digits, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Stamp = tuple[int, int, int, int] | None  # device, inode, size, mtime in nanoseconds; None: missing

MORE = b"morercpthosts.cdb"
FILES = (
    b"me", b"smtpgreeting", b"localiphost", b"timeoutsmtpd", b"rcpthosts", MORE, b"badmailfrom", b"databytes",
    b"senders", b"smtpextensions",
)  # fmt: skip
LONGEST_TIMEOUT = 1_000_000  # seconds
SETTLED = 4  # seconds after which a change of the directory shows in its times, on any file system
LARGEST_MORE = 1 << 28  # bytes of morercpthosts.cdb


def site(control: Control) -> Site:
    """What the control files say now. Raises Temporary where one cannot be read, or none gives a greeting."""
    me = control.line(b"me")
    greeting = control.line(b"smtpgreeting")
    if greeting is None:
        greeting = me
    if greeting is None:
        raise Temporary(b"neither control/smtpgreeting nor control/me")
    local_host = control.line(b"localiphost")
    more = _More.open(control.directory + b"/" + MORE)
    door = Door(
        control.lines(b"rcpthosts"),
        control.lines(b"badmailfrom") or (),
        more=None if more is None else more.lists,
        local_host=me if local_host is None else local_host,
        is_ours=_is_ours,
    )
    timeout = min(max(control.number(b"timeoutsmtpd", 1200), 1), LONGEST_TIMEOUT)
    table = senders.table(control.lines(b"senders") or ())
    return Site(
        greeting, door, control.number(b"databytes", 0), timeout,
        lambda user, sender: senders.may_send_as(table, user, sender, door.accepts),
        smtpextensions.known(control.lines(b"smtpextensions") or ()), usersessions.Submissions(control),
    )  # fmt: skip


def recipients(control: Control) -> Door:
    """Whom mail is taken for, by rcpthosts and morercpthosts.cdb alone. Raises Temporary where one cannot be read."""
    more = _More.open(control.directory + b"/" + MORE)
    return Door(control.lines(b"rcpthosts"), more=None if more is None else more.lists)


def client(environ: Mapping[bytes, bytes], *, tls: bool = False, local: bool = False, carried: bool = True) -> Client:
    """The other end of a connection, as its environment tells it (tcp-environ(5), qmail-smtpd(8)).

    `tls`: somebody is there to speak TLS for us. `local`: it speaks LMTP. `carried`: parameters of MAIL and RCPT reach
    the queue.
    """

    def successor(variables: Mapping[bytes, bytes | None]) -> Client:
        # What the rules say of the proxy is not said of whom it speaks for; and it is believed once.
        gone = {b"RELAYCLIENT", b"XCLIENT", *variables}
        kept = {name: value for name, value in environ.items() if name not in gone}
        said = {name: value for name, value in variables.items() if value is not None}
        return client(kept | said, tls=tls, local=local, carried=carried)

    limit, protocol = environ.get(b"DATABYTES"), environ.get(b"SSL_PROTOCOL")
    login = environ.get(b"SMTPAUTH")
    return Client(
        received.origin(environ),
        environ.get(b"RELAYCLIENT"),
        None if limit is None else int(leading_digits(limit) or b"0"),
        protocol=b"SMTP" if protocol is None else received.secure(protocol, environ.get(b"SSL_CIPHER", b"")),
        tls=NEVER if protocol is not None else FIRST if b"SMTPS" in environ else OFFERED if tls else NEVER,
        login=smtplogin.NEVER if login is None else smtplogin.DEMANDED if b"!" in login else smtplogin.OFFERED,
        surroundings=surroundings(environ),
        environ=environ,
        successor=successor if b"XCLIENT" in environ else None,
        local=local,
        carried=carried,
    )


class Watched:
    """The same for a process that lives longer: read again when a file has changed, come or gone.

    Files that were there are looked at each time. Those that were missing can only come with a change of
    the directory; a directory that has changed just now may change again without showing it, so it is
    believed only when it has been at rest for a while.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._paths = [control.directory + b"/" + name for name in FILES]
        self._stamps: dict[bytes, Stamp] = {}
        self._present: list[tuple[bytes, Stamp]] = []
        self._directory: Stamp = None
        self._site: Site | None = None

    def site(self) -> Site:
        """What the control files say now. Raises Temporary as `site` does."""
        if self._site is not None and self._at_rest():
            return self._site
        directory = _stamp(self._control.directory)
        stamps = {path: _stamp(path) for path in self._paths}
        if self._site is None or stamps != self._stamps:
            # Stamps first: what changes while it is read is read again.
            self._site, self._stamps = None, stamps
            self._site = site(self._control)
        dangling = any(stamp is None and os.path.islink(path) for path, stamp in stamps.items())
        old = directory is not None and directory[3] < (clock.now() - SETTLED) * 1e9
        self._directory = directory if old and not dangling else None
        self._present = [(path, stamp) for path, stamp in stamps.items() if stamp is not None]
        return self._site

    def _at_rest(self) -> bool:
        if self._directory is None or _stamp(self._control.directory) != self._directory:
            return False
        return all(_stamp(path) == stamp for path, stamp in self._present)


_OWN = Own()


def _is_ours(literal: bytes) -> bool:
    try:
        return _OWN(literal)
    except OSError as error:
        raise Unreadable from error


def _stamp(path: bytes) -> Stamp:
    try:
        now = os.stat(path)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise unreadable(path, error) from error
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns


class _More:
    """morercpthosts.cdb, as it was when it was opened."""

    __slots__ = ("_data", "_file")

    def __init__(self, descriptor: int) -> None:
        self._file = open(descriptor, "rb", buffering=0)
        self._data: bytes | None = None

    @classmethod
    def open(cls, path: bytes) -> _More | None:
        """None where the file is missing. Raises Temporary where it cannot be opened."""
        try:
            return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise unreadable(path, error) from error

    def lists(self, name: bytes) -> bool:
        """Is this name a key? Raises Unreadable."""
        try:
            if self._data is None:
                if os.fstat(self._file.fileno()).st_size > LARGEST_MORE:
                    raise Unreadable
                self._data = self._file.readall()
            return cdb.find(self._data, name) is not None
        except (OSError, cdb.Corrupt) as error:
            raise Unreadable from error
