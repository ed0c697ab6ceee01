"""Names of messages in a Maildir (maildir(5)): unique for ever on this host, and what a reader adds to them.

seconds.M<microseconds>P<pid>Q<deliveries by this process so far>.host      new/
the same with `:2,` and flags in ASCII order                                cur/
"""

from __future__ import annotations

INFO = b":2,"


def fresh(seconds: int, microseconds: int, pid: int, count: int, host: bytes) -> bytes:
    """A name that no other delivery has, with a host that cannot leave its place."""
    place = host.replace(b"/", b"\\057").replace(b":", b"\\072") or b"localhost"
    return b"%d.M%dP%dQ%d.%b" % (seconds, microseconds, pid, count, place[:64])


def unique(name: bytes) -> bytes:
    """The part of a name that stays the same when its flags change."""
    return name.partition(b":")[0]
