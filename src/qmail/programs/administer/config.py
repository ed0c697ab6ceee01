"""config: the first control files, from what DNS says of this host.

Where the network is not in its final state yet, config-fast is the better way.

Usage: config

    cd /var/qmail && bin/config && bin/qmail-showctl

Behaviour:
Looks up the addresses of this host's name, then those of its interfaces, and
takes the first name that DNS gives one of them for the name of the system; then
does what config-fast does. Every other name of an interface's address, if it
leads back to that address, is added to locals and rcpthosts too. What stands in
control files stays.

Environment: DNSCACHEIP names other servers to ask; QMAIL_HOME.
Files: control/: me, defaultdomain, plusdomain, locals, rcpthosts.
Runs as: root, or whoever owns the home.
Exit codes: 0 done; 100 usage, or DNS knows no name of this host; 111 a file
    cannot be read or written.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import connect, interfaces, program
from qmail.stores import configuration, home, hosts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

USAGE = b"config: usage: config (give a name to config-fast)"
ANY = (b"0.0.0.0", b"::")


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) != 1:
        raise Usage(USAGE)
    place = home.find(argv[0], environ)
    ask = hosts.asker(argv[0], environ)
    called = os.fsencode(os.uname().nodename)
    own = sorted(connect.text(address) for address in interfaces.addresses())
    own = [address for address in own if address not in ANY]
    names = _names([*_addresses(called, ask, environ), *own], ask)
    fqdn = next((name for _, name in names if b"." in name), None)
    if fqdn is None:
        raise Permanent(
            b"DNS knows no name of " + called + b", nor of " + b", ".join(own) + b"; run config-fast with the right one"
        )
    also = [name for address, name in names if address in own and _leads_to(name, address, ask, environ)]
    for file, text in configuration.configure(place.path, fqdn, also):
        program.say(1, b"control/" + file + b": " + b", ".join(text.split(b"\n")[:-1]) + b"\n")
    return 0


def _addresses(name: bytes, ask: hosts.Ask, environ: dict[bytes, bytes]) -> list[bytes]:
    try:
        return sorted(hosts.addresses(name, ask, environ))
    except Temporary:
        return []


def _names(addresses: Iterable[bytes], ask: hosts.Ask) -> list[tuple[bytes, bytes]]:
    """(address, its name) of those that have one that can be a host's."""
    found = []
    for address in dict.fromkeys(addresses):
        name = hosts.name(address, ask)
        if name is not None and configuration.is_host_name(name.removesuffix(b".")):
            found.append((address, name.removesuffix(b".").lower()))
    return found


def _leads_to(name: bytes, address: bytes, ask: hosts.Ask, environ: dict[bytes, bytes]) -> bool:
    # Whoever runs the network may give our address any name: mail for it is only ours if that name agrees.
    return address in _addresses(name + b".", ask, environ)
