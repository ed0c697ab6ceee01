"""Who may do more on a list than others: moderators, and readers of the archive (ezmlm(5))."""

from __future__ import annotations

from qmail.formats.verdict import Permanent
from qmail.stores import subscribers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qmail.stores.listdir import MailingList

NO_READER = b"You may not read the archive of this list. (#5.7.2)"


def database(mlist: MailingList) -> bytes:
    """Where the moderators are: below the directory that DIR/modsub or DIR/remote names, else in mod."""
    named = mlist.line(b"modsub") or mlist.line(b"remote") or b""
    return named.rstrip(b"/") or b"mod"


def is_moderator(mlist: MailingList, address: bytes) -> bool:
    """Is this one of them? Raises Temporary."""
    return subscribers.contains(mlist, database(mlist), address)


def moderators(mlist: MailingList) -> list[bytes]:
    """All of them, or the owner where there are none. Raises Temporary."""
    return list(subscribers.everyone(mlist, database(mlist))) or [mlist.owner]


def may_read(
    mlist: MailingList,
    sender: bytes,
    *,
    anybody: bool = False,
    moderators_only: bool = False,
    subscribers_only: bool | None = None,
) -> bool:
    """May the sender have messages from the archive? Raises Temporary.

    `anybody`: as if the list were public and not for moderators only; `moderators_only`: the opposite.
    `subscribers_only`: None is what DIR/subgetonly says.
    """
    restricted = moderators_only or (not anybody and (mlist.has(b"modgetonly") or not mlist.has(b"public")))
    if restricted and not is_moderator(mlist, sender):
        return False
    if subscribers_only is None:
        subscribers_only = mlist.has(b"subgetonly")
    return not subscribers_only or is_known(mlist, sender)


def is_known(
    mlist: MailingList, sender: bytes, databases: Sequence[bytes] = (b"", b"digest", b"allow", b"mod")
) -> bool:
    """Is the sender in one of these databases?"""
    return any(subscribers.contains(mlist, each, sender) for each in databases)


def asked(mlist: MailingList, environ: Mapping[bytes, bytes], words: Sequence[bytes]) -> bool:
    """Is SENDER in one of the databases that a program's arguments name? Raises Permanent, Temporary."""
    sender = environ.get(b"SENDER")
    if sender is None:
        raise Permanent(b"SENDER not set")
    if all(word.startswith(b"/") for word in words):
        words = (b".", *words)  # other lists beside this one
    databases = [word.rstrip(b"/") for word in words]
    return is_known(mlist, sender, [b"" if each == b"." else each for each in databases])
