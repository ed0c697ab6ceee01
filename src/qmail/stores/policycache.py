"""Policies that were fetched, as files in sts/: one a domain, its time being when the policy was fetched.

    id: 20261126T000000        what the domain announced then, and below it the policy, as it came
    version: STSv1
    ...

A policy holds until that time and its max_age (RFC 8461 3.2), whatever has been tried since. It is replaced whole.
Where there are too many, or they are too large together, those that were fetched first go first.
"""

from __future__ import annotations

import os

from qmail.formats import mtasts
from qmail.host import durable, fds
from qmail.stores.policies import DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home

MOST_KEPT = 10_000  # policies
MOST_BYTES = 64 * 1024 * 1024  # of all of them
_NEW = b".new"
_ID = b"id: "


class Kept:
    """A policy that holds: what the domain announced, its text, what that means, and how old it is in seconds."""

    __slots__ = ("age", "announced", "policy", "text")

    def __init__(self, announced: bytes, text: bytes, policy: mtasts.Policy, age: float) -> None:
        self.announced, self.text, self.policy, self.age = announced, text, policy, age


class Cache:
    """The files. Only one process may have them. Raises OSError where the directory cannot be read."""

    def __init__(self, home: Home) -> None:
        self._directory = home.file(DIRECTORY)
        self._sizes: dict[bytes, int] = {}  # those that were fetched first stand first
        found = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if mtasts.is_domain(entry.name):
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime, entry.name, status.st_size))
        for _, name, size in sorted(found):
            self._sizes[name] = size
        self._bytes = sum(self._sizes.values())
        self._make_room()

    def find(self, domain: bytes, now: float) -> Kept | None:
        """The policy of a domain, where there is one that still holds. `now`: seconds since 1970."""
        try:
            descriptor = fds.open_to_read(self._path(domain))
        except OSError:
            return None
        try:
            text = fds.read_all(descriptor, mtasts.LARGEST + 64)
            # Where it is from the future the clock was set back: it is at least that far away.
            age = abs(now - os.fstat(descriptor).st_mtime)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        first, _, rest = (text or b"").partition(b"\n")
        try:
            policy = mtasts.policy(rest)
        except mtasts.Broken:
            policy = None
        if policy is None or not first.startswith(_ID) or age >= policy.max_age:
            self._drop(domain)
            return None
        return Kept(first.removeprefix(_ID), rest, policy, age)

    def keep(self, domain: bytes, announced: bytes, text: bytes) -> None:
        """Put a policy that was fetched now in the place of what was there. Raises OSError."""
        data = _ID + announced + b"\n" + text
        durable.replace_file(self._path(domain), self._path(_NEW), data)
        self._bytes += len(data) - self._sizes.pop(domain, 0)
        self._sizes[domain] = len(data)
        self._make_room()

    def _make_room(self) -> None:
        while len(self._sizes) > MOST_KEPT or self._bytes > MOST_BYTES:
            self._drop(next(iter(self._sizes)))

    def _drop(self, domain: bytes) -> None:
        self._bytes -= self._sizes.pop(domain, 0)
        try:
            durable.remove(self._path(domain))
        except OSError:
            pass  # it holds no more all the same

    def _path(self, name: bytes) -> bytes:
        return self._directory + b"/" + name
