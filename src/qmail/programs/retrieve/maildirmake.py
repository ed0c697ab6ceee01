"""maildirmake: a new, empty Maildir.

Usage: maildirmake NAME

    maildirmake ~/Maildir
    echo ./Maildir/ > ~/.qmail

Behaviour:
Makes the directory NAME with tmp, new and cur in it, for its owner alone (mode
700). What exists stays, and is an error. See maildir(5).

Runs as: the user who will get the mail.
Exit codes: 0; 100 usage; 111 it cannot be made.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary, Usage
from qmail.host.reasons import reason

USAGE = b"maildirmake: usage: maildirmake name"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    os.umask(0o077)
    name = argv[1]
    for path in (name, name + b"/tmp", name + b"/new", name + b"/cur"):
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            raise Temporary(b"unable to mkdir " + path + b": " + reason(error)) from error
    return 0
