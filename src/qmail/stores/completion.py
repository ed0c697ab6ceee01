"""The hosts that complete addresses, from control files and environment (qmail-inject(8))."""

from __future__ import annotations

from qmail.rules.rewriting import Hosts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.stores.control import Control


def name(control: Control, environ: Mapping[bytes, bytes], file: bytes) -> bytes:
    """What QMAILDEFAULTHOST and its like say, else the control file, else me, else the file's own name.

    Raises Temporary where a file cannot be read, also one that the environment overrides.
    """
    value = control.line_or_me(file)
    given = environ.get(b"QMAIL" + file.upper(), file if value is None else value)
    # A line break would end the field that it stands in.
    return given.replace(b"\n", b" ").replace(b"\r", b" ")


def hosts(control: Control, environ: Mapping[bytes, bytes]) -> Hosts:
    """By defaulthost, defaultdomain and plusdomain. Raises Temporary, and Unparsable where one cannot be understood."""
    return Hosts(*(name(control, environ, file) for file in (b"defaulthost", b"defaultdomain", b"plusdomain")))
