"""Handing a message over to the queue, as every program does that makes or takes one.

    submission = begin(home, environ)
    submission.write(data) ...
    outcome = submission.finish(sender, recipients)        or submission.abandon()

Where QMAILQUEUE is set, or bin/qmail-queue is not our own, that program is run as qmail has always
done it: message on descriptor 0, envelope on 1, exit code, and words for code 82 on descriptor 6.
Otherwise qmail-queued is spoken to at once, without a program between.
"""

from __future__ import annotations

import os

from qmail.formats.besides import extension
from qmail.formats.envelope import pieces
from qmail.host import execute, fds, localsocket
from qmail.protocols import submit
from qmail.stores import home as homes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    from qmail.formats.mailparameters import Parameters
    from qmail.stores.home import Home

    Submission: TypeAlias = "Direct | Foreign"

# Exit codes of qmail-queue(8) that are given here.
NO_MEMORY, UNREAD, NO_CONNECTION, NO_HOME, NO_QUEUE = 51, 54, 56, 61, 62
TIMED_OUT, CUT_OFF, OWN_WORDS, NO_PROGRAM = 72, 74, 82, 120
UNCERTAIN = (TIMED_OUT, CUT_OFF)  # the message may have been accepted

WORDS_ON = 6  # the descriptor of a queue program's own words
LONGEST_WORDS = 255  # bytes
HELD = 65536  # bytes that are gathered before they are sent
PATIENCE = 600  # seconds without any progress (RFC 5321 4.5.3.2.6: so long waits who gave us the message)

_WORDS = {
    0: b"",
    11: b"Denvelope address too long for qq (#5.1.3)",
    115: b"Denvelope address too long for qq (#5.1.3)",
    31: b"Dmail server permanently rejected message (#5.3.0)",
    51: b"Zqq out of memory (#4.3.0)",
    52: b"Zqq timeout (#4.3.0)",
    53: b"Zqq write error or disk full (#4.3.0)",
    54: b"Zqq read error (#4.3.0)",
    55: b"Zqq unable to read configuration (#4.3.0)",
    56: b"Zqq trouble making network connection (#4.3.0)",
    61: b"Zqq trouble in home directory (#4.3.0)",
    **dict.fromkeys((62, 63, 64, 65, 66), b"Zqq trouble creating files in queue (#4.3.0)"),
    71: b"Zmail server temporarily rejected message (#4.3.0)",
    72: b"Zconnection to mail server timed out (#4.4.1)",
    73: b"Zconnection to mail server rejected (#4.4.1)",
    74: b"Zcommunication with mail server failed (#4.4.2)",
    81: b"Zqq internal bug (#4.3.0)",
    91: b"Zqq internal bug (#4.3.0)",
    120: b"Zunable to exec qq (#4.3.0)",
}


class Outcome:
    """What became of a message.

    `code`: 0 accepted, else qmail-queue's exit code, or a negative number where a signal ended it.
    `text`: a queue program's own words (code 82). `qp`: the number that the log knows it by.
    `full`: it was refused because the disk has no room.
    """

    __slots__ = ("code", "full", "qp", "text")

    def __init__(self, code: int, *, text: bytes = b"", qp: int = 0, full: bool = False) -> None:
        self.code, self.text, self.qp, self.full = code, text, qp, full


def words(outcome: Outcome) -> bytes:
    """Nothing for an accepted message, else what to tell the sender, after a D (never) or a Z (not now)."""
    code = outcome.code
    if code < 0:
        return b"Zqq crashed (#4.3.0)"
    if outcome.full:
        return b"Zqq write error or disk full (#4.3.1)"  # RFC 3463 3.4: mail system full
    if code == OWN_WORDS and len(outcome.text) > 2:
        return outcome.text
    if code in _WORDS:
        return _WORDS[code]
    return b"Dqq permanent problem (#5.3.0)" if 11 <= code <= 40 else b"Zqq temporary problem (#4.3.0)"


def begin(home: Home, environ: Mapping[bytes, bytes]) -> Submission:
    """Begin a message. Raises OSError where a queue program cannot be started for want of processes or descriptors."""
    path = foreign(home, environ)
    return Direct(home) if path is None else Foreign(path, home, environ)


def foreign(home: Home, environ: Mapping[bytes, bytes]) -> bytes | None:
    """The queue program to run, or None where qmail-queued is to be spoken to."""
    path = environ.get(b"QMAILQUEUE")
    if path is None:
        path = home.program(b"qmail-queue")
        if homes.is_own(path, b"qmail-queue"):
            return None
    return os.path.join(home.path, path)


def unreachable(home: Home) -> Outcome:
    """Why nobody answers at the queue's socket."""
    if not os.path.isdir(home.path):
        return Outcome(NO_HOME)
    return Outcome(NO_CONNECTION if os.path.isdir(home.queue) else NO_QUEUE)


class Direct:
    """A message on its way to qmail-queued, at `home`'s socket.

    Nothing is sent before 64 KiB have gathered, so that a slow or unfinished small message costs
    qmail-queued nothing. Nothing raises: what goes wrong is the outcome.
    """

    __slots__ = ("_descriptor", "_failed", "_held", "_home", "_pending")

    def __init__(self, home: Home, payload: bytes = b"") -> None:
        self._home = home
        self._descriptor = -1
        self._failed: Outcome | None = None
        self._pending = [submit.frame(submit.BEGIN, payload)]
        self._held = 0

    def write(self, data: bytes) -> None:
        """Bytes of the message."""
        self._add(submit.MESSAGE, data)

    def envelope(self, data: bytes) -> None:
        """Bytes of the envelope, once all of the message is written."""
        self._add(submit.ENVELOPE, data)

    def finish(self, sender: bytes, recipients: Iterable[bytes], asked: Parameters | None = None) -> Outcome:
        """The message is whole, and this is its envelope. What the recipients' iteration raises abandons it."""
        try:
            for piece in pieces(sender, recipients, extension(asked)):
                self.envelope(piece)
        except BaseException:
            self.abandon()
            raise
        return self.commit()

    def commit(self) -> Outcome:
        """Message and envelope are whole."""
        return self._end(submit.COMMIT)

    def abandon(self) -> Outcome:
        """The message came to nothing."""
        if self._descriptor < 0:
            return Outcome(UNREAD)
        return self._end(submit.ABANDON)

    def _end(self, letter: bytes) -> Outcome:
        self._pending.append(submit.frame(letter))
        self._flush()
        outcome = self._failed or self._answer()
        self._close()
        return outcome

    def _add(self, letter: bytes, data: bytes) -> None:
        if self._failed is None:
            self._pending += submit.frames(letter, data)
            self._held += len(data)
            if self._held >= HELD:
                self._flush()

    def _flush(self) -> None:
        if self._failed is not None:
            return
        data = b"".join(self._pending)
        self._pending, self._held = [], 0
        try:
            if self._descriptor < 0:
                self._descriptor = localsocket.connect(self._home.file(b"qq/socket"), patience=PATIENCE)
        except OSError:
            self._failed = unreachable(self._home)
            return
        try:
            fds.write_all(self._descriptor, data)
        except BlockingIOError:
            self._failed = Outcome(TIMED_OUT)
        except (BrokenPipeError, ConnectionResetError):
            self._failed = self._answer()  # an early one, before qmail-queued hung up
        except OSError:
            self._failed = Outcome(CUT_OFF)  # qmail-queued waits for more: there is no answer to wait for

    def _answer(self) -> Outcome:
        reader = submit.Reader()
        try:
            while (frame := reader.next()) is None:
                data = os.read(self._descriptor, 4096)
                if not data:
                    return Outcome(CUT_OFF)
                reader.feed(data)
            code, qp = submit.parse_answer(frame[1])
            return Outcome(code, qp=qp, full=submit.is_full(frame[1]))
        except BlockingIOError:
            return Outcome(TIMED_OUT)
        except (OSError, submit.Broken):
            return Outcome(CUT_OFF)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Foreign:
    """A message on its way to a queue program, run in the home directory. Raises OSError where it cannot be started."""

    __slots__ = ("_envelope", "_failed", "_message", "_pid", "_unread", "_words")

    def __init__(self, path: bytes, home: Home, environ: Mapping[bytes, bytes]) -> None:
        pipes: list[int] = []
        try:
            for _pipe in range(3):
                pipes += os.pipe()
            message, self._message, envelope, self._envelope, self._words, words = pipes
            inside = {0: message, 1: envelope, 2: 2, WORDS_ON: words}
            self._pid = execute.spawn([path], environ, inside, directory=home.path, unable=NO_PROGRAM)
        except OSError:
            for descriptor in pipes:
                os.close(descriptor)
            raise
        for descriptor in (message, envelope, words):
            os.close(descriptor)
        self._failed = False
        self._unread = 0  # bytes that it would not take

    def write(self, data: bytes) -> None:
        """Bytes of the message."""
        self._write(self._message, data)

    def finish(self, sender: bytes, recipients: Iterable[bytes], asked: Parameters | None = None) -> Outcome:
        """The message is whole, and this is its envelope. What the recipients' iteration raises abandons it."""
        os.close(self._message)
        self._message = -1
        behind = extension(asked)
        try:
            for piece in pieces(sender, recipients, behind):
                self._write(self._envelope, piece)
        except BaseException:
            self.abandon()
            raise
        os.close(self._envelope)
        # One that knows nothing of what stands behind an envelope has taken the message all the same.
        self._failed = self._unread > len(behind)
        return self._outcome()

    def abandon(self) -> Outcome:
        """The message came to nothing: the program sees both of its inputs end early."""
        self._failed = True
        if self._message >= 0:
            os.close(self._message)
        os.close(self._envelope)
        return self._outcome()

    def _write(self, descriptor: int, data: bytes) -> None:
        try:
            while data and not self._unread:
                data = data[os.write(descriptor, data) :]
        except OSError:
            pass  # it may still exit with a code that says why
        self._unread += len(data)

    def _outcome(self) -> Outcome:
        text = b""
        while len(text) < LONGEST_WORDS and (piece := os.read(self._words, LONGEST_WORDS - len(text))):
            text += piece
        os.close(self._words)
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        if code == 0 and self._failed:
            code = UNREAD
        return Outcome(code, text=text, qp=self._pid)
