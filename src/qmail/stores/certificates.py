"""The certificates of this host, as files: control/servercert.pem, and control/tls/NAME.pem for other names.

Each holds a certificate, those that signed it, and the key, in PEM.
"""

from __future__ import annotations

import errno
import os

from qmail.formats.verdict import Temporary
from qmail.host import tls
from qmail.stores.control import unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.control import Control

    Stamps = tuple[tuple[bytes, int, int, int, int], ...]

MAIN, NAMED, ENDING = b"servercert.pem", b"tls", b".pem"
MOST = 1000  # names


def files(control: Control) -> dict[bytes, bytes]:
    """Name to path, of all there are; the main one under b"". Raises Temporary where they cannot be seen."""
    found = {}
    main, directory = control.directory + b"/" + MAIN, control.directory + b"/" + NAMED
    try:
        if os.path.lexists(main):
            found[b""] = main
        entries = sorted(os.listdir(directory))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise unreadable(directory, error) from error
        entries = []
    for entry in entries:
        if entry.endswith(ENDING) and not entry.startswith(b"."):
            found[entry[: -len(ENDING)].lower()] = directory + b"/" + entry
    if len(found) > MOST:
        raise Temporary(b"more than %d certificates in " % MOST + directory)
    return found


def stamps(control: Control) -> Stamps:
    """What tells whether one of the files has changed, come or gone. Raises Temporary."""
    seen = []
    for name, path in files(control).items():
        try:
            status = os.stat(path)
        except OSError:
            continue
        seen.append((name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(seen)


def keys(control: Control) -> tls.Keys:
    """All of them, read. Without a main one, the first of the names serves who asks for none. Raises Temporary."""
    found = files(control)
    if not found:
        raise Temporary(b"no certificate: neither control/servercert.pem nor control/tls/NAME.pem")
    named = {name.decode("ascii", "replace"): path for name, path in found.items() if name}
    main = found.get(b"") or next(iter(named.values()))
    tickets = control.number(b"tlstickets", 1) > 0
    try:
        return tls.Keys(main, named, tickets=tickets)
    except tls.Unusable as error:
        raise Temporary(b"unable to use " + str(error).encode()) from error
