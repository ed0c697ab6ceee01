"""What each resident process may do once it has begun its work: the domains of docs/architecture.md.

Control files may be links that lead out of control/: the directories where they lead are part of a domain,
and a process whose domain is out of date is replaced (`Roads`).
"""

from __future__ import annotations

import os
import sys

from qmail.host.sandbox import INTERFACES, INTERNET, LOCAL, Domain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home

# Lists of name servers, and where links to them lead; shared libraries that a late import may load.
_NAME_SERVERS = (b"/etc", b"/run")
_SHARED = (b"/lib", b"/lib64", b"/usr/lib", b"/usr/lib64", b"/usr/local/lib")
# Where the certificates are that links in /etc lead to.
_TRUST = (b"/usr/share/ca-certificates", b"/usr/local/share/ca-certificates", b"/usr/share/pki")


def incoming_smtp(home: Home) -> Domain:
    """A resident qmail-smtpd: control files, and qmail-queued at the other end of a socket."""
    return Domain(reads=[*_control(home), *_library()], families=(*LOCAL, *INTERFACES))


def keys() -> Domain:
    """A qmail-tlsd that has its keys: connections come to it, and it makes none."""
    return Domain(reads=_library())


def outgoing_smtp(home: Home, *, forks: bool = False) -> Domain:
    """A resident qmail-remote: control files, other hosts, and the table of those that do not answer.

    `forks`: it makes processes, which then give that up.
    """
    return Domain(
        reads=[*_control(home), *_library(), *_SHARED, *_NAME_SERVERS],
        writes=[home.file(b"queue/lock")],
        families=(*LOCAL, *INTERFACES, *INTERNET),
        connects=True,
        forks=forks,
    )


def names() -> Domain:
    """Whoever asks name servers."""
    return Domain(
        reads=[*_library(), *_SHARED, *_NAME_SERVERS], families=(*LOCAL, *INTERFACES, *INTERNET), connects=True
    )


def policies(home: Home) -> Domain:
    """qmail-stsd: its cache, and processes of its own that fetch."""
    return Domain(
        reads=[*_control(home), *_of_fetching()],
        changes=[home.file(b"sts")],
        families=(*LOCAL, *INTERFACES, *INTERNET),
        connects=True,
        forks=True,
    )


def fetching() -> Domain:
    """Who fetches a policy for qmail-stsd: other hosts, and whom the system trusts."""
    return Domain(
        reads=_of_fetching(),
        families=(*LOCAL, *INTERFACES, *INTERNET),
        connects=True,
    )


def counting(home: Home) -> Domain:
    """qmail-tlsrptd: its counts."""
    return Domain(reads=_library(), changes=[home.file(b"tlsrpt")])


def recipients() -> Domain:
    """qmail-rcptd: accounts, wherever a name service has them, and what can be seen of homes."""
    return Domain(families=(*LOCAL, *INTERFACES, *INTERNET), connects=True)


def acceptance(home: Home) -> Domain:
    """qmail-queued. It may start itself anew (HUP), from whatever is installed then."""
    return Domain(
        writes=[home.file(b"queue/lock")],
        changes=[*_parts(home, b"pid", b"mess", b"intd", b"todo", b"spare"), home.file(b"qq")],
        families=LOCAL,
        starts=True,
    )


def logins(home: Home, *, asks: bool = False) -> Domain:
    """qmail-authd: the file of passwords, and what hashes them. `asks`: it asks qmail-checkpwd instead."""
    reads = [home.file(b"users"), *_control(home), *_library(), *_SHARED]
    return Domain(reads=reads, families=LOCAL if asks else ())


def cleaning(home: Home) -> Domain:
    """qmail-clean: two pipes and the queue."""
    return Domain(reads=_library(), changes=_parts(home, b"pid", b"mess", b"intd", b"todo"))


def sending(home: Home) -> Domain:
    """qmail-send. It may have to run a queue program that came in the place of ours."""
    parts = _parts(home, b"info", b"local", b"remote", b"bounce", b"bad", b"lock")
    return Domain(changes=[*parts, home.file(b"qs")], families=LOCAL, starts=True)


class Roads:
    """Where the control files stand: watched by whoever keeps processes that are confined to it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._directory = home.file(b"control")
        self._stamp = self._look()
        self._lead = self._find()

    def changed(self) -> bool:
        """Have they moved since this was asked last? To be asked often: it costs one look at the directory."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp, before = stamp, self._lead
        self._lead = self._find()
        return self._lead != before

    def _look(self) -> tuple[int, ...]:
        try:
            status = os.stat(self._directory)
        except OSError:
            return ()
        return status.st_dev, status.st_ino, status.st_mtime_ns

    def _find(self) -> tuple[object, ...]:
        return self._stamp[:2], _control(self._home)


def _control(home: Home) -> list[bytes]:
    directory = home.file(b"control")
    found = {directory}
    try:
        with os.scandir(directory) as entries:
            found |= {os.path.dirname(os.path.realpath(entry.path)) for entry in entries if entry.is_symlink()}
    except OSError:
        pass  # it says so when it reads them
    return sorted(found)


def _of_fetching() -> list[bytes]:
    return [*_library(), *_SHARED, *_NAME_SERVERS, *_TRUST]


def _parts(home: Home, *kinds: bytes) -> list[bytes]:
    # One by one: a part of the queue may be a link to another disk.
    return [home.queue + b"/" + kind for kind in kinds]


def _library() -> list[bytes]:
    # Modules that are loaded late. Nothing there is anybody's secret.
    return [os.fsencode(path) for path in sys.path if path]
