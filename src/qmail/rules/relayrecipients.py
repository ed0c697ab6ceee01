"""Which recipients other hosts have, as control/relayrecipients lists them (qmail-rcptd(8)).

    user@domain              this address
    user-default@domain      every address at that domain that begins with `user-`
    @domain                  every address at that domain

Case counts nowhere. Of a domain without a line nothing is said. Keys, in lower case, are what both the file and a
database made of it are asked for: each line, and the domain of each, which has no @.
"""

from __future__ import annotations

from qmail.formats.domainname import compared_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST_BREAKS = 20  # hyphens of a user's name that a `-default` is looked for behind
DEFAULT = b"default"


def keys(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The keys of these lines, a domain once; a line without an @ has none."""
    domains = set()
    for line in lines:
        line = compared_address(line)
        _, at, domain = line.rpartition(b"@")
        if at:
            yield line
            if domain not in domains:
                domains.add(domain)
                yield domain


def knows(lists: Callable[[bytes], bool], address: bytes) -> bool | None:
    """Is there such a recipient? None where nothing is said of its domain. `lists`: is this a key."""
    local, at, domain = compared_address(address).rpartition(b"@")
    if not at or not lists(domain):
        return None
    at_domain = b"@" + domain
    if lists(local + at_domain) or lists(at_domain):
        return True
    end = 0
    for _ in range(MOST_BREAKS):
        end = local.find(b"-", end) + 1
        if not end:
            return False
        if lists(local[:end] + DEFAULT + at_domain):
            return True
    return False
