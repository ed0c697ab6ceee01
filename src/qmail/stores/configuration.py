"""The first five control files, from one name (config-fast, and every set-up that calls it).

Whatever else is in control/ stays. Run again with the same name, nothing changes; with another name,
me, defaultdomain and plusdomain follow it, and locals and rcpthosts keep the old name beside the new one.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Permanent, Temporary
from qmail.host import durable
from qmail.protocols import smtpextensions
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 253  # bytes of a host name, RFC 1035 2.3.4
EXTENSIONS = b"smtpextensions"  # a control file that a new system begins with
ALLOWED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def configure(home: bytes, fqdn: bytes, also: Iterable[bytes] = ()) -> list[tuple[bytes, bytes]]:
    """Make `fqdn` the name of the system in `home`. Returns (control file, its text), in the order written.

    `also`: other names of this host, for locals and rcpthosts. Raises Permanent where the name is none, and
    Temporary where a file cannot be read or written.
    """
    if not is_host_name(fqdn):
        raise Permanent(b"not a host name: " + fqdn)
    control = Control(home)
    files = [
        (b"me", fqdn + b"\n"),
        (b"defaultdomain", default_domain(fqdn) + b"\n"),
        (b"plusdomain", plus_domain(fqdn) + b"\n"),
        (b"locals", _with_lines(control.text(b"locals"), (fqdn, *also))),
        (b"rcpthosts", _with_lines(control.text(b"rcpthosts"), (fqdn, *also))),
    ]
    for name, text in files:
        if control.text(name) != text:
            path = home + b"/control/" + name
            try:
                durable.replace_file(path, path + b".new", text)
            except OSError as error:
                reason = os.fsencode(error.strerror or str(error))
                raise Temporary(b"unable to write " + path + b": " + reason) from error
    return files


def extensions() -> bytes:
    """The text of control/smtpextensions with everything that there is."""
    return b"".join([word + b"\n" for word in smtpextensions.KNOWN])


def announce(home: bytes) -> None:
    """Write control/smtpextensions for a home that has no name yet: a new system. Raises OSError."""
    path = home + b"/control/" + EXTENSIONS
    if not os.path.lexists(home + b"/control/me") and not os.path.lexists(path):
        durable.replace_file(path, path + b".new", extensions())


def is_host_name(name: bytes) -> bool:
    """Letters, digits, hyphens and underscores in labels of 1 to 63 bytes, dots between, at most 253 bytes."""
    labels = name.split(b".")
    return len(name) <= LONGEST and ALLOWED.issuperset(name) and all(0 < len(label) < 64 for label in labels)


def default_domain(fqdn: bytes) -> bytes:
    """The name without its first label, or the whole name where that would leave no dot."""
    rest = fqdn.partition(b".")[2]
    return rest if b"." in rest else fqdn


def plus_domain(fqdn: bytes) -> bytes:
    """The last two labels."""
    return b".".join(fqdn.split(b".")[-2:])


def _with_lines(text: bytes | None, lines: Iterable[bytes]) -> bytes:
    # A name is added once: what an administrator has added since stays.
    text = text or b""
    present = {line.strip().lower() for line in text.split(b"\n")}
    for line in lines:
        if line.lower() not in present:
            present.add(line.lower())
            text += (b"\n" if text and not text.endswith(b"\n") else b"") + line + b"\n"
    return text
