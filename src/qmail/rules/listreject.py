"""What a mailing list does not take: messages that were not meant for it (ezmlm-reject(1))."""

from __future__ import annotations

from qmail.formats.header_fields import name
from qmail.formats.listaddress import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = frozenset((b"help", b"remove", b"subscribe", b"unsubscribe", b"get", b"info", b"faq", b"unsub", b"sub"))
STARTS = (b"subscribe", b"unsubscribe")

NO_SUBJECT = b"This list takes no messages without a subject. (#5.7.0)"
COMMAND = b"This is a command, and would go to all subscribers. Write to the list's -help address. (#5.7.0)"
NOT_ADDRESSED = b"This list only takes messages that name it in To or Cc. (#5.7.0)"
BAD_FIELD = b"This list takes no messages with a field %b. (#5.7.0)"
BAD_TYPE = b"This list takes no %b. (#5.6.1)"
TOO_LARGE = b"This list takes messages of at most %d bytes. (#5.2.3)"
TOO_SMALL = b"This list takes messages of at least %d bytes. (#5.7.0)"


class Wishes:
    """What is looked at. `address`: of the list, or empty; `fields`: those that are refused, in small letters."""

    def __init__(self) -> None:
        self.subject = self.no_commands = True
        self.no_starts = False
        self.address = b""
        self.fields: frozenset[bytes] = frozenset()


def is_automatic(fields: Sequence[bytes]) -> bool:
    """Does a program say that nobody need see this?"""
    return any(
        name(field).lower() == b"precedence" and field.partition(b":")[2].strip().lower() in (b"junk", b"bulk")
        for field in fields
    )


def fault(fields: Sequence[bytes], wishes: Wishes) -> bytes | None:
    """What is wrong with this header, in words; None where nothing is."""
    contents: dict[bytes, bytes] = {}
    for field in fields:
        written = name(field).lower()
        if written in wishes.fields:
            return BAD_FIELD % written
        contents[written] = contents.get(written, b"") + field.partition(b":")[2]
    subject = contents.get(b"subject", b"").strip().lower()
    if wishes.subject and not subject:
        return NO_SUBJECT
    if wishes.no_commands and (subject in COMMANDS or (wishes.no_starts and subject.startswith(STARTS))):
        return COMMAND
    named = (contents.get(b"to", b"") + b" " + contents.get(b"cc", b"")).lower().replace(b'"', b"")
    if wishes.address and wishes.address.lower() not in named:
        return NOT_ADDRESSED
    return None


def limits(text: bytes) -> tuple[int, int]:
    """The largest and the smallest body, in bytes, from the `MAXIMUM:MINIMUM` of DIR/msgsize; 0 is none."""
    most, rest = number(text)
    return most or 0, number(rest[1:])[0] or 0


def size_fault(size: int, most: int, least: int, *, whole: bool) -> bytes | None:
    """What is wrong with a body of this size; `whole`: it will not become larger."""
    if most and size > most:
        return TOO_LARGE % most
    return TOO_SMALL % least if whole and size < least else None
