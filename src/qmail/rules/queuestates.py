"""The lawful states of a message in the queue, and what can be done about the others without guessing.

    S1  nothing                      S4  mess, todo (intd; whatever else there is, is stale)
    S2  mess                         S5  mess, info (local, remote, bounce)
    S3  mess, intd

S4 and S5 are accepted: nothing of them may be lost. S2 and S3 never were: they go when nothing has touched them
for 36 hours. A file that more than one name leads to loses nothing with one of them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ASIDE, REMOVE, CUT, RENUMBER = "aside", "remove", "cut", "renumber"
SAYS = {
    ASIDE: b"set aside in bad/",
    REMOVE: b"remove",
    CUT: b"keep what makes sense, and set the whole aside in bad/",
    RENUMBER: b"give the message the number of its inode",
}
STATE = (b"info", b"local", b"remote", b"bounce")
CHANNELS = (b"local", b"remote")
ARRIVAL = (b"intd", b"mess")


class File:
    """One file of a message. `sense`: it can be read to its end; `left`: it names a recipient to be served."""

    __slots__ = ("inode", "left", "links", "old", "sense")

    def __init__(
        self, inode: int, *, links: int = 1, old: bool = False, sense: bool = True, left: bool = False
    ) -> None:
        self.inode, self.links, self.old, self.sense, self.left = inode, links, old, sense, left


class Fault:
    """What is wrong with message `number`: a sentence, what to do, and to which of its files."""

    __slots__ = ("kinds", "number", "remedy", "what")

    def __init__(self, number: int, what: bytes, remedy: str, kinds: Iterable[bytes]) -> None:
        self.number, self.what, self.remedy, self.kinds = number, what, remedy, tuple(kinds)


def faults(number: int, files: Mapping[bytes, File]) -> Iterator[Fault]:
    """What is wrong with the files, by kind, of one number."""
    if b"todo" in files:
        yield from _accepted(number, files)
    elif b"info" in files:
        yield from _queued(number, files)
    else:
        yield from _dead(number, files)


def _accepted(number: int, files: Mapping[bytes, File]) -> Iterator[Fault]:
    arrival = [kind for kind in (b"todo", b"intd", b"mess") if kind in files]
    if b"mess" not in files:
        yield Fault(number, b"todo/%d has no message" % number, ASIDE, [*arrival, *_of(files, STATE)])
    elif not files[b"todo"].sense:
        yield Fault(number, b"todo/%d makes no sense" % number, ASIDE, [*arrival, *_of(files, STATE)])
    elif files[b"mess"].inode != number:
        yield _other(number, files[b"mess"].inode)


def _queued(number: int, files: Mapping[bytes, File]) -> Iterator[Fault]:
    if b"mess" not in files:
        yield Fault(number, b"info/%d has no message" % number, ASIDE, _of(files, STATE))
        return
    if not files[b"info"].sense:
        yield Fault(number, b"info/%d names no sender" % number, ASIDE, [b"mess", *_of(files, STATE)])
        return
    for kind in _of(files, CHANNELS):
        if not files[kind].sense:
            yield Fault(number, b"%b/%d has records that make no sense" % (kind, number), CUT, [kind])
    if b"intd" in files and files[b"intd"].old:
        yield Fault(number, b"intd/%d is left of a message that was taken over" % number, REMOVE, [b"intd"])
    if files[b"mess"].inode != number:
        yield _other(number, files[b"mess"].inode)


def _dead(number: int, files: Mapping[bytes, File]) -> Iterator[Fault]:
    second = [kind for kind in (*_of(files, STATE), *_of(files, ARRIVAL)) if files[kind].links > 1]
    if second:
        yield Fault(number, b"%b/%d is a second name" % (second[0], number), REMOVE, second)
    files = {kind: file for kind, file in files.items() if kind not in second}
    state = _of(files, STATE)
    if any(files[kind].left or not files[kind].sense for kind in state) or b"bounce" in state:
        what = b"%b/%d has no info/%d, so that nobody knows its sender" % (state[0], number, number)
        yield Fault(number, what, ASIDE, [*state, *_of(files, [b"mess"])])
        return
    if state:
        yield Fault(number, b"%b/%d is left of a finished message" % (state[0], number), REMOVE, state)
    arrival = _of(files, ARRIVAL)
    if arrival and all(files[kind].old for kind in arrival):
        yield Fault(number, b"%b/%d was never accepted, or is finished" % (arrival[-1], number), REMOVE, arrival)


def _other(number: int, inode: int) -> Fault:
    return Fault(number, b"mess/%d has inode %d, as after a restored backup" % (number, inode), RENUMBER, [b"mess"])


def _of(files: Mapping[bytes, File], kinds: Iterable[bytes]) -> list[bytes]:
    return [kind for kind in kinds if kind in files]
