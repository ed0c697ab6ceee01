"""POP3, the server's side (RFC 1939): commands out of a stream, a session's maildrop, a message on the wire."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

LONGEST_LINE = 8192  # bytes of a command; the rest of a longer one is passed over
OK = b"+OK \r\n"
END = b".\r\n"


def good(text: bytes) -> bytes:
    """A positive answer."""
    return b"+OK " + text + b"\r\n"


def bad(text: bytes) -> bytes:
    """A negative answer."""
    return b"-ERR " + text + b"\r\n"


SYNTAX = bad(b"syntax error")
UNKNOWN = bad(b"unimplemented")


class Refused(Exception):
    """A command that cannot be obeyed. `answer`: what to say."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer


class Lines:
    """Lines out of a stream, without their ends."""

    __slots__ = ("_rest", "_skipping")

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that these bytes complete; one that is too long says nothing, but has its place."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self._skipping or len(line) > LONGEST_LINE:
                self._skipping = False
                yield b""
            else:
                yield line.removesuffix(b"\r")
        if len(self._rest) > LONGEST_LINE:
            self._skipping, self._rest = True, b""


def command(line: bytes) -> tuple[bytes, bytes]:
    """A command as its verb, in lower case, and its argument. A NUL ends what counts of a line."""
    verb, _, argument = line.partition(b"\0")[0].partition(b" ")
    return verb.lower(), argument.lstrip(b" ")


class Drop:
    """The messages of one session, numbered from 1; deletions are only marks until the end (RFC 1939 3, 5).

    `sizes` in bytes, `names` for UIDL: both in the order of the numbers.
    """

    def __init__(self, sizes: Sequence[int], names: Sequence[bytes]) -> None:
        self._sizes, self._names = sizes, names
        self.deleted: set[int] = set()  # places, from 0
        self._last = 0

    def answer(self, verb: bytes, argument: bytes) -> bytes | None:
        """What to say to a command, or None where it is none of this maildrop's. Raises Refused."""
        act = _ACTS.get(verb)
        return None if act is None else act(self, argument)

    def place(self, argument: bytes) -> int:
        """The place of the message that a number means. Raises Refused."""
        digits = len(argument) - len(argument.lstrip(b"0123456789"))
        if not digits:
            raise Refused(SYNTAX)
        number = int(argument[: min(digits, 18)])
        if not number:
            raise Refused(bad(b"messages are counted from 1"))
        if number > len(self._sizes) or digits > 18:
            raise Refused(bad(b"not that many messages"))
        if number - 1 in self.deleted:
            raise Refused(bad(b"already deleted"))
        return number - 1

    def _stat(self, _argument: bytes) -> bytes:
        left = sum(size for place, size in enumerate(self._sizes) if place not in self.deleted)
        return good(b"%d %d" % (len(self._sizes), left))

    def _list(self, argument: bytes) -> bytes:
        return self._each(argument, lambda place: b"%d %d" % (place + 1, self._sizes[place]))

    def _uidl(self, argument: bytes) -> bytes:
        return self._each(argument, lambda place: b"%d %b" % (place + 1, self._names[place]))

    def _each(self, argument: bytes, line: Callable[[int], bytes]) -> bytes:
        if argument:
            return good(line(self.place(argument)))
        lines = [line(place) + b"\r\n" for place in range(len(self._sizes)) if place not in self.deleted]
        return OK + b"".join(lines) + END

    def _dele(self, argument: bytes) -> bytes:
        place = self.place(argument)
        self.deleted.add(place)
        self._last = max(self._last, place + 1)
        return OK

    def _rset(self, _argument: bytes) -> bytes:
        self.deleted.clear()
        self._last = 0
        return OK

    def _last_one(self, _argument: bytes) -> bytes:
        return good(b"%d" % self._last)

    def _noop(self, _argument: bytes) -> bytes:
        return OK


_ACTS: Mapping[bytes, Callable[[Drop, bytes], bytes]] = {
    b"stat": Drop._stat,
    b"list": Drop._list,
    b"uidl": Drop._uidl,
    b"dele": Drop._dele,
    b"rset": Drop._rset,
    b"last": Drop._last_one,  # RFC 1460
    b"noop": Drop._noop,
}


def lines_wanted(argument: bytes) -> int | None:
    """How many lines of the body TOP asks for (RFC 1939 7); None, all of them, where its second number is missing."""
    words = argument.split(None, 1)
    count = words[1] if len(words) > 1 else b""
    digits = len(count) - len(count.lstrip(b"0123456789"))
    return int(count[: min(digits, 18)]) if digits else None


def shown(pieces: Iterable[bytes], lines: int | None = None) -> Iterator[bytes]:
    """A message as it goes out: CR LF, dots doubled, an empty line and the final dot; at most `lines` of its body."""
    fresh = True  # at the beginning of a line
    for piece in pieces if lines is None else _top(pieces, lines):
        if piece:
            stuffed = piece.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
            yield b"." + stuffed if fresh and piece.startswith(b".") else stuffed
            fresh = piece.endswith(b"\n")
    yield (b"" if fresh else b"\r\n") + b"\r\n" + END


def _top(pieces: Iterable[bytes], lines: int) -> Iterator[bytes]:
    in_header, fresh = True, True
    for piece in pieces:
        at = 0
        while at < len(piece):
            if not in_header and fresh and not lines:
                yield piece[:at]
                return
            end = piece.find(b"\n", at)
            if end < 0:
                fresh = False
                break
            if in_header:
                in_header = not (fresh and end == at)
            else:
                lines -= 1
            fresh, at = True, end + 1
        yield piece
