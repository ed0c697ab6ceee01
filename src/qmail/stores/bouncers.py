"""Who tells of failures, and who hears of those that nobody else can be told of (qmail-control(5))."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.control import Control


class Names:
    """Who bounces: control files bouncefrom, bouncehost, and doublebounceto with doublebouncehost.

    `reports`: whether bounceformat wants every notice to be a report (RFC 3464).
    """

    __slots__ = ("host", "local", "postmaster", "reports")

    def __init__(self, local: bytes, host: bytes, postmaster: bytes, *, reports: bool = False) -> None:
        self.local, self.host, self.postmaster, self.reports = local, host, postmaster, reports


def names(control: Control) -> Names:
    """What the files say. Raises Temporary where one cannot be read."""
    postmaster = _line(control, b"doublebounceto", b"postmaster") + b"@" + line_or_me(control, b"doublebouncehost")
    local, host = _line(control, b"bouncefrom", b"MAILER-DAEMON"), line_or_me(control, b"bouncehost")
    return Names(local, host, postmaster, reports=_line(control, b"bounceformat", b"").strip() == b"report")


def line_or_me(control: Control, name: bytes) -> bytes:
    """The line of this file, else that of me, else the file's own name. Raises Temporary."""
    line = control.line_or_me(name)
    return name if line is None else line


def _line(control: Control, name: bytes, default: bytes) -> bytes:
    line = control.line(name)
    return default if line is None else line
