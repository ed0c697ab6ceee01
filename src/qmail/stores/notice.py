"""What a sender is told about his message: of failures in qmail's words, and where he asked for it as a report.

Reports are messages for programs as well (RFC 3464, RFC 6522): first what a person reads, then what became of each
recipient, then the message, or its header alone: of what did not fail, of what he wanted no more of (RFC 3461 4.3), and
of what must not travel without TLS (RFC 8689 5).
"""

from __future__ import annotations

import os

from qmail.formats import bounce, deliverystatus
from qmail.formats.mailparameters import Parameters
from qmail.formats.received import date
from qmail.host import clock, fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qmail.formats.bounce import Bounce
    from qmail.formats.deliverystatus import Fate
    from qmail.stores.bouncers import Names
    from qmail.stores.queue import Queue

NOTHING = Parameters()
LONGEST_HEADER = 256 * 1024  # bytes that are given back of one
_ACTIONS = {bounce.FAILURE: deliverystatus.FAILED, bounce.DELAY: deliverystatus.DELAYED}


class Notice:
    """What is to be told of message `number`. `subject`: FAILURE, DELAY or SUCCESS of formats.bounce.

    `text`: paragraphs about failures or delays; None: they stand in bounce/N. `fates`: successes. `stamp`: the message,
    where it does not stay in the queue until the notice is taken: another one may have its number then.
    """

    __slots__ = ("asked", "fates", "number", "sender", "stamp", "subject", "text")

    def __init__(
        self,
        number: int,
        sender: bytes,
        asked: Parameters | None,
        *,
        subject: bytes = bounce.FAILURE,
        text: bytes | None = None,
        fates: Sequence[Fate] = (),
    ) -> None:
        self.number, self.sender, self.asked = number, sender, asked
        self.subject, self.text, self.fates = subject, text, fates
        self.stamp: int | None = None

    @property
    def onward(self) -> Parameters | None:
        """What the notice itself asks for: to travel as the message had to."""
        return Parameters(requiretls=True) if self.asked is not None and self.asked.requiretls else None


class Writer:
    """Writes notices. `names`: who tells; `shown`: a recipient as the sender knows it."""

    def __init__(self, queue: Queue, names: Names, shown: Callable[[bytes], bytes]) -> None:
        self._queue, self._names, self._shown = queue, names, shown

    def stamp(self, number: int) -> int:
        """By which a message is told from a later one of its number. Raises OSError."""
        return os.stat(self._queue.file(b"mess", number)).st_mtime_ns  # it is never written to again

    def pieces(self, notice: Notice, words: Bounce) -> Iterator[bytes]:
        """The message, read as it is sent. Raises OSError where the queue cannot be read, or the message is gone."""
        names = self._names
        with open(fds.open_to_read(self._queue.file(b"mess", notice.number)), "rb", buffering=0) as message:
            if notice.stamp is not None and os.fstat(message.fileno()).st_mtime_ns != notice.stamp:
                raise FileNotFoundError
            if notice.asked is not None or names.reports:
                yield from self._report(notice, words, message.fileno())
                return
            yield words.head(date(int(clock.now())), names.local, names.host)
            yield from self._paragraphs(notice)
            yield words.middle()
            yield from fds.chunks(message.fileno())

    def _report(self, notice: Notice, words: Bounce, message: int) -> Iterator[bytes]:
        names, asked = self._names, notice.asked or NOTHING
        parts = deliverystatus.Parts(b"%d.%b" % (notice.number, os.urandom(12).hex().encode()))
        header_only = notice.subject != bounce.FAILURE or asked.requiretls or asked.ret == b"HDRS"
        yield words.header(date(int(clock.now())), names.local, names.host, notice.subject) + parts.header()
        yield parts.begin(b"text/plain; charset=utf-8") + words.greeting(names.host, subject=notice.subject)
        yield from self._paragraphs(notice)
        yield words.below(header_only=header_only) + parts.begin(b"message/delivery-status")
        arrival = date(int(os.fstat(message).st_mtime))
        yield deliverystatus.message_fields(names.host, asked.envid, arrival)
        known = asked.renamed(self._shown)
        for fate in notice.fates or deliverystatus.fates(self._paragraphs(notice), _ACTIONS[notice.subject]):
            yield deliverystatus.recipient_fields(fate, known.of(fate.recipient).orcpt)
        yield parts.begin(b"text/rfc822-headers" if header_only else b"message/rfc822") + words.return_path()
        chunks = fds.chunks(message)
        yield from deliverystatus.header_only(chunks, LONGEST_HEADER) if header_only else chunks
        yield parts.end()

    def _paragraphs(self, notice: Notice) -> Iterator[bytes]:
        """What a person reads of each recipient."""
        if notice.fates:
            yield from map(deliverystatus.paragraph, notice.fates)
        elif notice.text is not None:
            yield notice.text
        else:
            with open(fds.open_to_read(self._queue.file(b"bounce", notice.number)), "rb", buffering=0) as file:
                yield from fds.chunks(file.fileno())
