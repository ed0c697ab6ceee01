"""Values by host name, as control/smtproutes and the files like it have them: the longest name that fits wins.

    host:value          .suffix:value          :value

Whatever the order of the lines; of two lines for one name the later one counts. U-labels and A-labels are the same.
"""

from __future__ import annotations

from qmail.formats import domainname

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeVar

    T = TypeVar("T")


def table(lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """Names, as they are compared, to values, from the lines of the file; a line without a colon is none."""
    split = (line.partition(b":") for line in lines)
    return {domainname.compared(name): value for name, colon, value in split if colon}


def longest(values: Mapping[bytes, T], host: bytes) -> T | None:
    """What stands beside the longest name that fits: `host`, its ends that begin with a dot, the empty name."""
    if not values:
        return None
    name = domainname.compared(host)
    at = 0
    while (found := values.get(name[at:])) is None and at < len(name):
        dot = name.find(b".", at + 1)
        at = len(name) if dot < 0 else dot
    return found
