"""qmail-rcptd: says whether there is a recipient, before mail for him is taken.

Mail for nobody is refused at the door instead of being sent back, to a sender who
may be made up.

Usage: qmail-rcptd

    exec setuidgid qmailp qmail-rcptd        # a run script

Behaviour:
Listens at qp/rcpt, where qmail-smtpd asks about each recipient. It decides as a
delivery would, by the same code: control files say whether mail is local, and
users/cdb, else the accounts of the system, who answers; then there must be a
.qmail file, a default, or an address that needs none. A recipient is unknown
where a delivery would fail with "no mailbox here by that name".

A recipient at another host is unknown where control/relayrecipients, or
morerelayrecipients.cdb made of more such lines (qmail-newmrr), lists recipients
of that domain, and not him. Lines are `user@domain`, `user-default@domain`, for
all that begin with `user-`, and `@domain`, for all.

Where it cannot see into a home, which is so with mode 0700, it asks qmail-lspawn
at ql/homes, and remembers the answer for 60 seconds. Whatever cannot be found
out within 2 seconds is taken: also where bin/qmail-getpw or bin/qmail-local is
not ours, and for homes in which deliveries are put off. Control files and
users/cdb are read again when they have changed; qmail-send follows a changed
locals or virtualdomains after HUP, so give it that at once. A second qmail-rcptd
for the same home exits 111.

Files: qp/rcpt, qp/lock, ql/homes; users/cdb; control/: me, locals, percenthack,
virtualdomains, envnoathost, relayrecipients, morerelayrecipients.cdb. One that
cannot be read is 451 for every recipient that it might be about.
Runs as: qmailp.
Faces: recipients from strangers; only root, qmaild and qmailp may ask.
Exit codes: 100 usage; 111 another one runs, or the socket cannot be made.
"""

from __future__ import annotations

import gc
import pwd
import resource
from collections import deque
from functools import partial

from qmail.formats.verdict import Temporary, Usage
from qmail.host import locks, sandbox, title
from qmail.host.clock import monotonic
from qmail.host.localsocket import Listener
from qmail.host.loop import Loop
from qmail.host.reasons import reason
from qmail.protocols.recipients import UNTOLD
from qmail.stores import asking, confinement, home
from qmail.stores.answering import Client, Clients
from qmail.stores.recipients import OWNER, Recipients

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

USAGE = b"qmail-rcptd: usage: qmail-rcptd"
LOCK = b"qp/lock"
MOST_CLIENTS = 1000
MOST_ASKED = 40  # questions to qmail-lspawn under way
MOST_WAITING = 4000  # questions that wait for that
KNOWN_FOR = 60.0  # seconds that an answer of qmail-lspawn is good for
MOST_KNOWN = 10_000  # answers
_OURS = ("root", "qmaild")


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) > 1:
        raise Usage(USAGE)
    where = home.find(argv[0], environ)
    try:
        # Held until the end of the process.
        if locks.take(where.file(LOCK)) is None:
            raise Temporary(b"qmail-rcptd is already running")
        listener = Listener(where.file(asking.RECIPIENTS), 0o666)
    except OSError as error:
        raise Temporary(b"unable to listen at " + where.file(asking.RECIPIENTS) + b": " + reason(error)) from error
    title.show(b"qmail-rcptd")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    service = Service(where, listener)
    gc.freeze()
    sandbox.enter(confinement.recipients())
    service.run()


def _may_ask(where: home.Home) -> frozenset[int]:
    found = {where.account(b"qmailp")[0]}
    for name in _OURS:
        try:
            found.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            pass  # single-user mode
    return frozenset(found)


class Service:
    """The loop: questions in, decisions, and what only the owners of homes can tell."""

    def __init__(self, where: home.Home, listener: Listener) -> None:
        self._loop = Loop()
        self._recipients = Recipients(where)
        self._owners = asking.Asker(self._loop, where.file(asking.HOMES))
        self._known: dict[bytes, tuple[float, bytes]] = {}  # local part: until when, verdict
        self._asking: dict[bytes, list[tuple[Client, int]]] = {}  # asked or to be asked, and who wants to know
        self._waiting: deque[bytes] = deque()  # those to be asked
        Clients(self._loop, listener, _may_ask(where), self._verdict, MOST_CLIENTS)

    def run(self) -> NoReturn:
        """For ever."""
        while True:
            while self._waiting and len(self._asking) - len(self._waiting) < MOST_ASKED:
                local = self._waiting.popleft()
                self._owners.ask(local, partial(self._told, local))
            self._loop.round(self._owners.rest())
            self._owners.tick()

    def _verdict(self, client: Client, tag: int, recipient: bytes) -> bytes | None:
        verdict, local = self._recipients.verdict(recipient)
        if verdict != OWNER:
            return verdict
        until, known = self._known.get(local, (0.0, UNTOLD))
        if until > monotonic():
            return known
        if len(self._waiting) >= MOST_WAITING:
            return UNTOLD
        wanting = self._asking.setdefault(local, [])
        wanting.append((client, tag))
        if len(wanting) == 1:
            self._waiting.append(local)
        return None

    def _told(self, local: bytes, verdict: bytes) -> None:
        if verdict != UNTOLD:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[local] = monotonic() + KNOWN_FOR, verdict
        for client, tag in self._asking.pop(local):
            client.answer(tag, verdict)
