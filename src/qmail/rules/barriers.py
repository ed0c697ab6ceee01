"""How a batch becomes durable in the least time: for whom it waits, and by which calls. Both are learnt from the disk.

A barrier costs nearly the same for one message as for many, so a batch that waits a little for those who were there
a moment ago serves them all in one. And whether one syncfs(2) is quicker than a few fsyncs depends on the file
system. Neither changes what is durable when somebody is told so. Times are seconds.
"""

from __future__ import annotations

SLOW, EACH, RATE = 0.05, 0.03, 20e6  # a disk may take so long, so much for each file, and so many bytes a second
RATIO = 20  # after a slow syncfs there is none for so many times as long
LEAST_REST, LONGEST_REST = 1.0, 300.0
AFTER_ERROR = 10.0

WORTH = 0.0003  # a commit that took less is not worth waiting for others
LONGEST_WAIT = 0.02

EVERY = 16  # batches between two trials of the other way
ENOUGH = 4  # trials before it may be preferred
BETTER = 0.9  # so much of the time it must take at most


class Rest:
    """After a slow syncfs there is none for a while: whoever writes much to that disk would hold up all mail.

    Nor is there after one that failed: it tells of everybody's errors, an fsync only of those of its file.
    """

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = 0.0

    def over(self, now: float) -> bool:
        """May there be one now?"""
        return now >= self._until

    def took(self, begin: float, end: float, files: int = 1, size: int = 0) -> None:
        """There was one for so many files, with so many bytes that had not been written before."""
        if end - begin > SLOW + files * EACH + size / RATE:
            self._until = end + min(max(RATIO * (end - begin), LEAST_REST), LONGEST_REST)

    def failed(self, now: float) -> None:
        """There was one, and it failed."""
        self._until = now + AFTER_ERROR


class Trials:
    """Two ways to do the same: which takes less time? The other one is tried now and then, so that changes are seen."""

    __slots__ = ("_count", "_mean", "_tries", "_way")

    def __init__(self) -> None:
        self._way = False  # the second one is preferred
        self._count = 0
        self._mean = [0.0, 0.0]
        self._tries = [0, 0]

    def next(self) -> bool:
        """Is it to be done the second way this time?"""
        self._count = (self._count + 1) % EVERY
        return self._way if self._count else not self._way

    def took(self, way: bool, seconds: float) -> None:
        """It was done this way, and took so long."""
        self._tries[way] += 1
        # One long wait for somebody else does not decide.
        known = self._mean[way] or self._mean[not way]
        seconds = min(seconds, 2 * known) if known else seconds
        self._mean[way] += (seconds - self._mean[way]) / min(self._tries[way], EVERY)
        other = not self._way
        if self._tries[other] >= ENOUGH and self._mean[other] < BETTER * self._mean[self._way]:
            self._way = other


class Gathering:
    """Whether a batch waits for more messages: for as many as there were lately, and not for longer than a commit."""

    __slots__ = ("_expected", "_patience", "_until")

    def __init__(self) -> None:
        self._expected, self._patience, self._until = 1, 0.0, 0.0

    def begun(self, now: float) -> None:
        """The first message of a batch is there."""
        self._until = now + self._patience

    def wait(self, count: int, now: float) -> float:
        """How long a batch of `count` messages waits still; 0: it is to be committed."""
        if count >= self._expected:
            return 0.0
        return max(self._until - now, 0.0)

    def committed(self, count: int, came: int, took: float) -> None:
        """A batch of `count` was; `came`: so many others are there, from others, since it began."""
        # One batch that was smaller by chance is not taken for the end of a rush.
        self._expected = max(count + came, self._expected - 1)
        self._patience = 0.0 if took < WORTH else min(took, LONGEST_WAIT)
