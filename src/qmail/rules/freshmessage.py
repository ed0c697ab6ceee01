"""A message in its first attempt (`rules.firstattempt`), and what its channels become when it leaves that."""

from __future__ import annotations

from qmail.rules.outcome import DONE, FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from qmail.formats.deliverystatus import Fate
    from qmail.formats.mailparameters import Parameters
    from qmail.rules.destination import Destination
    from qmail.rules.job import Job

    class Attempts(Protocol):
        """All first attempts."""

        def ended(self, fresh: Fresh, key: int, recipient: bytes, outcome: int, report: bytes) -> None:
            """A delivery of this message ended."""

        def begin_waiting(self, fresh: Fresh, key: int, now: float) -> None:
            """A recipient that waited at a destination is delivered to."""


RUNNING = 1  # a recipient's result, beside DONE, DEFERRED, FAILED and 0: untouched
ENDED = bytes((DONE, FAILED))

# Where a message is.
TRYING, LISTED, PREPARED, QUEUED, COMPLETE = range(5)


class Fresh:
    """A message in its first attempt. `recipients`: (channel, address) in the envelope's order."""

    __slots__ = (
        "_late", "attempts", "came", "failures", "heirs", "hurried", "number", "parameters", "place", "recipients",
        "results", "running", "sender", "stage", "started", "successes", "telling", "untold", "untouched", "waiting",
    )  # fmt: skip
    last_try = False

    def __init__(
        self,
        number: int,
        sender: bytes,
        recipients: Sequence[tuple[int, bytes]],
        parameters: Parameters | None = None,
    ) -> None:
        self.number, self.sender, self.recipients, self.parameters = number, sender, recipients, parameters
        self.results = bytearray(len(recipients))
        self.failures: list[bytes] = []  # reports of those that failed, as paragraphs
        self.successes: list[Fate] = []  # those that the sender wants to hear of
        self.telling = False  # some of them are being told
        self.stage = TRYING
        self.hurried = False  # its next attempt is wanted at once
        self.untold = False  # its failures were not taken, and have to be written down
        self.came = 0.0
        self.started = 0.0  # when its first delivery began; 0: none yet
        self.place: Destination | None = None  # where recipients of it wait, or did last
        self.waiting = 0  # how many wait at destinations
        self.heirs: dict[int, Heir] = {}  # by channel, once it is QUEUED
        self.attempts: Attempts | None = None
        self.untouched, self.running = len(recipients), 0  # not tried yet; deliveries under way
        self._late: list[tuple[int, bytes, int, bytes]] = []

    @property
    def waits(self) -> bool:
        """Does who waits at a destination do so still? Else it is a matter of its files."""
        return self.stage == TRYING

    def recipient(self, key: int) -> bytes:
        """One that waits."""
        return self.recipients[key][1]

    def begin(self, key: int, now: float, wall: int) -> None:
        """A recipient that waited at a destination is delivered to."""
        assert self.attempts is not None
        self.attempts.begin_waiting(self, key, now)

    @property
    def touched(self) -> bool:
        """Was any recipient tried?"""
        return any(self.results)

    @property
    def complete(self) -> bool:
        """Is every recipient delivered to or failed for good?"""
        return not self.results.strip(ENDED)

    def ended(self, key: int, recipient: bytes, outcome: int, report: bytes) -> None:
        """A delivery of this message ended (see `Job`)."""
        self.running -= 1
        if self.stage == PREPARED:
            # The files say that it still runs; they are marked once they count.
            self._late.append((key, recipient, outcome, report))
        elif self.stage == QUEUED:
            self.heirs[self.recipients[key][0]].inherit(key, recipient, outcome, report)
        else:
            self.results[key] = outcome
            if self.attempts is not None:
                self.attempts.ended(self, key, recipient, outcome, report)

    def queued(self, heirs: dict[int, Heir]) -> None:
        """Its own files count from now on; these take the results that come."""
        self.stage = QUEUED
        self.heirs = heirs
        for key, recipient, outcome, report in self._late:
            heirs[self.recipients[key][0]].inherit(key, recipient, outcome, report)
        self._late.clear()


class Heir:
    """What a channel of a message became: a pass over its file, and where in the file each recipient stands."""

    __slots__ = ("_job", "_positions")

    def __init__(self, job: Job, positions: Mapping[int, int]) -> None:
        self._job, self._positions = job, positions

    def inherit(self, key: int, recipient: bytes, outcome: int, report: bytes) -> None:
        """The recipient known as `key` to the fresh message ended."""
        self._job.ended(self._positions[key], recipient, outcome, report)


class Places:
    """One channel of a message whose files are written, as the first attempt left it.

    `tried`: where in the file those stand that run or were put off, by key. `untried`: are there others to do?
    """

    __slots__ = ("tried", "untried")

    def __init__(self) -> None:
        self.tried: dict[int, int] = {}
        self.untried = False


def records(fresh: Fresh) -> tuple[tuple[bytes, bytes], tuple[Places, Places]]:
    """What local/N and remote/N are to say now, and where their recipients are. Of many recipients no copy is made."""
    texts = bytearray(), bytearray()
    places = Places(), Places()
    for key, (channel, recipient) in enumerate(fresh.recipients):
        result, text, place = fresh.results[key], texts[channel], places[channel]
        if result in ENDED:
            text += b"D"
        else:
            if result:
                place.tried[key] = len(text)
            else:
                place.untried = True
            text += b"T"
        text += recipient
        text += b"\0"
    # A channel with nothing left to do has no file.
    local, remote = (
        bytes(text) if place.tried or place.untried else b"" for text, place in zip(texts, places, strict=True)
    )
    return (local, remote), places
