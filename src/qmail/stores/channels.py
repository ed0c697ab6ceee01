"""The two channels: deliveries start on them, orders go out in one write a round, and reports come back."""

from __future__ import annotations

from functools import partial

from qmail.formats import logline, mailparameters, remotereport
from qmail.protocols.spawn import Order
from qmail.rules.routing import CHANNELS, REMOTE
from qmail.stores.spawner import Lost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmail.host.loop import Loop, Outlets
    from qmail.rules.dispatch import Dispatch
    from qmail.rules.job import Job
    from qmail.stores.spawner import Spawner

    Found = tuple[Job, int, bytes]


class Channels:
    """Local and remote. `lost` is called once for a spawner that is gone; `say` takes log lines."""

    def __init__(
        self,
        spawners: Sequence[Spawner],
        dispatch: Dispatch,
        split: int,
        loop: Loop,
        outlets: Outlets,
        lost: Callable[[int], None],
        say: Callable[[bytes], None],
    ) -> None:
        self._spawners, self._dispatch, self._split = spawners, dispatch, split
        self._loop, self._outlets, self._lost, self._say = loop, outlets, lost, say
        for channel, spawner in enumerate(spawners):
            loop.watch(spawner.reports, partial(self._reports, channel))

    def start(self, following: Callable[[int], Found | None]) -> None:
        """Start what `following` gives for each channel, the channels in turn, as long as there is room."""
        orders: tuple[list[Order], list[Order]] = ([], [])
        dispatch, split = self._dispatch, self._split
        more = [*CHANNELS]
        while more:
            for channel in tuple(more):
                found = following(channel) if dispatch.room(channel) else None
                if found is None:
                    more.remove(channel)
                    continue
                job, key, recipient = found
                slot, sender = dispatch.start(channel, job, key, recipient)
                message = b"%d/%d" % (job.number % split, job.number)
                asked = b"" if job.parameters is None else mailparameters.single(job.parameters, recipient)
                if asked and not self._spawners[channel].wide and self._cannot(channel, job, slot):
                    continue
                orders[channel].append(Order(slot, message, sender, recipient, asked))
        for channel in CHANNELS:
            if orders[channel]:
                self._send(channel, orders[channel])

    def _cannot(self, channel: int, job: Job, slot: int) -> bool:
        """Does this message need TLS, of which the spawner in the place of ours knows nothing? Then it has failed."""
        if channel != REMOTE or job.parameters is None or not job.parameters.requiretls:
            return False
        self._dispatch.report(channel, slot, remotereport.NO_REQUIRETLS)
        return True

    def send_rest(self) -> None:
        """Send what could not be sent before."""
        for channel in CHANNELS:
            if self._spawners[channel].orders in self._outlets:
                self._send(channel, [])

    def _send(self, channel: int, orders: list[Order]) -> None:
        spawner = self._spawners[channel]
        if spawner.alive:
            try:
                self._outlets.wrote(spawner.orders, spawner.send(orders))
            except Lost:
                self._gone(channel)

    def running(self) -> bool:
        """Does a delivery run whose end will be known?"""
        return any(self._dispatch.running(channel) and self._spawners[channel].alive for channel in CHANNELS)

    def _reports(self, channel: int, _events: int) -> None:
        try:
            for slot, text in self._spawners[channel].receive():
                self._dispatch.report(channel, slot, text)
        except Lost:
            self._gone(channel)

    def _gone(self, channel: int) -> None:
        spawner = self._spawners[channel]
        if spawner.alive:
            spawner.alive = False
            self._loop.forget(spawner.reports)
            self._outlets.forget(spawner.orders)
            self._say(logline.LOST_SPAWNER)
            self._lost(channel)
