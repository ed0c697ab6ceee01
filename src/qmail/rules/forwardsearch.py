"""What fastforward does with a message: the instructions for an address, followed to their ends.

A recipient that is itself a target is replaced by what that one says; wildcards are for the incoming
address alone. A target that has an owner is not: mail for it goes back into the queue, so that it leaves
under the owner's name. Nobody, and no list, counts twice.
"""

from __future__ import annotations

from qmail.formats import forwardtable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Find = Callable[[bytes], "bytes | None"]
    Members = Callable[[bytes], Iterator[bytes]]

BOUNCES = (b"", b"#@[]")  # senders that stay, so that no bounce answers another
MOST = 1_000_000  # recipients, as of a message in the queue
DEEPEST = 500  # targets and lists within each other; a list is an open file


class Endless(ValueError):
    """More than can be followed; in words for a person."""


class Orders:
    """What to do. `programs`: for sh, each behind `|` or `!`. `sender`: as it leaves. `recipients`: everybody."""

    def __init__(self, sender: bytes) -> None:
        self.sender = sender
        self.programs: list[bytes] = []
        self.recipients: list[bytes] = []
        self.lists = 0

    def __bool__(self) -> bool:
        """Is anything to be done? A list may be empty; a circle of targets is no answer."""
        return bool(self.programs or self.recipients or self.lists)


def orders(recipient: bytes, sender: bytes, find: Find, members: Members) -> Orders | None:
    """What the database says of mail for `recipient`; None where it says nothing.

    `find` looks a record up, `members` reads a binary list. Raises Endless, forwardtable.Malformed, and what
    those raise.
    """
    for target in _targets(recipient.lower()):
        data = find(forwardtable.TARGET + target)
        if data is not None:
            owner = find(forwardtable.OWNER + target)
            if owner is None or sender in BOUNCES:
                owner = sender
            return _follow(data, Orders(owner), find, members)
    return None


def _targets(recipient: bytes) -> list[bytes]:
    user, at, host = recipient.rpartition(b"@")
    return [recipient, at + host, user + at] if at else [recipient]


def _follow(data: bytes, found: Orders, find: Find, members: Members) -> Orders:
    seen: set[bytes] = set()
    under_way: list[Iterator[bytes]] = [iter(forwardtable.commands_in(data))]
    while under_way:
        command = next(under_way[-1], None)
        if command is None:
            under_way.pop()
            continue
        if command.startswith((forwardtable.PROGRAM, forwardtable.PROGRAM_WITH_LINES)):
            found.programs.append(command)
            continue
        if command in seen:
            continue
        seen.add(command)
        if command.startswith(forwardtable.RECIPIENT):
            more = _replaced(command[1:], find)
            if more is None:
                found.recipients.append(command[1:])
            else:
                under_way.append(iter(more))
        else:
            found.lists += 1
            under_way.append(members(command))
        if len(seen) > MOST:
            raise Endless(f"more than {MOST} recipients")
        if len(under_way) > DEEPEST:
            raise Endless(f"more than {DEEPEST} instructions within instructions")
    return found


def _replaced(recipient: bytes, find: Find) -> list[bytes] | None:
    target = recipient.lower()
    data = find(forwardtable.TARGET + target)
    if data is None or find(forwardtable.OWNER + target) is not None:
        return None
    return forwardtable.commands_in(data)
