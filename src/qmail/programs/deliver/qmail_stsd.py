"""qmail-stsd: says which policy a domain has on TLS for its mail (MTA-STS, RFC 8461).

Policies are published on web servers. This program knows them for qmail-remote,
and is the only one that fetches any.

Usage: qmail-stsd [-i SECONDS]

    exec setuidgid qmailr qmail-stsd         # a run script; it need not be a service

    -i SECONDS  end after so long without a question

qmail-rspawn starts one where none runs.

Behaviour:
Listens at qr/sts (with -i: at the socket on descriptor 0), where qmail-remote's
warm processes ask. For a domain it looks the TXT record of _mta-sts.DOMAIN up.
Where that announces a policy that is not in the cache, it is fetched from
https://mta-sts.DOMAIN/.well-known/mta-sts.txt: within a minute, at most 64 KiB
of text/plain, no redirection, from a server whose certificate this system, or
control/tlstrust.pem, vouches for. Up to 10 are fetched at once, each by a process
of its own. Whoever asks waits 5 seconds at most, and is then told what is in the
cache, or that there is nothing.

Policies are kept in sts/, at most 10,000 and 64 MiB, as long as they say, which
may be a year at most. One that cannot be fetched again, or that is not announced
any more, holds until then; that it cannot be fetched is said on descriptor 2, and
tried again after 5 minutes. One that is a day old, or has lived half of its time,
is fetched anew when somebody asks for it. To forget a policy, remove its file. A
second qmail-stsd for the same home exits 111.

Environment: DNSCACHEIP names servers to ask where no qmail-dns runs; STSPORT: the
port to fetch from, in place of 443.
Files: qr/sts, qr/sts.lock; sts/; control/: tlstrust.pem.
Runs as: qmailr.
Faces: the web servers of other domains; only qmailr and root may ask.
Exit codes: 0 idle; 100 usage; 111 another one runs, the socket cannot be made, or
    sts/ cannot be read.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from functools import partial

from qmail.formats import mtasts
from qmail.formats.verdict import Temporary
from qmail.host import fds, program, sandbox, title
from qmail.host.clock import monotonic, now
from qmail.host.loop import Loop
from qmail.host.reasons import reason
from qmail.protocols import dnsquery, policyquery
from qmail.stores import confinement, home, listening, policies
from qmail.stores.lookups import Lookups
from qmail.stores.policycache import Cache
from qmail.stores.policyfetch import Fetch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.host.localsocket import Listener
    from qmail.protocols.dnsquery import Answer
    from qmail.stores.policycache import Kept
    from qmail.stores.policyfetch import Fetched

USAGE = b"qmail-stsd: usage: qmail-stsd [ -i seconds ]"
MOST_CLIENTS = 1200
MOST_FETCHES = 10  # at once
MOST_INQUIRIES = 1000  # domains that are being asked about
PATIENCE = 5.0  # seconds that whoever asks waits
SETTLED = 60.0  # seconds until the DNS is asked again whether there is a new policy
BACKOFF = 300.0  # seconds until a fetch that failed is tried again
MOST_SETTLED = 20_000  # domains of which that is remembered
OLD = 86400.0  # seconds after which a policy is fetched anew


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    idle = listening.idle(argv[1:], USAGE)
    where = home.find(argv[0], environ)
    listener = listening.begin(where, b"qmail-stsd", policies.LOCK, policies.SOCKET, policies.MODE)
    fds.most()
    try:
        cache = Cache(where)
    except OSError as error:
        raise Temporary(b"unable to read " + where.file(policies.DIRECTORY) + b": " + reason(error)) from error
    title.show(b"qmail-stsd")
    service = Service(where, environ, listener, cache)
    gc.freeze()
    sandbox.enter(confinement.policies(where))
    service.run(idle)
    return 0


class Inquiry:
    """What is being asked about a domain, and who waits for it.

    `announced`: what its record says, once that is known. `known`: the policy in the cache is that one, and is only
    fetched anew.
    """

    __slots__ = ("announced", "domain", "known", "waiting")

    def __init__(self, domain: bytes) -> None:
        self.domain, self.announced, self.known = domain, b"", False
        self.waiting: set[int] = set()


class Service:
    """The loop: questions in, names looked up, policies fetched, answers out."""

    def __init__(self, where: home.Home, environ: Mapping[bytes, bytes], listener: Listener, cache: Cache) -> None:
        self._home, self._environ, self._cache = where, environ, cache
        self._loop = Loop()
        self._names = Lookups(where, environ, b"qmail-stsd")
        self._names.join(self._loop)
        self._clients = listening.Packets(
            self._loop, listener, MOST_CLIENTS, policyquery.LONGEST_QUESTION, self._question, self._gone
        )
        self._inquiries: dict[bytes, Inquiry] = {}
        self._waiting: dict[int, tuple[bytes, float]] = {}  # clients: for which domain, until when
        self._fetching: set[Fetch] = set()
        self._to_fetch: deque[Inquiry] = deque()
        self._settled: dict[bytes, tuple[float, bytes]] = {}  # until when, and a failure
        self._active = monotonic()

    def run(self, idle: float | None) -> None:
        """For ever, or until nobody has asked for `idle` seconds."""
        while True:
            times = [self._clients.attend(), self._tick()]
            if idle is not None and not self._inquiries:
                left = self._active + idle - monotonic()
                if left <= 0:
                    return
                times.append(left)
            self._loop.round(min((time for time in times if time is not None), default=None))

    def _tick(self) -> float | None:
        """Begin what may begin and end what must end; in how many seconds the next thing is due."""
        while self._to_fetch and len(self._fetching) < MOST_FETCHES:
            self._fetch(self._to_fetch.popleft())
        time = monotonic()
        for fetch in [each for each in self._fetching if each.until <= time]:
            fetch.end()
        # In the order of coming, and so of their ends.
        while self._waiting:
            client, (domain, until) = next(iter(self._waiting.items()))
            if until > time:
                break
            inquiry = self._inquiries[domain]
            inquiry.waiting.discard(client)
            failure = policyquery.FETCHING if inquiry.announced else b""
            self._tell(client, self._cache.find(domain, now()), failure, unsure=True)
        ends = [each.until for each in self._fetching] + [until for _, until in self._waiting.values()][:1]
        return max(min(ends) - time, 0.0) if ends else None

    def _question(self, client: int, domain: bytes) -> None:
        self._active = monotonic()
        if client in self._waiting or not mtasts.is_domain(domain):
            self._clients.hang_up(client)
            return
        inquiry, kept = self._inquiries.get(domain), self._cache.find(domain, now())
        until, failure = self._settled.get(domain, (0.0, b""))
        if until > self._active or (inquiry and inquiry.known):
            self._tell(client, kept, failure)
            return
        if not inquiry and len(self._inquiries) >= MOST_INQUIRIES:
            self._tell(client, kept, b"", unsure=True)
            return
        self._waiting[client] = (domain, self._active + PATIENCE)
        if inquiry is None:
            inquiry = self._inquiries[domain] = Inquiry(domain)
            inquiry.waiting.add(client)
            self._names.ask(dnsquery.TEXTS, b"_mta-sts." + domain, partial(self._announced, inquiry))
        else:
            inquiry.waiting.add(client)

    def _announced(self, inquiry: Inquiry, answer: Answer) -> None:
        kept = self._cache.find(inquiry.domain, now())
        if answer.trouble:
            del self._inquiries[inquiry.domain]
            self._answer(inquiry, kept, unsure=True)
            return
        announced = mtasts.announced(answer.records)
        if announced is None:
            # Whatever is in the cache holds all the same (RFC 8461 5.1).
            self._finish(inquiry, kept)
            return
        inquiry.announced = announced
        if kept is not None and kept.announced == announced:
            if kept.age < min(OLD, kept.policy.max_age / 2):
                self._finish(inquiry, kept)
                return
            inquiry.known = True
            self._answer(inquiry, kept)
        self._to_fetch.append(inquiry)

    def _fetch(self, inquiry: Inquiry) -> None:
        try:
            fetch = Fetch(self._home, self._environ, self._loop, inquiry.domain)
        except OSError as error:
            self._failed(inquiry, policyquery.FETCHING, reason(error))
            return
        self._fetching.add(fetch)
        fetch.then(partial(self._fetched, inquiry, fetch))

    def _fetched(self, inquiry: Inquiry, fetch: Fetch, result: Fetched) -> None:
        self._fetching.discard(fetch)
        if result.failure:
            self._failed(inquiry, result.failure, result.why)
            return
        try:
            self._cache.keep(inquiry.domain, inquiry.announced, result.text)
        except OSError as error:
            self._failed(inquiry, policyquery.FETCHING, b"unable to write it: " + reason(error))
        else:
            self._finish(inquiry, self._cache.find(inquiry.domain, now()))

    def _failed(self, inquiry: Inquiry, failure: bytes, why: bytes) -> None:
        kept = self._cache.find(inquiry.domain, now())
        if kept is None or kept.policy.mode != mtasts.NONE:  # RFC 8461 3.3
            words = b"qmail-stsd: warning: the policy of %b cannot be had: %b" % (inquiry.domain, why)
            fds.write_if_ready(2, program.line(words))
        self._finish(inquiry, kept, failure)

    def _finish(self, inquiry: Inquiry, kept: Kept | None, failure: bytes = b"") -> None:
        self._settled.pop(inquiry.domain, None)
        self._settled[inquiry.domain] = (monotonic() + (BACKOFF if failure else SETTLED), failure)
        if len(self._settled) > MOST_SETTLED:
            del self._settled[next(iter(self._settled))]
        del self._inquiries[inquiry.domain]
        self._answer(inquiry, kept, failure)

    def _answer(self, inquiry: Inquiry, kept: Kept | None, failure: bytes = b"", *, unsure: bool = False) -> None:
        waiting, inquiry.waiting = inquiry.waiting, set()
        for client in waiting:
            self._tell(client, kept, failure, unsure=unsure)

    def _tell(self, client: int, kept: Kept | None, failure: bytes, *, unsure: bool = False) -> None:
        self._waiting.pop(client, None)
        if kept is not None:
            packet = policyquery.FOUND + kept.text
        elif unsure:
            packet = policyquery.UNSURE + failure
        else:
            packet = policyquery.FAILED + failure if failure else policyquery.NOTHING
        try:
            os.write(client, packet)
        except OSError:
            self._clients.hang_up(client)

    def _gone(self, client: int) -> None:
        domain, _ = self._waiting.pop(client, (b"", 0.0))
        if domain in self._inquiries:
            self._inquiries[domain].waiting.discard(client)
