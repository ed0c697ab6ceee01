"""What is sent, what came of it, and whether that is what was promised.

A letter has a name, which stands in its text and in its sender, and a text that follows from the name: whoever sees a
letter again can tell whether it is whole. `Book` is where clients, mailboxes and the other host write down what they
see; `judge` reads it at the end.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

NAME = re.compile(rb"^X-Soak: (\w+)$", re.MULTILINE)

# What a client knows of a letter.
OFFERED, ACCEPTED, REFUSED, BROKEN = "offered", "accepted", "refused", "broken"
# How a recipient of a letter may end; `SILENT` is taken by the other host, without an answer.
DELIVERED, HANDED, SILENT, TOLD, LEFT = "delivered", "handed over", "handed over unanswered", "bounced", "in the queue"
# Processes whose end can repeat no delivery.
HARMLESS = {
    "multilog", "qmail-dns", "qmail-getpw", "qmail-smtpd", "readproctitle", "supervise", "svc", "svscan", "tcpserver",
}  # fmt: skip
GENTLE = {("qmail-send", "SIGTERM"), ("qmail-queued", "SIGTERM")}
SLACK = 1.0  # seconds by which clocks of files may differ from ours
UNDER_WAY = 5.0  # seconds that a delivery goes on after whoever was to hear of it was killed
_LINES = 400


class Letter:
    """One message, and what its sender heard. `exact`: its header is not touched on the way in."""

    __slots__ = ("answered", "began", "exact", "name", "recipients", "reply", "sender", "status")

    def __init__(self, name: str, sender: str, recipients: list[str], *, exact: bool = True) -> None:
        self.name, self.sender, self.recipients, self.exact = name, sender, recipients, exact
        self.began, self.answered, self.status, self.reply = time.time(), 0.0, OFFERED, b""

    def __str__(self) -> str:
        said = f"{self.status} at {self.answered:.3f} with {self.reply.decode('latin-1').strip()!r}"
        return f"{self.name} from <{self.sender}>, {said},"


class Kill:
    """A process that was ended."""

    __slots__ = ("name", "number", "when")

    def __init__(self, name: str, number: str, when: float) -> None:
        self.name, self.number, self.when = name, number, when

    def repeats(self, *, by_queue: bool) -> bool:
        """May it repeat a delivery, or (`by_queue`) what is queued anew: a notice, a forward?"""
        if self.name in HARMLESS or (self.name, self.number) in GENTLE:
            return False
        return by_queue or self.name != "qmail-queued"


class Texts:
    """The text of every letter."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        chance = random.Random(seed)
        self._lines = [_line(chance) for _ in range(_LINES)]

    def head(self, name: str) -> bytes:
        """The header, with the empty line."""
        return f"Subject: {name}\nX-Soak: {name}\n\n".encode()

    def body(self, name: str) -> bytes:
        """The rest."""
        chance = random.Random(f"{self.seed} {name}")
        lines = 1000 if chance.random() < 0.03 else chance.randrange(1, 60)
        return b"".join(chance.choices(self._lines, k=lines))

    def whole(self, name: str) -> bytes:
        """All of it."""
        return self.head(name) + self.body(name)


def _line(chance: random.Random) -> bytes:
    kind = chance.random()
    if kind < 0.1:
        return b"." * chance.randrange(1, 4) + b"\n"
    if kind < 0.15:
        return b">" * chance.randrange(3) + b"From here to there\n"
    if kind < 0.2:
        return b"\n"
    if kind < 0.3:
        return bytes(chance.choices(range(128, 256), k=chance.randrange(1, 80))) + b"\n"
    return bytes(chance.choices(range(32, 127), k=990 if kind > 0.99 else chance.randrange(1, 100))) + b"\n"


class Book:
    """Everything that was seen. Used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.letters: dict[str, Letter] = {}
        self.endings: dict[tuple[str, str], list[tuple[float, str]]] = {}
        self.kills: list[Kill] = []
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()

    def offer(self, letter: Letter) -> None:
        """Before anything of it is sent."""
        with self._lock:
            self.letters[letter.name] = letter

    def answer(self, letter: Letter, status: str) -> None:
        """What was heard of it."""
        letter.answered, letter.status = time.time(), status
        self.count(status)

    def ended(self, name: str, recipient: str, kind: str, when: float | None = None) -> None:
        """Something happened to it that is meant to happen once."""
        with self._lock:
            self.endings.setdefault((name, recipient), []).append((when or time.time(), kind))
            self.counts[kind] += 1

    def killed(self, name: str, number: str) -> None:
        """A process was ended."""
        with self._lock:
            self.kills.append(Kill(name, number, time.time()))

    def problem(self, text: str) -> None:
        """A promise was broken."""
        with self._lock:
            self.problems.append(text)

    def count(self, what: str) -> None:
        """One more of these."""
        with self._lock:
            self.counts[what] += 1


class Verdict:
    """`problems`: what was promised otherwise; `counts`: recipients of accepted letters, by what became of them."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.twice: Counter[str] = Counter()  # why something is there twice


def judge(book: Book, left: Iterable[tuple[str, str]], fates: Mapping[str, set[str]]) -> Verdict:
    """`left`: (letter, recipient) still to be served in the queue; `fates`: how each recipient may end."""
    verdict = Verdict()
    verdict.problems += book.problems
    endings = {key: sorted(value) for key, value in book.endings.items()}
    for key in left:
        endings.setdefault(key, []).append((float("inf"), LEFT))
    for name, recipient in endings:
        letter = book.letters.get(name)
        if letter is None or recipient not in letter.recipients:
            verdict.problems.append(f"{name} was never sent to {recipient}")
    for letter in book.letters.values():
        ended = {one: endings.get((letter.name, one), []) for one in letter.recipients}
        verdict.problems += _accepted_or_not(letter, ended, book.kills)
        if letter.status == ACCEPTED:
            _account(letter, ended, book.kills, fates, verdict)
    return verdict


Ended = Mapping[str, list[tuple[float, str]]]


def _accepted_or_not(letter: Letter, ended: Ended, kills: list[Kill]) -> Iterator[str]:
    reached = sum(bool(endings) for endings in ended.values())
    if letter.status == ACCEPTED:
        for recipient, endings in ended.items():
            if not endings:
                yield f"{letter} was accepted and is lost for {recipient}"
    elif reached and letter.status == BROKEN:
        yield f"{letter} was not whole, and came to {reached} recipients"
    elif reached not in (0, len(ended)):
        yield f"{letter} was not accepted, and came to some of its recipients only"
    elif reached and letter.status == REFUSED:
        # Only who took it and did not live to say so may have it refused.
        near = (kill for kill in kills if letter.began - SLACK < kill.when < letter.answered + SLACK)
        if not any(kill.name in ("qmail-queued", "qmail-smtpd", "tcpserver") for kill in near):
            yield f"{letter} was refused and came all the same"


def _account(letter: Letter, ended: Ended, kills: list[Kill], fates: Mapping[str, set[str]], verdict: Verdict) -> None:
    for recipient, endings in ended.items():
        for _, kind in endings:
            if kind not in fates[recipient] | {LEFT}:
                verdict.problems.append(f"{letter} was {kind} for {recipient}")
        if endings:
            verdict.counts["handed over" if endings[0][1] == SILENT else endings[0][1]] += 1
        used: Counter[float] = Counter()
        for first, second in pairwise(endings):
            why = _reason(letter, first, second, kills, used)
            if why is None:
                verdict.problems.append(f"{letter} is there twice for {recipient} without a reason: {endings}")
            else:
                verdict.twice[why] += 1


def _reason(
    letter: Letter, first: tuple[float, str], second: tuple[float, str], kills: list[Kill], used: Counter[float]
) -> str | None:
    """Why something happened a second time. No kill is a reason twice for a message.

    A forward, or a notice, is a message of its own: one kill may repeat what queues it, and it.
    """
    if first[1] == SILENT:
        return "no answer"
    # A notice, or a forward, is queued before it is seen: what repeats it may have happened before that.
    by_queue = TOLD in (first[1], second[1]) or any(each.startswith("fwd@") for each in letter.recipients)
    since = letter.began if by_queue else first[0] - UNDER_WAY
    for kill in kills:
        again = used[kill.when] < (2 if by_queue else 1)
        if since <= kill.when <= second[0] and again and kill.repeats(by_queue=by_queue):
            used[kill.when] += 1
            return "a process was killed"
    return None
