"""A loop over descriptors: epoll and callbacks, nothing more."""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
GONE = select.EPOLLHUP | select.EPOLLERR


class Loop:
    """Calls back whoever waits for a descriptor. Level-triggered; a callback gets the events that came.

    Callbacks of one round see each other's changes: one that was forgotten earlier in the round is not called.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._waiting: dict[int, Callable[[int], None]] = {}
        self._ready: set[int] = set()  # regular files, which epoll(7) does not take: always ready

    def watch(self, descriptor: int, callback: Callable[[int], None], events: int = READ) -> None:
        """Call back when `events` (READ, WRITE) happen on `descriptor`."""
        if descriptor in self._waiting:
            self._epoll.modify(descriptor, events)
        else:
            try:
                self._epoll.register(descriptor, events)
            except PermissionError:
                self._ready.add(descriptor)
        self._waiting[descriptor] = callback

    def forget(self, descriptor: int) -> None:
        """Stop watching; to be called before the descriptor is closed."""
        if self._waiting.pop(descriptor, None) is None:
            return
        if descriptor in self._ready:
            self._ready.discard(descriptor)
        else:
            self._epoll.unregister(descriptor)

    def round(self, seconds: float | None, most: int = -1) -> None:
        """Wait for at least one event, at most so many seconds (None: for ever), and call back for up to `most`.

        Where more are ready, the next round begins with those that were left out.
        """
        happened = self._epoll.poll(0 if self._ready else seconds, most)
        happened += [(descriptor, READ) for descriptor in self._ready]
        for descriptor, events in happened:
            callback = self._waiting.get(descriptor)
            if callback is not None:
                callback(events)

    def close(self) -> None:
        """Give the epoll descriptor back (after a fork, in the child: it must not share the parent's)."""
        self._epoll.close()
        self._waiting.clear()


class Outlets:
    """Descriptors that did not take all that was to be written: the loop wakes up when they take more."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._full: set[int] = set()

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._full

    def wrote(self, descriptor: int, everything: bool) -> None:
        """Something was written to it, `everything` or less."""
        if everything and descriptor in self._full:
            self._full.discard(descriptor)
            self._loop.forget(descriptor)
        elif not everything and descriptor not in self._full:
            self._full.add(descriptor)
            self._loop.watch(descriptor, lambda _events: None, WRITE)

    def forget(self, descriptor: int) -> None:
        """Nothing more will be written to it."""
        self.wrote(descriptor, True)
