"""What became of a DNS record that was looked for."""

from __future__ import annotations

from qmail.rules.finding import Finding

OK, MISSING, WRONG, UNSURE = b"ok", b"missing", b"wrong", b"unsure"


class Verdict:
    """`status`; `subject`: name and type; `what` is so, and what to `do` (b"" where it is OK).

    `needed`: mail is lost, or refused by others, without it; else it is advised.
    """

    __slots__ = ("do", "needed", "status", "subject", "what")

    def __init__(self, status: bytes, subject: bytes, what: bytes, do: bytes = b"", *, needed: bool = True) -> None:
        self.status, self.subject, self.what, self.do, self.needed = status, subject, what, do, needed

    @property
    def is_trouble(self) -> bool:
        """Is something wrong, other than that something advised is not there?"""
        return self.status == WRONG or (self.status == MISSING and self.needed)

    @property
    def finding(self) -> Finding:
        """The same in two sentences."""
        return Finding(self.subject + b" in the DNS: " + self.what, self.do)

    @property
    def text(self) -> bytes:
        """One line, or two, for a person or a script: the status, the subject, what is so; then what to do."""
        advised = b"" if self.needed or self.status != MISSING else b" (advised)"
        line = b"%-8b" % self.status + self.subject + advised + b": " + self.what
        shown = Finding(line, self.do).text
        return shown if self.do else shown.partition(b"\n")[0] + b"\n"
