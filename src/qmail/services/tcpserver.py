"""tcpserver, with warm processes behind it where it is told to run one of our own servers."""

from __future__ import annotations

from qmail.host import title
from qmail.programs.ucspi import tcpserver
from qmail.services import smtpd


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as `qmail.programs.ucspi.tcpserver` describes."""
    title.prepare()
    return tcpserver.main(argv, environ, smtpd.resident)


__doc__ = tcpserver.__doc__
