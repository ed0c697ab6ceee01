"""qmail-dns-records: the DNS records that this host and its domains need, and which of them are there.

Usage: qmail-dns-records [--check] [--address ADDRESS]... [--services DIRECTORY]... [DOMAIN]...

    qmail dns
    qmail dns example.com
    qmail dns --check example.com

    --check    ask the DNS, and say of each record what became of it
    --address ADDRESS  an address that leads to this host (default: the public
               ones of this machine); may be given more than once
    --services DIRECTORY  where service directories are, as for qmail-doctor

Each DOMAIN is one whose users this host has (default: the names in control/locals
and control/virtualdomains).

Behaviour:
Without --check nothing is asked. What is printed are lines of a zone file, each
below a comment that says what it is for, ready to be copied: the addresses of
this host, which is control/me; TLSA records (3 1 1, DANE) of the key in use, and
of the one in the certificate's FILE.next, where there is such a file with the
next certificate or public key; then of each domain MX, SPF, DMARC, MTA-STS,
TLS-RPT, and SRV records of the services that listen, as their run files say.
What cannot be a line of your zone stands in comments: the names of addresses,
which you ask your provider for, and the text of the MTA-STS policy, which a web
server has to show. Its id is made of that text. Where mail leaves by another
host (`:HOST` in control/smtproutes), SPF is what that host's owner says.

With --check, each record is a line that begins with its status, and below what
is not ok a line says what to do:

    ok      example.com MX: mail.example.com
    missing _dmarc.example.com TXT (advised): nothing that begins with v=DMARC1
        add _dmarc.example.com. IN TXT "v=DMARC1; ..."

    ok       it is there and right
    missing  it is not there; where it is only advised, that is said
    wrong    it is there, and does not do what it should
    unsure   no name server could say, or it takes more to know

The address has to be one of this machine, unless this machine has none that is
public; its name (PTR) has to lead back to it; MX has to lead here; SPF has to
pass for each address that mail leaves from; TLSA has to be that of the key in
use, and validated (DNSSEC): ask a validating name server. A policy of MTA-STS is
fetched where one is announced, and has to name the exchangers.

Environment: QMAIL_HOME; DNSCACHEIP: the name servers to ask, where no qmail-dns
runs; else /etc/resolv.conf. STSPORT: the port to fetch policies from, in place of
443.
Files: control/me, locals, virtualdomains, smtproutes, servercert.pem, tls, and .next behind
the name of a certificate's file; run files.
Runs as: root, who may read the certificates, or the owner in single-user mode.
Exit codes: 0 all there and right, or printed; 1 something is wrong, or missing and
    needed; 2 only what is advised is missing; 100 usage; 111 a file cannot be
    read, or no name server could say, and nothing worse is so.
"""

from __future__ import annotations

import os
from functools import partial

from qmail.formats.verdict import Temporary, Usage
from qmail.host import connect, program
from qmail.rules import mailrecords
from qmail.rules.recordverdict import MISSING, UNSURE
from qmail.stores import configuration, policyfetch, publicsite, survey
from qmail.stores import home as homes
from qmail.stores.names import Names
from qmail.stores.recordcheck import Check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qmail.rules.mailrecords import Record, Site
    from qmail.rules.recordverdict import Verdict

USAGE = (
    b"qmail-dns-records: usage: "
    b"qmail-dns-records [--check] [--address ADDRESS]... [--services DIRECTORY]... [DOMAIN]..."
)
POLICY = b"""
; The policy of MTA-STS, for https://mta-sts.DOMAIN/.well-known/mta-sts.txt, as text/plain, with a certificate for
; mta-sts.DOMAIN. When all has gone well for some weeks, write `mode: enforce` there, and id=%b in the record.
"""
TROUBLE, ADVISED, TEMPORARY = 1, 2, 111


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    asked = _Asked(argv[1:])
    home = homes.find(argv[0], environ)
    if not os.path.isdir(home.queue):
        raise Temporary(b"there is no qmail in " + home.path)
    found = survey.Survey(home.path, asked.services).found
    site = publicsite.site(home, found, asked.addresses)
    domains = asked.domains or publicsite.domains(found)
    if not asked.check:
        program.say(1, b"".join(_printed(site, domains)))
        return 0
    check = Check(site, Names(home, environ), partial(policyfetch.awaited, home, environ))
    seen = list(_told(check.host()))
    for domain in domains:
        seen += _told(check.domain(domain))
    return _code(seen)


class _Asked:
    """The arguments. Raises Usage."""

    def __init__(self, words: list[bytes]) -> None:
        self.check = False
        self.addresses: list[bytes] = []
        self.services: list[bytes] = []
        self.domains: list[bytes] = []
        while words:
            word = words.pop(0)
            if word == b"--check":
                self.check = True
            elif word == b"--services" and words:
                self.services.append(words.pop(0))
            elif word == b"--address" and words:
                address = connect.packed(words.pop(0))
                if address is None:
                    raise Usage(USAGE)
                self.addresses.append(address)
            elif configuration.is_host_name(word) and not word.startswith(b"-"):
                self.domains.append(word.lower())
            else:
                raise Usage(USAGE)


def _printed(site: Site, domains: Sequence[bytes]) -> Iterator[bytes]:
    yield b"; This host, " + site.name + b".\n"
    if not site.addresses:
        yield b"; This machine has no public address: --address says which one leads here.\n"
    yield from _lines(mailrecords.host(site))
    for domain in domains:
        yield b"\n; The domain " + domain + b".\n"
        yield from _lines(mailrecords.domain(site, domain))
    if domains:
        yield POLICY % mailrecords.policy_id(mailrecords.policy(site.name, b"enforce"))
        for line in mailrecords.policy(site.name).splitlines():
            yield b";     " + line + b"\n"


def _lines(records: Iterator[Record]) -> Iterator[bytes]:
    word = b""
    for record in records:
        if record.word != word:
            word = record.word
            yield b"; " + word + b"\n"
        yield (b"; " if record.elsewhere else b"") + record.line + b"\n"


def _told(verdicts: Iterator[Verdict]) -> Iterator[Verdict]:
    # Each as soon as it is known: with many domains, this takes a while.
    for verdict in verdicts:
        program.say(1, verdict.text)
        yield verdict


def _code(seen: Sequence[Verdict]) -> int:
    if any(verdict.is_trouble for verdict in seen):
        return TROUBLE
    if any(verdict.status == UNSURE for verdict in seen):
        return TEMPORARY
    return ADVISED if any(verdict.status == MISSING for verdict in seen) else 0
