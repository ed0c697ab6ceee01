"""qmail-tlsrptd counts, and qmail-tlsrpt reports: real processes, a name server, and mail that is kept."""

from __future__ import annotations

import email
import gzip
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.rcode
import pytest

from conftest import BIN, Run, have_users, wait_until
from keeping import Keeper
from nameserver import NameServer
from qmail.formats import tlscount
from qmail.formats.tlscount import Session
from qmail.stores import tlscounts
from qmail.stores.home import Home

LIMIT = 30  # seconds for anything
POLICY = [b"version: STSv1", b"mode: enforce", b"mx: *.example.org", b"max_age: 86400"]
GOOD = Session(b"Example.org", b"sts", POLICY)
BAD = Session(b"example.org", b"sts", POLICY, b"certificate-expired", b"mx.example.org", b"192.0.2.1", b"192.0.2.9")
PLAIN = Session(b"example.net", b"no-policy-found", (), b"starttls-not-supported", b"mx.example.net", b"192.0.2.2")


class Counter:
    """A running qmail-tlsrptd, and a way to tell it something."""

    def __init__(self, home: Path, *words: str) -> None:
        self.home, self.words = home, words
        self.log = home.parent / "tlsrptd.log"
        self.start()
        self.teller = tlscounts.Teller(Home(os.fsencode(home)))

    def start(self) -> None:
        who: Any = (
            {"user": "qmailr", "group": "qmail", "extra_groups": []} if os.geteuid() == 0 and have_users() else {}
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BIN / "qmail-tlsrptd", *self.words], env={"QMAIL_HOME": str(self.home)}, stderr=log, cwd="/",
                stdin=subprocess.DEVNULL, **who,
            )  # fmt: skip
        wait_until(lambda: self.process.poll() is not None or self.listens())
        assert self.process.poll() is None, self.log.read_text()

    def listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            return probe.connect_ex(str(self.home / "qr/tlsrpt")) == 0

    def end(self) -> dict[bytes, int]:
        """TERM; what stands in the file of today then."""
        self.process.terminate()
        assert self.process.wait(LIMIT) == 0
        self.teller.close()
        return tlscounts.read(Home(os.fsencode(self.home)), tlscounts.day_of(time.time()))


@pytest.fixture
def counter(home: Path) -> Iterator[Counter]:
    counter = Counter(home)
    yield counter
    if counter.process.poll() is None:
        counter.end()


def test_sessions_that_are_alike_are_counted_together_and_survive_the_end(counter: Counter) -> None:
    for session in (GOOD, BAD, GOOD, PLAIN):
        counter.teller.tell(session)
    wanted = {tlscount.line(GOOD): 2, tlscount.line(BAD): 1, tlscount.line(PLAIN): 1}
    assert counter.end() == wanted
    counter.start()
    counter.teller.tell(BAD)
    wanted[tlscount.line(BAD)] += 1
    assert counter.end() == wanted


def test_what_is_no_session_ends_the_connection_and_nothing_else(counter: Counter) -> None:
    for nonsense in (
        b"x",
        b"\t\t\t\t\t",
        tlscount.line(GOOD) + b"\n9\tx",
        b"x" * 5000,
        tlscount.line(GOOD) + b"\t\xff",
    ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(LIMIT)
            client.connect(str(counter.home / "qr/tlsrpt"))
            client.send(nonsense)
            assert client.recv(1) == b""
    counter.teller.tell(GOOD)
    assert counter.end() == {tlscount.line(GOOD): 1}


def test_too_many_failures_of_a_domain_are_counted_with_less_detail(counter: Counter) -> None:
    count = tlscounts.MOST_OF_DOMAIN + 20
    for i in range(count):
        counter.teller.tell(Session(b"example.org", b"tlsa", (), b"validation-failure", b"mx%d.example.org" % i))
    found = counter.end()
    assert len(found) == tlscounts.MOST_OF_DOMAIN + 1
    assert found[tlscount.line(Session(b"example.org", b"tlsa", (), b"validation-failure"))] == 20


def test_old_days_go_and_a_second_one_says_so(home: Path, counter: Counter, program: Run) -> None:
    for day in range(1, 15):
        (home / f"tlsrpt/2020-01-{day:02}").write_bytes(b"")
        (home / f"tlsrpt/2020-01-{day:02}.sent").write_bytes(b"")
    done = program("qmail-tlsrptd", env={"QMAIL_HOME": str(home)})
    assert (done.returncode, done.stderr) == (111, b"qmail-tlsrptd: fatal: qmail-tlsrptd is already running\n")
    counter.teller.tell(GOOD)
    counter.end()
    left = {path.name[:10] for path in (home / "tlsrpt").iterdir()}
    assert left == {f"2020-01-{day:02}" for day in range(5, 15)} | {tlscounts.day_of(time.time()).decode()}


def test_it_ends_when_nobody_says_anything_any_more(home: Path, program: Run) -> None:
    assert program("qmail-tlsrptd", "-i", "0", env={"QMAIL_HOME": str(home)}).returncode == 0
    assert program("qmail-tlsrptd", "-i", "soon", env={"QMAIL_HOME": str(home)}).returncode == 100


def test_nobody_waits_where_nothing_listens(home: Path) -> None:
    tlscounts.Teller(Home(os.fsencode(home))).tell(GOOD)
    tlscounts.Teller(Home(os.fsencode(home))).tell(Session(b"no domain", b"sts"))


class Reporting:
    """A day with counts, and qmail-tlsrpt for it."""

    def __init__(self, home: Path, keeper: Keeper, names: NameServer, program: Run) -> None:
        self.home, self.keeper, self.names, self._program = home, keeper, names, program
        (home / "control/me").write_text("client.example\n")
        counts = {tlscount.line(GOOD): 7, tlscount.line(BAD): 2, tlscount.line(PLAIN): 1}
        self.day = tlscounts.day_of(time.time() - 86400).decode()
        (home / "tlsrpt" / self.day).write_bytes(tlscount.day(counts.items()))

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        environ = {"QMAIL_HOME": str(self.home), "QMAILQUEUE": str(self.keeper.path), **self.names.environ}
        return self._program("qmail-tlsrpt", *words, env=environ)


@pytest.fixture
def reporting(home: Path, tmp_path: Path, program: Run) -> Iterator[Reporting]:
    zone = {
        ("_smtp._tls.example.org", "TXT"): ['"v=TLSRPTv1; rua=mailto:tls%2Breports@example.org,https://r.example/"'],
        ("_smtp._tls.example.net", "TXT"): ['"v=TLSRPTv1; rua=mailto:tls@example.net"'],
    }
    with NameServer(zone) as names:
        yield Reporting(home, Keeper(tmp_path), names, program)


def test_a_report_says_what_was_counted(reporting: Reporting) -> None:
    reporting.names.zone.pop(("_smtp._tls.example.net", "TXT"))
    done = reporting.run()
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"example.org: sent to tls+reports@example.org\n"
    assert done.stderr == b"qmail-tlsrpt: example.org: no report to https://r.example/, which is no mailbox\n"
    ((text, envelope),) = reporting.keeper.kept
    assert envelope == b"Fpostmaster@client.example\0Ttls+reports@example.org\0\0"
    mail = email.message_from_bytes(text)
    assert mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "tlsrpt"
    assert mail["TLS-Report-Domain"] == "example.org" and mail["TLS-Report-Submitter"] == "client.example"
    assert mail["TLS-Required"] == "No"
    words, attached = mail.get_payload()  # type: ignore[misc]
    assert words.get_content_type() == "text/plain"
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    assert str(attached.get_filename()).startswith("client.example!example.org!")
    report = json.loads(gzip.decompress(attached.get_payload(decode=True)))
    assert report["organization-name"] == "client.example" and report["contact-info"] == "postmaster@client.example"
    assert report["date-range"] == {
        "start-datetime": f"{reporting.day}T00:00:00Z", "end-datetime": f"{reporting.day}T23:59:59Z",
    }  # fmt: skip
    assert report["report-id"] in mail["Subject"]
    assert report["policies"] == [
        {
            "policy": {
                "policy-type": "sts", "policy-domain": "example.org", "policy-string": [x.decode() for x in POLICY],
                "mx-host": ["*.example.org"],
            },
            "summary": {"total-successful-session-count": 7, "total-failure-session-count": 2},
            "failure-details": [
                {
                    "result-type": "certificate-expired", "sending-mta-ip": "192.0.2.9",
                    "receiving-mx-hostname": "mx.example.org", "receiving-ip": "192.0.2.1", "failed-session-count": 2,
                }
            ],
        }
    ]  # fmt: skip


def test_a_dry_run_shows_and_sends_nothing(reporting: Reporting) -> None:
    done = reporting.run("-n", "-f", "me@client.example")
    assert done.returncode == 0
    assert (
        b"example.net: to tls@example.net\n{" in done.stdout and b'"contact-info": "me@client.example"' in done.stdout
    )
    assert not reporting.keeper.kept
    assert not (reporting.home / f"tlsrpt/{reporting.day}.sent").exists()


def test_what_a_domain_says_does_not_reach_a_terminal_as_it_is(reporting: Reporting) -> None:
    reporting.names.zone["_smtp._tls.example.net", "TXT"] = ['"v=TLSRPTv1; rua=x:\\027[2J"']
    assert b"example.net: no report to x:_[2J, which is no mailbox\n" in reporting.run("-n").stderr


def test_running_it_again_sends_what_was_not_sent(reporting: Reporting) -> None:
    reporting.names.codes["_smtp._tls.example.net"] = dns.rcode.SERVFAIL
    done = reporting.run()
    assert done.returncode == 111
    assert b"qmail-tlsrpt: example.net: nobody could say whether it wants a report\n" in done.stderr
    reporting.names.codes.clear()
    assert reporting.run().stdout == b"example.net: sent to tls@example.net\n"
    assert (reporting.run().stdout, len(reporting.keeper.kept)) == (b"", 2)


def test_a_queue_that_takes_nothing_is_told(reporting: Reporting) -> None:
    reporting.keeper.path.write_text("#!/bin/sh\nexit 53\n")
    done = reporting.run()
    assert done.returncode == 111
    assert b"qmail-tlsrpt: example.org: qq write error or disk full (#4.3.0)\n" in done.stderr


@pytest.mark.parametrize("words", [["-x"], ["more"], ["-d", "yesterday"], ["-d", "2026-02-30"]])
def test_words_that_make_no_sense(reporting: Reporting, words: list[str]) -> None:
    assert reporting.run(*words).returncode == 100


def test_a_day_without_counts_has_no_reports(reporting: Reporting) -> None:
    done = reporting.run("-d", "2020-02-29")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
