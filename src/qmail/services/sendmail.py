"""sendmail with qmail-inject in the same process: one start instead of two.

A qmail-inject that somebody put in the place of ours is run as a program.
"""

from __future__ import annotations

import os

from qmail.host import program
from qmail.programs.inject import qmail_inject, sendmail
from qmail.stores import home

__doc__ = sendmail.__doc__


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as the manual of sendmail says."""
    return sendmail.main(argv, environ, _start)


def _start(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    if os.path.basename(argv[0]) == b"qmail-inject" and home.is_own(argv[0], b"qmail-inject"):
        return program.ended(argv[0], lambda: qmail_inject.main(argv, environ))
    return sendmail.start(argv, environ)
