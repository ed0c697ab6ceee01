"""What is asked of a list's archive (ezmlm-get(1)), by what stands behind `LIST-`.

    get[F][.N[_M]]   index[F][.N[_M]]   thread[F].N   dig[F].CODE

F is the letter of a form; the dot may be a hyphen or missing; any mark may stand between N and M.
"""

from __future__ import annotations

from qmail.formats.digest import FORMS
from qmail.formats.listaddress import number

LATEST = 30  # messages that are sent where no number is given
MOST = 100  # messages in one answer
MOST_INDEXES = 20  # of 100 messages each, in one answer
MOST_IN_THREAD = 1000  # messages
FAR = 2000  # how far away messages of a thread are looked for


class Wanted:
    """`action`: get, index, thread or dig. `form`: its letter, or empty. `first`, `last`: None where not given."""

    __slots__ = ("action", "code", "first", "form", "last")

    def __init__(self, action: bytes, form: bytes) -> None:
        self.action, self.form = action, form
        self.first: int | None = None
        self.last: int | None = None
        self.code = b""


def wanted(text: bytes) -> Wanted | None:
    """What is asked; None where this is for somebody else."""
    lowered = text.lower()
    action = next((each for each in (b"index", b"thread", b"get", b"dig") if lowered.startswith(each)), None)
    if action is None or lowered.startswith(b"digest"):
        return None
    rest = lowered[len(action) :]
    form = rest[:1] if rest[:1] in FORMS and not rest[1:2].isalnum() else b""
    rest = rest[len(form) :]
    made = Wanted(action, form)
    if action == b"dig":
        made.code = rest.lstrip(b".-")
        return made if rest[:1] in (b".", b"-") else None
    if rest[:1].isalpha():
        return None
    made.first, rest = number(rest.lstrip(b".-"))
    if made.first is not None:
        made.last = number(rest[1:])[0]
    return made


def messages(asked: Wanted, newest: int, digested: int) -> tuple[int, int]:
    """The first and the last number to be sent; the first is larger where there are none.

    `newest`: the last message; `digested`: the last one that was in a digest.
    """
    if asked.first is None:
        first, last = (digested or newest - LATEST + 1), newest
    elif asked.last is None:
        first = last = asked.first
    elif asked.first > newest:
        first, last = min(digested or newest, newest) - LATEST + 1, newest
    else:
        first, last = min(asked.first, asked.last), max(asked.first, asked.last)
    last = min(last, newest) if asked.first is None or asked.last is not None else last
    return max(1, first, last - MOST + 1), last


def indexes(asked: Wanted, newest: int) -> range:
    """The hundreds whose indexes are to be sent."""
    if asked.first is None:
        return range(max(0, newest // 100 - 1), newest // 100 + 1)
    first = min(asked.first, newest) // 100
    last = min(max(asked.last or 0, asked.first), newest) // 100
    return range(first, min(last + 1, first + MOST_INDEXES))


def is_due(new: tuple[int, int], before: tuple[int, int, int], now: int, limits: tuple[int, int, int]) -> bool:
    """Is it time for a digest?

    `new`: number of the last message and size of all (in 256 bytes); `before`: the same at the last digest, and when
    that was; `limits`: messages, kilobytes and hours of which one is enough, 0 for any.
    """
    messages, size, seconds = new[0] - before[0], new[1] - before[1], now - before[2]
    if messages <= 0:
        return False
    reached = zip(limits, (messages, size // 4, seconds // 3600), strict=True)
    return any(limit and value >= limit for limit, value in reached) or not any(limits)
