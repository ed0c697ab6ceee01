"""qmail-lspawn with its company: workers that deliver or look, and a process that looks accounts up."""

from __future__ import annotations

from functools import partial

from qmail.host import fds, title
from qmail.programs.deliver import qmail_lspawn
from qmail.services import local_zygote
from qmail.services.local_crews import Crews
from qmail.services.local_homes import Homes
from qmail.services.local_lookups import Lookup, Lookups
from qmail.services.local_programs import Programs
from qmail.stores import home as homes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.programs.deliver.qmail_lspawn import Delivery, Spawner

__doc__ = qmail_lspawn.__doc__  # what --help prints


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run qmail-lspawn, or what it has started again of its company."""
    fds.standard_open()
    if local_zygote.ROLE in environ and len(argv) == 2:
        local_zygote.as_program(argv[1], homes.find(argv[0], environ), environ)
    return qmail_lspawn.main(argv, environ, Company)


class Company:
    """Whoever looks up and delivers for a spawner."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner
        self._programs = Programs(spawner)
        self._lookups = Lookups(spawner)
        self._crews = Crews(spawner, self._programs)
        self._homes = Homes(spawner, self._lookups, self._crews.births)
        title.show(b"qmail-lspawn", spawner.default)

    def look_up(self, delivery: Delivery) -> None:
        """Ask who answers for the delivery's local part."""
        found, failed = partial(self._spawner.found, delivery), partial(self._spawner.report, delivery)
        alone = partial(self._programs.look_up, delivery)
        self._lookups.look_up(Lookup(delivery.local, found, failed, alone))

    def deliver(self, delivery: Delivery) -> None:
        """Deliver as the user who answers."""
        self._crews.deliver(delivery)

    def ended(self, pid: int, status: int) -> None:
        """A child has ended; those that stay are missed when their links end."""
        self._programs.ended(pid, status)

    def dismiss(self) -> None:
        """Let waiting processes go."""
        self._lookups.forget()
        self._crews.dismiss()
        self._homes.dismiss()

    def round(self) -> float | None:
        """Hand out what came in."""
        self._lookups.round()
        rests = [rest for rest in (self._crews.round(), self._homes.round()) if rest is not None]
        return min(rests, default=None)
