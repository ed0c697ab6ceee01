"""mailsubj: standard input sent to somebody, under a subject.

Usage: mailsubj SUBJECT [RECIPIENT...]

    ps ax | mailsubj 'What runs' joe sue@example.org

Behaviour:
A header with the Subject and a To field for the RECIPIENTs is put in front of
the input, and qmail-inject does the rest. A line break in SUBJECT becomes a
blank.

Environment: see qmail-inject.
Runs as: the user.
Exit codes: those of qmail-inject; 100 usage; 111 qmail-inject crashed, or
    cannot be run.
"""

from __future__ import annotations

from qmail.formats.verdict import TEMPORARY, Usage
from qmail.stores import children, home

USAGE = b"mailsubj: usage: mailsubj subject [ recip ... ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    inject = home.find(argv[0], environ).program(b"qmail-inject")
    # A line break would end the field.
    subject, recipients = (text.replace(b"\n", b" ") for text in (argv[1], b" ".join(argv[2:])))
    head = b"Subject: " + subject + b"\nTo: " + recipients + b"\n\n"
    return children.feed(b"mailsubj", [inject], environ, head, unable=TEMPORARY)
