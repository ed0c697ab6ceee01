"""The certificates of this host, as files: control/servercert.pem, and control/tls/NAME.pem for other names.

Each holds a certificate, those that signed it, and the key, in PEM.
"""

from __future__ import annotations

import errno
import os

from qmail.formats import certificate
from qmail.formats.verdict import Temporary
from qmail.host.reasons import reason
from qmail.rules.finding import Finding
from qmail.stores.control import unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.stores.control import Control

    Stamps = tuple[tuple[bytes, int, int, int, int], ...]

MAIN, NAMED, ENDING = b"servercert.pem", b"tls", b".pem"
NEXT = b".next"  # behind a file's name: the certificate, or the public key, that takes its place later
MOST = 1000  # names
SOON = 14 * 86400  # seconds before its end when something should have been done


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


def keys(control: Control, host: bytes) -> list[bytes]:
    """The public key (DER) of the certificate that clients which want `host` see, and the one in the next certificate,
    where there is a file of it. Raises Temporary."""
    found = files(control)
    path = found.get(host.lower()) or found.get(b"") or next(iter(found.values()), None)
    known = []
    for each in (path, path + NEXT) if path else ():
        try:
            with open(each, "rb", buffering=0) as file:
                known.append(certificate.key(file.read(certificate.LARGEST)))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise unreadable(each, error) from error
        except certificate.Broken as error:
            raise Temporary(each + b" holds no certificate") from error
    return known


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


def findings(control: Control, now: int) -> Iterator[Finding]:
    """What is wrong with them, for a person."""
    me = control.line(b"me") or b""
    for name, path in files(control).items():
        try:
            if os.stat(path).st_mode & 0o077:
                yield Finding(path + b" is open to others than its owner, and holds a key", b"chmod 600 " + path)
            with open(path, "rb", buffering=0) as file:
                found = certificate.first(file.read(certificate.LARGEST))
        except OSError as error:
            yield Finding(path + b" cannot be read: " + reason(error), b"put a certificate with its key there")
            continue
        except certificate.Broken:
            yield Finding(path + b" holds no certificate", b"put one there, in PEM, with its key")
            continue
        left = found.ends - now
        if left < 0 or now < found.begins:
            yield Finding(path + b" has expired, or does not count yet", b"put another there; qmail-tlsd sees it")
        elif left < SOON:
            yield Finding(path + b" expires within %d days" % (left // 86400 + 1), b"see to it that it is renewed")
        host = name or me
        if host and not found.covers(host):
            yield Finding(
                path + b" is not for " + host + b", but for " + b", ".join(found.names), b"have one made for it"
            )
