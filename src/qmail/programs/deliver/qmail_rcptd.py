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

A recipient at a domain of control/callforward is asked for at the host that has it
(qmail-verifyd). Where that does not say, he is taken.

Last, where control/rcptcheck names a program, qmail-checkd is asked, which runs it;
where that does not answer, recipients are put off. The first of all these, in this
order, that says that a recipient is unknown, or that he cannot be looked up now,
counts.

Where there is no control/rcptcheck, a recipient who is there is there for everybody:
so qmail-smtpd asks again after a second.

Where it cannot see into a home, which is so with mode 0700, it asks qmail-lspawn
at ql/homes, and remembers the answer for 60 seconds. Whatever cannot be found
out within 2 seconds is taken: also where bin/qmail-getpw or bin/qmail-local is
not ours, and for homes in which deliveries are put off. Control files and
users/cdb are read again when they have changed; qmail-send follows a changed
locals or virtualdomains after HUP, so give it that at once. A second qmail-rcptd
for the same home exits 111.

Files: qp/rcpt, qp/lock, ql/homes, qr/verify, qc/check; users/cdb; control/: me,
locals, percenthack, virtualdomains, envnoathost, relayrecipients,
morerelayrecipients.cdb, callforward, rcptcheck. One that cannot be read is 451 for
every recipient that it might be about.
Runs as: qmailp.
Faces: recipients from strangers; only root, qmaild and qmailp may ask.
Exit codes: 100 usage; 111 another one runs, or the socket cannot be made.
"""

from __future__ import annotations

import gc
import pwd
from functools import partial

from qmail.formats.verdict import Temporary, Usage
from qmail.host import fds, sandbox, title
from qmail.host.localsocket import STREAM
from qmail.host.loop import Loop
from qmail.protocols.recipients import STANDING, TAKEN, TROUBLE, UNKNOWN, UNTOLD, combined, parts
from qmail.stores import answering, asking, confinement, home, listening
from qmail.stores.callforward import CallForward
from qmail.stores.control import Control
from qmail.stores.homeanswers import HomeAnswers
from qmail.stores.recipients import OWNER, Recipients

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from qmail.host.localsocket import Listener
    from qmail.stores.answering import Client
    from qmail.stores.asking import Told

    Source = Callable[[Told], None]

NAME = b"qmail-rcptd"
USAGE = b"qmail-rcptd: usage: qmail-rcptd"
LOCK = b"qp/lock"
MOST_CLIENTS = 1000
_OURS = ("root", "qmaild")


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) > 1:
        raise Usage(USAGE)
    where = home.find(argv[0], environ)
    listener = listening.begin(where, NAME, LOCK, asking.RECIPIENTS, 0o666, STREAM)
    title.show(NAME)
    fds.most()
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
    """The loop: questions in, decisions, and what only others can tell."""

    def __init__(self, where: home.Home, listener: Listener) -> None:
        self._loop = Loop()
        self._control = Control(where.path)
        self._recipients = Recipients(where)
        self._homes = HomeAnswers(self._loop, where.file(asking.HOMES))
        self._checks = asking.Asker(self._loop, where.file(asking.CHECKS), asking.BEHIND)
        self._hops = asking.Asker(self._loop, where.file(asking.HOPS), asking.BEHIND)
        self._forward = CallForward(self._control)
        answering.Clients(self._loop, listener, _may_ask(where), self._verdict, MOST_CLIENTS)

    def run(self) -> NoReturn:
        """For ever."""
        while True:
            asked = (self._homes, self._hops, self._checks)
            self._loop.round(min([rest for each in asked if (rest := each.rest()) is not None], default=None))
            for each in asked:
                each.tick()

    def _verdict(self, client: Client, tag: int, text: bytes) -> bytes | None:
        checked = self._control.stamps((b"rcptcheck",)) != [None]
        question = Question(client, tag, checked)
        for source in self._sources(text, checked):
            question.ask(source)
            if question.verdict() in (UNKNOWN, TROUBLE):
                break
        return question.later()

    def _sources(self, text: bytes, checked: bool) -> list[Source]:
        # Whoever has a say in it, in the order in which they count.
        verdict, local, elsewhere = self._recipients.verdict(parts(text)[0])
        sources: list[Source] = [
            partial(self._homes.ask, local) if verdict == OWNER else lambda told: told(verdict),
        ]
        if elsewhere:
            sources.append(partial(self._elsewhere, elsewhere))
        if checked:
            sources.append(partial(self._check, text))
        return sources

    def _elsewhere(self, address: bytes, told: Told) -> None:
        try:
            asked = self._forward.lists(address)
        except Temporary:
            told(TROUBLE)
            return
        if asked:
            self._hops.ask(address, told)
        else:
            told(TAKEN)

    def _check(self, text: bytes, told: Told) -> None:
        # Where a check is wanted, and nobody is there to do it, the message waits.
        self._checks.ask(text, lambda verdict: told(TROUBLE if verdict == UNTOLD else verdict))


class Question:
    """One question, and what those who were asked have said. `checked`: its sender counts, too."""

    __slots__ = ("_checked", "_client", "_open", "_said", "_tag")

    def __init__(self, client: Client, tag: int, checked: bool) -> None:
        self._client, self._tag, self._checked = client, tag, checked
        self._said: list[bytes | None] = []
        self._open = False

    def ask(self, source: Source) -> None:
        """Ask one more, who counts after those before."""
        self._said.append(None)
        source(partial(self._told, len(self._said) - 1))

    def verdict(self) -> bytes | None:
        """The verdict, or None where it must be waited for."""
        verdict = combined(self._said)
        return STANDING if verdict == TAKEN and not self._checked else verdict

    def later(self) -> bytes | None:
        """The same, when all have been asked: where it is None, the client gets an answer later."""
        verdict = self.verdict()
        self._open = verdict is None
        return verdict

    def _told(self, place: int, verdict: bytes) -> None:
        self._said[place] = verdict
        answer = self.verdict()
        if self._open and answer is not None:
            self._open = False
            self._client.answer(self._tag, answer)
