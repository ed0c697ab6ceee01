"""qmail-lspawn's questions to the look-up process, which is qmail-getpw that stays.

One packet of questions is on its way at a time; what comes meanwhile makes the next one.
"""

from __future__ import annotations

from collections import deque

from qmail.formats import report
from qmail.formats.usersassign import Account, Bad, account
from qmail.host.clock import monotonic
from qmail.host.program import say
from qmail.protocols import localjobs
from qmail.services import local_zygote
from qmail.services.local_zygote import AGAIN, LOOKER
from qmail.stores import home as homes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.host.passing import Link
    from qmail.programs.deliver.qmail_lspawn import Spawner

KNOWN_FOR = 1.0  # seconds that an answer is good for
MOST_KNOWN = 1024
LONGEST = 16384  # bytes of a local part; a longer one goes to a program
MOST_ASKED = 65536  # bytes of a packet of questions


class Lookup:
    """A local part, and who wants to know whose it is.

    One of these is called: `found` with the account, `failed` with a report, `alone` where a program must be asked.
    """

    __slots__ = ("alone", "failed", "found", "local")

    def __init__(
        self,
        local: bytes,
        found: Callable[[Account], None],
        failed: Callable[[bytes], None],
        alone: Callable[[], None],
    ) -> None:
        self.local, self.found, self.failed, self.alone = local, found, failed, alone


class Lookups:
    """Finds out who answers for a local part that users/cdb does not know."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self._launcher = homes.Launcher(spawner.home, b"qmail-getpw")
        self._known: dict[bytes, tuple[float, Account]] = {}
        self._waiting: deque[Lookup] = deque()
        self._asked: list[Lookup] = []
        self._again = 0.0  # when another looker may be started
        home = spawner.home
        self._link: Link | None = local_zygote.start(lambda link: local_zygote.looker(link, home))
        spawner.loop.watch(self._link.fileno(), self._answered)

    def look_up(self, lookup: Lookup) -> None:
        """Ask, now or in the next round."""
        until, account = self._known.get(lookup.local, (0.0, None))
        if account is not None and until > monotonic():
            lookup.found(account)
        elif not self._is_there() or len(lookup.local) > LONGEST or not self._launcher.is_own():
            lookup.alone()
        else:
            self._waiting.append(lookup)

    def _is_there(self) -> bool:
        if self._link is None and monotonic() >= self._again:
            self._again = monotonic() + AGAIN
            spawner = self._spawner
            self._link = local_zygote.start_again(LOOKER, spawner.default, spawner.home, spawner.environ)
            if self._link is not None:
                spawner.loop.watch(self._link.fileno(), self._answered)
        return self._link is not None

    def forget(self) -> None:
        """What was known counts no more."""
        self._known.clear()

    def round(self) -> None:
        """Ask what waits."""
        if self._asked or not self._waiting or self._link is None:
            return
        questions, size = [], 0
        while self._waiting and size < MOST_ASKED:
            lookup = self._waiting.popleft()
            questions.append(localjobs.question(len(self._asked), lookup.local))
            self._asked.append(lookup)
            size += len(questions[-1])
        try:
            self._link.send(b"".join(questions), wait=False)
        except OSError:
            self._lost(self._link)

    def _answered(self, _events: int) -> None:
        link = self._link
        if link is None:
            return
        try:
            answers = localjobs.parse_reports(link.receive_bare())
            if not answers or [number for number, _, _ in answers] != list(range(len(self._asked))):
                raise localjobs.Broken("answers to other questions")
        except (OSError, localjobs.Broken):
            self._lost(link)
            return
        asked, self._asked = self._asked, []
        for lookup, (_, code, text) in zip(asked, answers, strict=True):
            if code:
                lookup.failed(report.local(code, b""))
                continue
            try:
                found = account(text)
            except Bad:
                lookup.failed(report.BUG)
                continue
            if found.user != b"alias":  # who is new must be seen at once, who is there may be remembered
                self._remember(lookup.local, found)
            lookup.found(found)

    def _remember(self, local: bytes, found: Account) -> None:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[local] = (monotonic() + KNOWN_FOR, found)

    def _lost(self, link: Link) -> None:
        say(2, b"qmail-lspawn: warning: the look-up process is gone, programs look accounts up for a while\n")
        self._again = monotonic() + AGAIN
        self._spawner.loop.forget(link.fileno())
        link.close()
        self._link = None
        lookups = [*self._asked, *self._waiting]
        self._asked.clear()
        self._waiting.clear()
        for lookup in lookups:
            lookup.alone()
