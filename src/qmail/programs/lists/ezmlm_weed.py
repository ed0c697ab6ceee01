"""ezmlm-weed: throw away notices that tell of no failure.

A program for lines of .qmail files.

Usage: ezmlm-weed

    |ezmlm-weed
    |ezmlm-return /home/joe/sos

Behaviour:
These are thrown away: reports (multipart/report) in which no Action is `failed`;
notices of success and of delay; sendmail's warnings; answers of machines
(Precedence: bulk or junk, Auto-Submitted: auto-replied and some others); mail
from lists. A report that has a failure in it is never thrown away. The first
256 KiB of the body are looked at.

Runs as: the owner of the list.
Exit codes: 0 it may be a failure; 99 thrown away, later lines are not followed;
    111 it cannot be read.
See also: ezmlm-return(1).
"""

from __future__ import annotations

from qmail.formats.verdict import STOP, SUCCESS
from qmail.rules.listweed import is_useless
from qmail.stores.listmail import Incoming


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    incoming = Incoming()
    return STOP if is_useless(incoming.fields, incoming.body()) else SUCCESS
