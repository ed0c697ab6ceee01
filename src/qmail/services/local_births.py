"""qmail-lspawn's side of its zygote: asks for workers, and hears that they run."""

from __future__ import annotations

from qmail.host import passing
from qmail.host.clock import monotonic
from qmail.host.program import say
from qmail.protocols import localjobs
from qmail.services import local_zygote
from qmail.services.local_zygote import AGAIN, ZYGOTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmail.formats.usersassign import Account
    from qmail.host.passing import Link
    from qmail.programs.deliver.qmail_lspawn import Spawner


class Births:
    """Makes workers. `started` is told the serial of each that runs, and its pidfd, to be closed there."""

    def __init__(self, spawner: Spawner, started: Callable[[int, int], None]) -> None:
        self._loop, self._started = spawner.loop, started
        self._serial = 0
        self._home, self._default, self._environ = home, default, environ = (
            spawner.home, spawner.default, spawner.environ,
        )  # fmt: skip
        self._zygote: Link | None = local_zygote.start(lambda link: local_zygote.zygote(link, default, home, environ))
        self._loop.watch(self._zygote.fileno(), self._heard)
        self._again = 0.0

    @property
    def possible(self) -> bool:
        """Is there a zygote?"""
        if self._zygote is None and monotonic() >= self._again:
            self._again = monotonic() + AGAIN
            self._zygote = local_zygote.start_again(ZYGOTE, self._default, self._home, self._environ)
            if self._zygote is not None:
                self._loop.watch(self._zygote.fileno(), self._heard)
        return self._zygote is not None

    def make(self, who: Account) -> tuple[int, Link] | None:
        """Serial of, and link to, a worker for this user, which can be given jobs at once; None: not now."""
        if self._zygote is None:
            return None
        try:
            ours, theirs = passing.pair()
        except OSError:
            return None
        self._serial += 1
        try:
            self._zygote.send(localjobs.worker(self._serial, who), [theirs.fileno()], wait=False)
        except OSError as error:
            ours.close()
            if not isinstance(error, BlockingIOError):
                self._lose()
            return None
        finally:
            theirs.close()
        return self._serial, ours

    def _heard(self, _events: int) -> None:
        if self._zygote is None:
            return
        try:
            packet, handles = self._zygote.receive()
            serial = localjobs.parse_started(packet)
        except (OSError, localjobs.Broken):
            self._lose()
            return
        for handle in handles:
            self._started(serial, handle)

    def _lose(self) -> None:
        if self._zygote is not None:
            say(2, b"qmail-lspawn: warning: no more workers can be made for a while, deliveries go by programs\n")
            self._again = monotonic() + AGAIN
            self._loop.forget(self._zygote.fileno())
            self._zygote.close()
            self._zygote = None
