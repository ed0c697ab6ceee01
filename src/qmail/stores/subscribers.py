"""Who is on a list: the files in DIR/subscribers, and in those of its other databases (ezmlm(5)).

A database is a directory below DIR with a subscribers/ of its own: digest, allow, deny, mod; b"" is the list itself.
Files are replaced as a whole under the list's lock, so that every reader, and every crash, sees the old or the new one.
"""

from __future__ import annotations

import os

from qmail.formats import subscriber
from qmail.formats.verdict import Temporary
from qmail.host import clock, durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qmail.stores.listdir import MailingList

OF_WRITERS = (b"allow", b"deny")  # databases where `@HOST` stands for everybody there
LARGEST = 64 * 1024 * 1024  # bytes of one of the 53 files

_IN_LOG = bytes(byte if 33 <= byte < 127 else ord("?") for byte in range(256))
_IN_COMMENT = bytes(byte if 32 <= byte < 127 else ord(" ") if byte == 9 else ord("?") for byte in range(256))


def below(database: bytes, name: bytes) -> bytes:
    """The name of a database's file as one of the list's."""
    return database + b"/" + name if database else name


def contains(mlist: MailingList, database: bytes, address: bytes) -> bool:
    """Is this address, whatever its case, in the database? Raises Temporary."""
    wanted = address.lower()
    if database in OF_WRITERS and not wanted.startswith(b"@"):
        host = b"@" + wanted.rpartition(b"@")[2]
        if contains(mlist, database, host):
            return True
    return any(
        wanted in {each.lower() for each in _read(mlist, database, place)} for place in subscriber.places(address)
    )


def everyone(mlist: MailingList, database: bytes) -> Iterator[bytes]:
    """Every address, one file after the other. Raises Temporary."""
    for place in subscriber.FILES:
        yield from _read(mlist, database, place)


def count(mlist: MailingList, database: bytes) -> int:
    """How many there are. Raises Temporary."""
    return sum(1 for _ in everyone(mlist, database))


def change(
    mlist: MailingList, database: bytes, addresses: Sequence[bytes], event: bytes, comments: Sequence[bytes] = ()
) -> list[bytes]:
    """Add addresses (`event` begins with `+`) or take them away (`-`); which of them that was news for.

    Those go into the database's Log too, each with its comment. Raises Temporary.
    """
    adding = event.startswith(b"+")
    descriptor = mlist.lock(below(database, b"lock"))
    try:
        files = _Files(mlist, database)
        act = files.add if adding else files.remove
        changed = [(act(subscriber.canonical(address)), at) for at, address in enumerate(addresses)]
        files.write()
        news = [at for done, at in changed if done]
        _log(mlist, database, [(addresses[at], comments[at] if comments else b"") for at in news], event)
        return [addresses[at] for at in news]
    finally:
        os.close(descriptor)


class _Files:
    """The files that a change touches, each read once and written once."""

    def __init__(self, mlist: MailingList, database: bytes) -> None:
        self._mlist, self._database = mlist, database
        self._found: dict[bytes, dict[bytes, bytes]] = {}  # by place: small letters to address
        self._changed: set[bytes] = set()

    def add(self, address: bytes) -> bool:
        """Put it where new ones go, unless it stands somewhere."""
        places = subscriber.places(address)
        if any(address.lower() in self._file(place) for place in places):
            return False
        self._file(places[0])[address.lower()] = address
        self._changed.add(places[0])
        return True

    def remove(self, address: bytes) -> bool:
        """Take it away wherever it stands."""
        there = [place for place in subscriber.places(address) if address.lower() in self._file(place)]
        for place in there:
            del self._file(place)[address.lower()]
        self._changed.update(there)
        return bool(there)

    def write(self) -> None:
        """Make the change durable. Raises Temporary."""
        directory = below(self._database, b"subscribers")
        try:
            if self._changed and not os.path.isdir(self._mlist.file(directory)):
                os.mkdir(self._mlist.file(directory), 0o700)
                durable.sync_directory(self._mlist.file(below(self._database, b".")))
            for place in sorted(self._changed):
                path = self._mlist.file(directory) + b"/" + place
                durable.replace_file(path, path + b"n", subscriber.records(self._found[place].values()), 0o600)
        except OSError as error:
            raise self._mlist.unwritable(directory, error) from error

    def _file(self, place: bytes) -> dict[bytes, bytes]:
        if place not in self._found:
            self._found[place] = {each.lower(): each for each in _read(self._mlist, self._database, place)}
        return self._found[place]


def _read(mlist: MailingList, database: bytes, place: bytes) -> list[bytes]:
    name = below(database, b"subscribers/" + place)
    try:
        with open(mlist.file(name), "rb", buffering=0) as file:
            text = file.readall() if os.fstat(file.fileno()).st_size <= LARGEST else None
    except FileNotFoundError:
        return []
    except OSError as error:
        raise mlist.unreadable(name, error) from error
    if text is None:
        raise Temporary(mlist.file(name) + b" is larger than 64 MiB")
    try:
        return subscriber.addresses(text)
    except ValueError:
        raise Temporary(mlist.file(name) + b" is damaged: it is no file of subscribers") from None


def _log(mlist: MailingList, database: bytes, news: Iterable[tuple[bytes, bytes]], event: bytes) -> None:
    # Advisory: nothing is undone where it cannot be written.
    now = int(clock.now())
    lines = [
        b"%d %b %b%b\n"
        % (now, event, address.translate(_IN_LOG), b" " + comment.translate(_IN_COMMENT) if comment else b"")
        for address, comment in news
    ]
    try:
        descriptor = durable.open_append(mlist.file(below(database, b"Log")))
        try:
            os.write(descriptor, b"".join(lines))
        finally:
            os.close(descriptor)
    except OSError:
        pass
