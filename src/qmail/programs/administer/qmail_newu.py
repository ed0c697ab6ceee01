"""qmail-newu: users/assign becomes users/cdb.

It must be run after each change of users/assign, or nothing happens.

Usage: qmail-newu

    qmail-pw2u < /etc/passwd > /var/qmail/users/assign && qmail-newu

Behaviour:
qmail-lspawn obeys users/cdb from its next delivery on. The file is replaced as
a whole or not at all; a users/assign with a bad line, or without the line of a
single dot at its end, changes nothing. Its format is that of qmail-users(5).

Files: users/assign, users/cdb, users/cdb.tmp.
Runs as: root.
Exit codes: 0; 111 users/assign cannot be read or is bad, or users/cdb cannot be
    written.
"""

from __future__ import annotations

import os

from qmail.formats import cdb, usersassign
from qmail.formats.verdict import Temporary
from qmail.host import durable, fds
from qmail.stores import home as homes

LARGEST = 256 * 1024 * 1024  # bytes of users/assign


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    home = homes.find(argv[0], environ)
    text = _text(home.file(b"users/assign"))
    try:
        data = cdb.make(usersassign.records(text))
    except (usersassign.Bad, cdb.TooLarge) as error:
        raise Temporary(b"bad format in users/assign") from error
    try:
        durable.replace_file(home.file(b"users/cdb"), home.file(b"users/cdb.tmp"), data)
    except OSError as error:
        raise Temporary(b"unable to write users/cdb.tmp, or to move it to users/cdb") from error
    return 0


def _text(path: bytes) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Temporary(b"unable to open users/assign") from error
    try:
        text = fds.read_all(descriptor, LARGEST)
    except OSError as error:
        raise Temporary(b"unable to read users/assign") from error
    if text is None:
        raise Temporary(b"users/assign is larger than 256 MiB")
    return text
