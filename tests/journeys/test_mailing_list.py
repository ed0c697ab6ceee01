"""A mailing list from its first day on: people come by mail, write, read digests and the archive, bounce, and go."""

from __future__ import annotations

import os
import re
import smtplib
import subprocess
from pathlib import Path

import pytest

from conftest import BIN
from journeys.conftest import Host, User, eventually

LIST = "joe-sos@here.example"


class Club:
    """A host with a list of joe's, and some people."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.joe, self.ann, self.bob = (host.user(name) for name in ("joe", "ann", "bob"))
        self.directory = self.joe.home / "sos"

    def make(self, *options: str) -> None:
        """Make the list, as joe."""
        self.run("ezmlm-make", *options, self.directory, self.joe.home / ".qmail-sos", "joe-sos", "here.example")

    def run(self, name: str, *arguments: str | Path, code: int = 0) -> str:
        """Run one of the programs as joe."""
        identity = {} if os.geteuid() else {"user": self.joe.uid, "group": self.joe.gid, "extra_groups": []}
        done = subprocess.run(
            [BIN / name, *arguments], env=self.host.environment, capture_output=True, timeout=60, cwd="/", **identity
        )  # type: ignore[call-overload]  # who we are
        assert done.returncode == code, done.stderr
        return str(done.stdout.decode())

    def send(self, sender: str, to: str, text: str = "Subject: hello\r\n\r\nIt works.\r\n") -> None:
        """Mail over SMTP."""
        with smtplib.SMTP("127.0.0.1", self.host.port, local_hostname="client.example") as client:
            client.sendmail(sender, [to], text)

    def post(self, sender: str, subject: str, body: str = "words") -> None:
        """A message to everybody."""
        head = f"From: {sender}\r\nTo: {LIST}\r\nSubject: {subject}\r\n"
        self.send(sender, LIST, f"{head}\r\n{body}\r\n")

    def subscribers(self) -> set[str]:
        """Who is on the list."""
        return set(self.run("ezmlm-list", self.directory).split())

    def bounced(self) -> str:
        """The numbers of messages that came back."""
        return "".join(path.read_text() for path in (self.directory / "bounce/h").rglob("h*") if path.is_file())

    def notices(self) -> list[Path]:
        """Those that ezmlm-warn has not acted on."""
        return [path for path in (self.directory / "bounce/d").rglob("[dw]*.*") if path.is_file()]

    def answer(self, user: User, pattern: str, count: int = 1) -> str:
        """Answer a request for confirmation: its subject has this pattern."""
        message = self.wait(user, pattern, count)
        found = re.search(r"^Reply-To: (\S+)$", message, re.M)
        assert found, message
        self.send(f"{user.name}@here.example", found[1])
        return found[1]

    def wait(self, user: User, pattern: str, count: int = 1) -> str:
        """The newest of so many messages with this pattern in their headers."""

        def found() -> list[str]:
            texts = [mail.decode("latin-1") for mail in user.mail()]
            return [text for text in texts if re.search(pattern, text.partition("\n\n")[0])]

        eventually(f"mail with {pattern!r} for {user.name}", lambda: len(found()) >= count, self.host.log)
        return found()[-1]


@pytest.fixture
def club(host: Host) -> Club:
    return Club(host)


def test_people_come_by_mail_write_to_all_and_go(club: Club) -> None:
    club.make("-f")
    club.host.start()
    for user in (club.ann, club.bob):
        club.send(f"{user.name}@here.example", "joe-sos-subscribe@here.example")
        club.answer(user, "Subject: confirm subscribe to joe-sos@here.example")
        club.wait(user, "Subject: WELCOME to joe-sos@here.example")
    assert club.subscribers() == {"ann@here.example", "bob@here.example"}

    for number in (1, 2, 3):
        club.post("ann@here.example", f"thought {number}", f"idea-{number}")
        text = club.wait(club.bob, "Subject: .joe-sos. thought", number)
        assert f"Subject: [joe-sos] thought {number}\n" in text
        assert f"Return-Path: <joe-sos-return-{number}-bob=here.example@here.example>\n" in text
        assert "\nMailing-List: contact joe-sos-help@here.example; run by ezmlm\n" in text
        assert "\nList-Unsubscribe: <mailto:joe-sos-unsubscribe@here.example>\n" in text
        assert "\nDelivered-To: mailing list joe-sos@here.example\n" in text
    club.wait(club.ann, "Subject: .joe-sos. thought", 3)
    assert (club.directory / "archive/0/02").read_bytes().endswith(b"\nSubject: thought 2\n\nidea-2\n")

    club.send("bob@here.example", "joe-sos-get.2_3@here.example")
    text = club.wait(club.bob, "Subject: ezmlm response from")
    assert "idea-2" in text and "idea-3" in text and "idea-1" not in text

    club.send("bob@here.example", "joe-sos-unsubscribe@here.example")
    club.answer(club.bob, "Subject: confirm unsubscribe from")
    club.wait(club.bob, "Subject: GOODBYE from")
    assert club.subscribers() == {"ann@here.example"}
    events = [line.split()[1:3] for line in (club.directory / "Log").read_text().splitlines()]
    assert events == [["+", "ann@here.example"], ["+", "bob@here.example"], ["-", "bob@here.example"]]
    club.host.wait_for_empty_queue()


def test_digests_come_and_an_address_that_bounces_is_taken_off(club: Club) -> None:
    club.make("-d", "-u")
    club.run("ezmlm-sub", club.directory, "ann@here.example", "gone@here.example")
    (club.directory / "digcount").write_text("2\n")
    club.host.start()
    club.send("bob@here.example", "joe-sos-digest-subscribe@here.example")
    club.answer(club.bob, "Subject: confirm subscribe to joe-sos-digest@")
    club.wait(club.bob, "Subject: WELCOME to joe-sos-digest@")

    for number in (1, 2):
        club.post("ann@here.example", f"thought {number}", f"idea-{number}")
        club.wait(club.ann, f"Subject: thought {number}")
        eventually(
            "a notice of failure",
            lambda number=number: (club.bounced() or "").split() == [*"12"[:number]],
            club.host.log,
        )
    digest = club.wait(club.bob, "Subject: joe-sos Digest .* Issue 1")
    assert "Return-Path: <joe-sos-digest-return-1-bob=here.example@here.example>\n" in digest
    assert "idea-1" in digest and "idea-2" in digest

    # Warned, and probed, and gone: each message bounces, and the next look acts on it.
    for subject in ("warning", "probe"):
        eventually(f"a notice to be due for a {subject}", club.notices, club.host.log)
        club.run("ezmlm-warn", "-t", "0", club.directory)
    eventually("the address to be gone", lambda: club.subscribers() == {"ann@here.example"}, club.host.log)
    assert (club.directory / "Log").read_text().endswith(" -probe gone@here.example\n")
    club.host.wait_for_empty_queue()


def test_strangers_and_loops_reach_nobody(club: Club) -> None:
    club.make("-u")
    club.run("ezmlm-sub", club.directory, "ann@here.example", "bob@here.example", "joe-sos@here.example")
    club.host.smtp_environment = {"RELAYCLIENT": ""}
    # Somebody has put the list on itself, and bob answers all that he gets.
    club.bob.file(
        ".qmail", "./Maildir/\n|(echo To: $SENDER; echo Subject: I am away; echo) | qmail-inject -f bob@here.example\n"
    )
    club.host.start()
    club.post("eve@here.example", "buy this")
    club.post("ann@here.example", "hello")
    club.wait(club.bob, "Subject: hello")
    eventually("an end", lambda: club.host.log().count("end msg") >= 4 and not club.host.queued(), club.host.log)
    subjects = [line for mail in club.ann.mail() for line in mail.split(b"\n") if line.startswith(b"Subject: ")]
    assert subjects == [b"Subject: hello"]
    assert (club.directory / "num").read_text().startswith("1:")
    assert "Only_subscribers_may_write_to_this_list." in club.host.log()
