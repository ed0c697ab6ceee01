"""qmail-tlsrpt: reports on TLS to the domains that mail went to and that want them (RFC 8460).

Usage: qmail-tlsrpt [-n] [-d DAY] [-f ADDRESS]

    5 0 * * *  setuidgid qmailr qmail-tlsrpt     # a line of cron's: every night, on yesterday
    qmail tlsrpt -n                              # show what would be sent, and send nothing

    -n          show the reports, and to whom they would go
    -d DAY      the day to report on, as 2026-11-26, UTC (default: yesterday)
    -f ADDRESS  who sends them, and answers questions (default: postmaster at this host)

Behaviour:
qmail-tlsrptd has counted the sessions of that day. For each domain the TXT record
of _smtp._tls.DOMAIN is looked up; where it names mailboxes (rua=mailto:), a
report on this domain goes there as mail: JSON, compressed, in a multipart/report.
Places that take reports by HTTPS alone get none, and are named on descriptor 2.

A domain that has got its report of a day is noted beside the counts, so that the
command may be run again after a failure. RFC 8460 asks for a DKIM signature, which
whatever signs the other mail of this host has to make, and that reports go also
where TLS fails. They say so (`TLS-Required: No`, RFC 8689) to hosts that read it;
qmail-remote does not, and there they wait as other mail does, unless
control/tlspolicy has a line with `may` for the domain that they go to.

Environment: QMAIL_HOME; DNSCACHEIP, where no qmail-dns runs; QMAILQUEUE.
Files: tlsrpt/; control/: me.
Runs as: qmailr, or root.
Exit codes: 0 done; 100 usage; 111 something could not be read, looked up, or sent,
    and running it again goes on from there.
"""

from __future__ import annotations

import calendar
import os
import re
import time

from qmail.formats import logline, received, tlscount, tlsreport
from qmail.formats.options import Wrong, options
from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import durable, fds, program
from qmail.host.clock import now
from qmail.host.reasons import reason
from qmail.protocols import dnsquery
from qmail.stores import home as homes
from qmail.stores import names, submission, tlscounts
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.formats.tlscount import Session
    from qmail.formats.tlsreport import Heading
    from qmail.stores.home import Home

USAGE = b"qmail-tlsrpt: usage: qmail-tlsrpt [ -n ] [ -d day ] [ -f address ]"
DAY = 86400  # seconds
AT_ONCE = 100  # names looked up together
_DAY = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        found, words = options(argv[1:], b"nd:f:")
    except Wrong:
        raise Usage(USAGE) from None
    given = dict(found)
    day = given.get(b"d", tlscounts.day_of(now() - DAY))
    if words or not _DAY.fullmatch(day):
        raise Usage(USAGE)
    where = homes.find(argv[0], environ)
    try:
        me = Control(where.path).line(b"me")
        if not me:
            raise Permanent(b"control/me does not say what this host is called")
        return Reports(where, environ, day, me, given.get(b"f", b"postmaster@" + me), dry=b"n" in given).make()
    except OSError as error:
        raise Temporary(os.fsencode(error.filename or b"") + b": " + reason(error)) from error


class Reports:
    """Those of a day."""

    def __init__(
        self, where: Home, environ: Mapping[bytes, bytes], day: bytes, me: bytes, contact: bytes, *, dry: bool
    ) -> None:
        self._home, self._environ, self._dry = where, environ, dry
        self._day, self._me, self._contact = day, me, contact
        self._note = where.file(tlscounts.DIRECTORY) + b"/" + day + b".sent"
        self._code = 0

    def make(self) -> int:
        """Make and send them; the exit code."""
        try:
            begin = calendar.timegm(time.strptime(self._day.decode(), "%Y-%m-%d"))
        except ValueError:
            raise Permanent(self._day + b" is no day") from None
        domains: dict[bytes, dict[Session, int]] = {}
        for line, count in tlscounts.read(self._home, self._day).items():
            session = tlscount.session(line)
            domains.setdefault(session.domain, {})[session] = count
        sent = self._sent()
        waiting = [domain for domain in sorted(domains) if self._dry or domain not in sent]
        for at in range(0, len(waiting), AT_ONCE):
            some = waiting[at : at + AT_ONCE]
            for domain, places in zip(some, self._wanting(some), strict=True):
                heading = tlsreport.Heading(domain, self._me, self._contact, self._day, begin)
                if places is None:
                    self._complain(domain, b"nobody could say whether it wants a report")
                elif not places:
                    sent[domain] = None
                elif self._reported(heading, domains[domain], places):
                    sent[domain] = None
                    self._keep(sent)
            self._keep(sent)
        return self._code

    def _wanting(self, domains: list[bytes]) -> list[list[bytes] | None]:
        """The places that each domain names; None where that could not be looked up."""
        asking = names.Names(self._home, self._environ)
        answers = asking.ask([(dnsquery.TEXTS, b"_smtp._tls." + domain) for domain in domains])
        asking.close()
        return [None if answer.trouble else tlsreport.wanted(answer.records) for answer in answers]

    def _reported(self, heading: Heading, sessions: dict[Session, int], places: list[bytes]) -> bool:
        """Send one, or show it. Is nothing left to be done?"""
        boxes = [box for box in map(tlsreport.mailbox, places) if box is not None]
        for place in places:
            if tlsreport.mailbox(place) is None:
                told = heading.domain + b": no report to " + logline.safe(place) + b", which is no mailbox\n"
                program.say(2, b"qmail-tlsrpt: " + told)
        text = tlsreport.report(heading, sessions)
        if self._dry:
            program.say(1, heading.domain + b": to " + (b", ".join(boxes) or b"nobody") + b"\n" + text)
            return True
        if not boxes:
            return True
        import gzip

        packed = gzip.compress(text, mtime=heading.begin)
        mail = tlsreport.message(heading, boxes, received.date(int(now())), packed)
        handing = submission.begin(self._home, self._environ)
        handing.write(mail)
        outcome = handing.finish(self._contact, boxes)
        if outcome.code:
            self._complain(heading.domain, submission.words(outcome)[1:])
            return False
        program.say(1, heading.domain + b": sent to " + b", ".join(boxes) + b"\n")
        return True

    def _complain(self, domain: bytes, words: bytes) -> None:
        self._code = 111
        program.say(2, b"qmail-tlsrpt: " + program.line(domain + b": " + words))

    def _sent(self) -> dict[bytes, None]:
        """The domains that are done with for this day."""
        try:
            descriptor = fds.open_to_read(self._note)
        except FileNotFoundError:
            return {}
        try:
            return dict.fromkeys((fds.read_all(descriptor, tlscounts.LARGEST) or b"").split())
        finally:
            os.close(descriptor)

    def _keep(self, sent: dict[bytes, None]) -> None:
        if not self._dry:
            text = b"".join([domain + b"\n" for domain in sent])
            # Readable for qmailr also where root has written it: the directory is closed to others.
            durable.replace_file(self._note, self._note + b".new", text)
