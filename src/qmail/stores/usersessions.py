"""What holds in SMTP sessions of users who log in: the control files that nobody else's session needs."""

from __future__ import annotations

from qmail.formats.verdict import Temporary
from qmail.protocols.smtpsite import Submission, Unreadable
from qmail.stores import loginsource, userlimits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.control import Control, Stamp

FILES = (loginsource.NAME, userlimits.NAME, b"me", b"defaulthost", b"defaultdomain", b"plusdomain", b"idhost")


class Submissions:
    """Read when a session asks for it, and again when a file has changed."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._stamps: list[Stamp] = []
        self._found: Submission | None = None

    def __call__(self) -> Submission:
        """What they say. Raises Unreadable."""
        stamps = self._control.stamps(FILES)
        if self._found is None or stamps != self._stamps:
            self._found, self._stamps = None, stamps
            try:
                self._found = self._read(limited=stamps[FILES.index(userlimits.NAME)] is not None)
            except Temporary as error:
                raise Unreadable from error
        return self._found

    def _read(self, *, limited: bool) -> Submission:
        # Imported here: most sessions are of others.
        from qmail.rules.completing import Completion
        from qmail.rules.rewriting import Unparsable
        from qmail.stores import completion

        control = self._control
        try:
            hosts = completion.hosts(control, {})
        except Unparsable as error:
            raise Temporary(b"a host to complete addresses with cannot be understood") from error
        mechanisms = loginsource.MECHANISMS[loginsource.source(control)]
        return Submission(mechanisms, Completion(hosts, completion.name(control, {}, b"idhost")), limited=limited)
