"""Addresses from arguments or from descriptor 0, put on a list or taken off it (ezmlm-sub, ezmlm-unsub)."""

from __future__ import annotations

from qmail.formats import subscriber
from qmail.formats.verdict import PERMANENT, SUCCESS, Permanent, Temporary
from qmail.host import fds, program
from qmail.host.reasons import reason
from qmail.stores import subscribers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qmail.stores.listdir import MailingList

    Named = tuple[bytes, bytes]  # an address, and what the Log says of it

AT_ONCE = 10_000  # addresses for one writing of the files
LONGEST_LINE = 4096  # bytes


def change_all(name: bytes, mlist: MailingList, words: Sequence[bytes], event: bytes, *, named: bool) -> int:
    """Do what ezmlm-sub and ezmlm-unsub do; the exit code. `words` are the arguments behind DIR."""
    database, given = split(words)
    wrong = False
    batch: list[Named] = []
    for address, comment in _arguments(given, named) if given else _lines(named):
        if not subscriber.fit(address, hosts=database in subscribers.OF_WRITERS):
            program.say(2, program.line(name + b": warning: no address: " + address))
            wrong = True
            continue
        batch.append((address, comment))
        if len(batch) == AT_ONCE:
            _apply(mlist, database, batch, event)
            batch = []
    _apply(mlist, database, batch, event)
    return PERMANENT if wrong else SUCCESS


def split(words: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
    """The database, which has no @ in its name, and the rest. Raises Permanent."""
    if not words or b"@" in words[0]:
        return b"", words
    database = words[0].rstrip(b"/")
    return (b"" if database == b"." else database), words[1:]


def _apply(mlist: MailingList, database: bytes, batch: Sequence[Named], event: bytes) -> None:
    if batch:
        subscribers.change(mlist, database, [one for one, _ in batch], event, [comment for _, comment in batch])


def _arguments(words: Sequence[bytes], named: bool) -> Iterable[Named]:
    if not named:
        return [(word, b"") for word in words]
    return [(words[at], b"".join(words[at + 1 : at + 2])) for at in range(0, len(words), 2)]


def _lines(named: bool) -> Iterator[Named]:
    rest = b""
    try:
        for chunk in fds.chunks(0):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from _read(lines, named)
            if len(rest) > LONGEST_LINE:
                raise Permanent(b"a line of more than %d bytes" % LONGEST_LINE)
        yield from _read([rest], named)
    except OSError as error:
        raise Temporary(b"unable to read input: " + reason(error)) from error


def _read(lines: Iterable[bytes], named: bool) -> Iterator[Named]:
    for line in lines:
        line = line.strip()
        if not line or line.startswith(b"#"):
            continue
        address, _, comment = line.partition(b" ") if named else (line, b"", b"")
        yield address, comment.strip()
