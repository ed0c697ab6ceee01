"""qmail-newmrh: control/morercpthosts becomes control/morercpthosts.cdb.

For hosts that take mail for many domains: rcpthosts is read by every session, a
compiled file is asked for one name.

Usage: qmail-newmrh

    echo shop.example >> /var/qmail/control/morercpthosts && qmail-newmrh

One host, or `.suffix` of hosts, a line, as in rcpthosts; comments begin with
`#`.

Behaviour:
qmail-smtpd and qmail-qmtpd look there for what is not in rcpthosts, from their
next session on. The file is replaced as a whole or not at all.

Files: control/morercpthosts, control/morercpthosts.cdb,
control/morercpthosts.tmp.
Runs as: root.
Exit codes: 0; 111 control/morercpthosts cannot be read, or the new file cannot
    be written.
"""

from __future__ import annotations

import os

from qmail.formats import cdb
from qmail.formats.verdict import Temporary
from qmail.host import durable, fds
from qmail.host.reasons import reason
from qmail.stores import home

LARGEST = 1 << 28  # bytes; what it becomes is read whole by every server
SOURCE, TARGET, NEW = b"control/morercpthosts", b"control/morercpthosts.cdb", b"control/morercpthosts.tmp"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    place = home.find(argv[0], environ)
    lines = [line.rstrip(b" \t") for line in _text(place.file(SOURCE)).split(b"\n")]
    data = cdb.make((line.lower(), b"") for line in lines if line and not line.startswith(b"#"))
    try:
        durable.replace_file(place.file(TARGET), place.file(NEW), data)
    except OSError as error:
        raise Temporary(b"unable to write " + NEW + b", or to move it to " + TARGET + b": " + reason(error)) from error
    return 0


def _text(path: bytes) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = fds.read_all(descriptor, LARGEST)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Temporary(b"unable to read " + SOURCE + b": " + reason(error)) from error
    if text is None:
        raise Temporary(SOURCE + b" is larger than 256 MiB")
    return text
