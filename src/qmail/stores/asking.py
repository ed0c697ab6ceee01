"""Asking about recipients (protocols/recipients), from a loop that must not wait, or waiting for one answer.

Whoever does not answer costs nobody his mail: what is not answered in time is UNTOLD. What is STANDING is TAKEN,
and for a second it is not asked again: when mail comes quickly, much of it is for the same people.
"""

from __future__ import annotations

import os

from qmail.host import fds, localsocket
from qmail.host.clock import monotonic
from qmail.protocols import recipients
from qmail.protocols.recipients import LONGEST, STANDING, TAKEN, UNTOLD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.host.loop import Loop
    from qmail.stores.home import Home

    Told = Callable[[bytes], None]

RECIPIENTS = b"qp/rcpt"  # where qmail-rcptd listens
HOMES = b"ql/homes"  # where qmail-lspawn does, for qmail-rcptd alone
CHECKS, HOPS = b"qc/check", b"qr/verify"  # where qmail-checkd and qmail-verifyd do, for qmail-rcptd alone
PATIENCE = 2  # seconds for an answer
# Those whom qmail-rcptd asks in its turn answer in WITHIN seconds, or are given up while it can still answer.
WITHIN, BEHIND = 1.5, 1.75
PAUSE = 10.0  # seconds without questions after one who has said nothing for so long
MOST_WAITING = 4096  # questions under way
STANDS = 1.0  # seconds
MOST_STANDING = 1000  # recipients who are remembered


class Asker:
    """One kept connection. `path`: the socket. `patience`: seconds for an answer."""

    def __init__(self, loop: Loop, path: bytes, patience: float = PATIENCE) -> None:
        self._loop, self._path, self._patience = loop, path, patience
        self._descriptor = -1
        self._reader = recipients.Answers()
        self._waiting: dict[int, tuple[float, bytes, Told]] = {}  # tag: when what was asked, and who wants to know
        self._tag = 0
        self._heard = 0.0  # when the other side said something
        self._not_before = 0.0
        self._standing: dict[bytes, float] = {}  # recipient to when to ask again

    def ask(self, text: bytes, told: Told) -> None:
        """`told` gets the verdict, from the loop or at once."""
        if self._standing and self._standing.get(text.partition(b"\0")[0], 0.0) > monotonic():
            told(TAKEN)
            return
        if len(text) > LONGEST or len(self._waiting) >= MOST_WAITING or not self._connected():
            told(UNTOLD)
            return
        self._tag = self._tag + 1 & 0xFFFFFFFF
        self._waiting[self._tag] = monotonic(), text, told
        question = recipients.question(self._tag, text)
        try:
            # Questions are small beside what a socket takes: one that takes no more is not being read.
            whole = os.write(self._descriptor, question) == len(question)
        except OSError:
            whole = False
        if not whole:
            self._lost()

    def rest(self) -> float | None:
        """After how many seconds `tick` has something to do."""
        for since, _, _ in self._waiting.values():
            return max(since + self._patience - monotonic(), 0.0)
        return None

    def tick(self) -> None:
        """Give up what was asked too long ago; to be called once a round."""
        if not self._waiting:
            return
        past = monotonic() - self._patience
        late = []
        for tag, (since, _, _) in self._waiting.items():  # in the order they were asked
            if since > past:
                break
            late.append((tag, since))
        if late and self._heard < late[0][1]:
            self._not_before = monotonic() + PAUSE
            self._lost()
        else:
            for tag, _ in late:
                self._waiting.pop(tag)[2](UNTOLD)

    def _connected(self) -> bool:
        if self._descriptor < 0 and monotonic() >= self._not_before:
            try:
                self._descriptor = localsocket.connect(self._path)
            except OSError:
                return False
            self._reader = recipients.Answers()
            self._loop.watch(self._descriptor, lambda _events: self._answered())
        return self._descriptor >= 0

    def _answered(self) -> None:
        try:
            data = os.read(self._descriptor, fds.CHUNK)
            answers = self._reader.feed(data) if data else None
        except BlockingIOError:
            return
        except (OSError, recipients.Broken):
            answers = None
        if answers is None:
            self._lost()
            return
        self._heard = monotonic()
        for tag, verdict in answers:
            if tag in self._waiting:
                _, text, told = self._waiting.pop(tag)
                if verdict == STANDING:
                    self._remember(text)
                    verdict = TAKEN
                told(verdict)

    def _remember(self, text: bytes) -> None:
        if len(self._standing) >= MOST_STANDING:
            self._standing.clear()
        self._standing[text.partition(b"\0")[0]] = self._heard + STANDS

    def _lost(self) -> None:
        if self._descriptor >= 0:
            self._loop.forget(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        waiting, self._waiting = self._waiting, {}
        for _, _, told in waiting.values():
            told(UNTOLD)


class Patient:
    """The same for a program that may wait, at most PATIENCE seconds for an answer."""

    def __init__(self, home: Home) -> None:
        self._path = home.file(RECIPIENTS)
        self._descriptor = -1
        self._tag = 0
        self._not_before = 0.0

    def verdict(self, text: bytes) -> bytes:
        """The verdict on a recipient (recipients.text)."""
        if len(text) > LONGEST or monotonic() < self._not_before:
            return UNTOLD
        for fresh in (self._descriptor < 0, True):
            try:
                if self._descriptor < 0:
                    self._descriptor = localsocket.connect(self._path, patience=PATIENCE)
                return self._asked(text)
            except BlockingIOError:
                self._not_before = monotonic() + PAUSE
                break
            except (OSError, recipients.Broken):
                self.close()
                if fresh:  # else it was kept, perhaps to one that is no more
                    break
        self.close()
        return UNTOLD

    def close(self) -> None:
        """Let the connection go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _asked(self, text: bytes) -> bytes:
        self._tag = self._tag + 1 & 0xFFFFFFFF
        fds.write_all(self._descriptor, recipients.question(self._tag, text))
        reader = recipients.Answers()
        while data := os.read(self._descriptor, fds.CHUNK):
            for tag, verdict in reader.feed(data):
                if tag == self._tag:
                    return TAKEN if verdict == STANDING else verdict
        raise ConnectionResetError
