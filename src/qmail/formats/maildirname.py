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


def flags(name: bytes) -> bytes:
    """The flags of a name in cur/, empty where it has none."""
    _, mark, letters = name.partition(INFO)
    return letters if mark else b""


def seen(name: bytes) -> bytes:
    """The name in cur/ of a message that was read: with the flag S, and those it had."""
    letters = bytes(sorted({*flags(name), ord("S")}))
    return unique(name) + INFO + letters
