"""Policies of domains, asked of qmail-stsd (protocols/policyquery). Where none answers in time, there are none."""

from __future__ import annotations

import os

from qmail.formats import mtasts
from qmail.host import localsocket
from qmail.host.clock import monotonic
from qmail.protocols import policyquery
from qmail.protocols.policyquery import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.home import Home

SOCKET = b"qr/sts"
LOCK = b"qr/sts.lock"  # held by the qmail-stsd that answers there
DIRECTORY = b"sts"  # its cache
MODE = 0o600  # of the socket: nobody asks but qmailr and root
PATIENCE = 8  # seconds for qmail-stsd to answer; it gives up earlier by itself
KEPT = 60.0  # seconds during which an answer need not be asked for again
MOST_KEPT = 1000
UNANSWERED = 10.0  # seconds without asking, after qmail-stsd did not answer
_UNANSWERED = Answer(lasting=False)


class Policies:
    """The way to qmail-stsd, for a process that may wait a little."""

    def __init__(self, where: Home) -> None:
        self._path = where.file(SOCKET)
        self._descriptor = -1
        self._kept: dict[bytes, tuple[float, Answer]] = {}
        self._not_before = 0.0

    def find(self, domain: bytes) -> Answer:
        """What is known of a domain. Nothing raises."""
        name = domain.lower().rstrip(b".")
        if not mtasts.is_domain(name):
            return Answer()
        now = monotonic()
        until, answer = self._kept.get(name, (0.0, _UNANSWERED))
        if until > now or self._not_before > now:
            return answer
        told = self._asked(name)
        if told is None:
            return answer
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[name] = (monotonic() + KEPT if told.lasting else 0.0, told)
        return told

    def known(self, domain: bytes) -> Answer:
        """The same, of what was asked for last; nobody is asked now."""
        return self._kept.get(domain.lower().rstrip(b"."), (0.0, _UNANSWERED))[1]

    def close(self) -> None:
        """Let the connection go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _asked(self, name: bytes) -> Answer | None:
        for fresh in (self._descriptor < 0, True):
            try:
                if self._descriptor < 0:
                    self._descriptor = localsocket.connect(self._path, localsocket.PACKETS, patience=PATIENCE)
                os.write(self._descriptor, name)
                packet = os.read(self._descriptor, policyquery.LONGEST_ANSWER)
                if packet:
                    return policyquery.parse(packet)
            except BlockingIOError:
                # It does not answer, and must not hold up whatever comes next.
                self._not_before = monotonic() + UNANSWERED
                fresh = True
            except OSError:
                pass
            # A kept connection may have been closed by one that went away: once more, on a new one.
            self.close()
            if fresh:
                break
        return None
