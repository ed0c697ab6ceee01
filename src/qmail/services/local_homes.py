"""qmail-lspawn's answers to qmail-rcptd: would a delivery find instructions in a home that qmail-rcptd cannot see?

Asked are local parts, and who answers for one is found out as for a delivery. A worker of that user, for nothing
else, looks. What cannot be found out soon is UNTOLD, and then taken. Only user qmailp may ask, so much at a time and
in a minute.
"""

from __future__ import annotations

import os
from functools import partial

from qmail.formats.verdict import PERMANENT, SUCCESS, Temporary
from qmail.host.clock import monotonic
from qmail.host.localsocket import Listener
from qmail.protocols import localjobs
from qmail.protocols.recipients import TAKEN, TROUBLE, UNKNOWN, UNTOLD
from qmail.services.local_lookups import Lookup
from qmail.stores import asking
from qmail.stores.answering import Client, Clients
from qmail.stores.users import Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.usersassign import Account
    from qmail.host.passing import Link
    from qmail.programs.deliver.qmail_lspawn import Spawner
    from qmail.services.local_births import Births
    from qmail.services.local_lookups import Lookups

MOST_CLIENTS = 4
MOST_ASKED = 50  # questions under way
MOST_A_MINUTE = 6000
MINUTE = 60.0
PATIENCE = 1.0  # seconds for a worker's answer
MOST_WORKERS = 30
IDLE = 8.0  # seconds a worker waits for more
RELISTEN = 10.0  # seconds between looks whether the socket's name still leads here


class Question:
    """One question, until it is answered."""

    __slots__ = ("_client", "_tag", "answered", "local", "since")

    def __init__(self, client: Client, tag: int, local: bytes) -> None:
        self._client, self._tag, self.local = client, tag, local
        self.since = monotonic()
        self.answered = False

    def answer(self, verdict: bytes) -> None:
        """Only the first answer counts."""
        if not self.answered:
            self.answered = True
            self._client.answer(self._tag, verdict)


class Looker:
    """A worker that looks, one question after the other. `asked`: what it was asked, by number."""

    __slots__ = ("asked", "link", "number", "since")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.asked: dict[int, Question] = {}
        self.number = 0
        self.since = monotonic()

    def is_stuck(self) -> bool:
        """Has it not answered what it was asked long ago? Its home may be one that does not answer."""
        return any(monotonic() - question.since > PATIENCE for question in self.asked.values())


class Homes:
    """The answers. Where ql/ is missing nobody can ask."""

    def __init__(self, spawner: Spawner, lookups: Lookups, births: Births) -> None:
        self._spawner, self._lookups, self._births = spawner, lookups, births
        self._lookers: dict[tuple[int, int, bytes, bytes], Looker] = {}
        self._open: list[Question] = []  # the oldest first
        self._minute, self._count = monotonic(), 0
        self._listener: Listener | None = None
        self._clients: Clients | None = None
        self._looked = 0.0

    def dismiss(self) -> None:
        """Who is asked from now on is somebody new."""
        for key in list(self._lookers):
            self._part_with(key)

    def round(self) -> float:
        """Give up what takes too long; returns after how many seconds there may be something to do."""
        now = monotonic()
        if now - self._looked >= RELISTEN:
            self._looked = now
            self._listen()
        if not (self._open or self._lookers):
            return RELISTEN
        self._open = [question for question in self._open if not question.answered]
        for question in self._open:
            if now - question.since > PATIENCE:
                question.answer(UNTOLD)
        for key, looker in list(self._lookers.items()):
            if not looker.asked and now - looker.since > IDLE:
                self._part_with(key)
        return 0.5

    def _listen(self) -> None:
        # A second qmail-lspawn, of a qmail-start that had to give up, may have taken the name away.
        if self._listener is not None and self._listener.is_found():
            return
        loop, home = self._spawner.loop, self._spawner.home
        try:
            welcome = home.account(b"qmailp")[0]
            listener = Listener(home.file(asking.HOMES), 0o666)
        except (OSError, Temporary):
            return
        if self._listener is not None:
            loop.forget(self._listener.fileno())
            self._listener.close()
        self._listener = listener
        self._clients = Clients(loop, listener, (welcome,), self._asked, MOST_CLIENTS)

    def _asked(self, client: Client, tag: int, local: bytes) -> bytes | None:
        now = monotonic()
        if now - self._minute > MINUTE:
            self._minute, self._count = now, 0
        self._open = [question for question in self._open if not question.answered]
        if len(self._open) >= MOST_ASKED or self._count >= MOST_A_MINUTE:
            return UNTOLD
        self._count += 1
        question = Question(client, tag, local)
        self._open.append(question)
        try:
            account = self._spawner.assigned(local)
        except Trouble:
            question.answer(TROUBLE)
            return None
        if account is not None:
            self._look(question, account)
        else:
            found, failed = partial(self._look, question), lambda _report: question.answer(TROUBLE)
            self._lookups.look_up(Lookup(local, found, failed, lambda: question.answer(UNTOLD)))
        return None

    def _look(self, question: Question, account: Account) -> None:
        looker = self._looker(account) if self._may_become(account) else None
        if looker is None or looker.is_stuck():
            question.answer(UNTOLD)
            return
        looker.number = looker.number + 1 & 0xFFFF
        looker.asked[looker.number] = question
        looker.since = monotonic()
        job = localjobs.Job(looker.number, 0, question.local, account.dash, account.ext, b"", b"")
        try:
            looker.link.send(localjobs.LOOK + localjobs.job(job), wait=False)
        except OSError:
            self._part_with(_key(account))

    def _may_become(self, account: Account) -> bool:
        return account.uid != 0 and (not self._spawner.home.single or account.uid == os.geteuid())

    def _looker(self, account: Account) -> Looker | None:
        key = _key(account)
        if key not in self._lookers:
            if len(self._lookers) >= MOST_WORKERS:
                idle = [each for each, looker in self._lookers.items() if not looker.asked]
                if not idle:
                    return None
                self._part_with(idle[0])
            born = self._births.make(account)
            if born is None:
                return None
            looker = self._lookers[key] = Looker(born[1])
            self._spawner.loop.watch(looker.link.fileno(), lambda _events: self._heard(key))
        return self._lookers[key]

    def _heard(self, key: tuple[int, int, bytes, bytes]) -> None:
        looker = self._lookers[key]
        try:
            reports = localjobs.parse_reports(looker.link.receive_bare())
            if not reports or any(number not in looker.asked for number, _, _ in reports):
                raise localjobs.Broken("an answer to another question")
        except (OSError, localjobs.Broken, KeyError):
            self._part_with(key)
            return
        for number, code, _ in reports:
            question = looker.asked.pop(number)
            question.answer(TAKEN if code == SUCCESS else UNKNOWN if code == PERMANENT else UNTOLD)

    def _part_with(self, key: tuple[int, int, bytes, bytes]) -> None:
        looker = self._lookers.pop(key)
        self._spawner.loop.forget(looker.link.fileno())
        looker.link.close()
        for question in looker.asked.values():
            question.answer(UNTOLD)


def _key(account: Account) -> tuple[int, int, bytes, bytes]:
    return account.uid, account.gid, account.user, account.home
