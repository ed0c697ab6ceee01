"""qmail-lspawn with its company of warm processes."""

from __future__ import annotations

from qmail.programs.deliver import qmail_lspawn
from qmail.services.local_programs import Programs

__doc__ = qmail_lspawn.__doc__  # what --help prints


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run qmail-lspawn."""
    return qmail_lspawn.main(argv, environ, Programs)
