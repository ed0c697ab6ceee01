"""qmail-verifyd: recipients of other hosts, asked for there, by the real service."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, Run, wait_until
from nexthops import Hop
from qmail.protocols import recipients
from qmail.protocols.recipients import TAKEN, UNKNOWN, UNTOLD

ROOT = os.geteuid() == 0


class Verifier:
    """The service, the routes to the hosts that it asks, and a connection to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "control/me").write_text("here.example\n")
        self.process: subprocess.Popen[bytes] | None = None

    def routes(self, **hops: int) -> None:
        """Where `name`.example is: at a port of 127.0.0.1."""
        lines = [f"{name}.example:[127.0.0.1]:{port}\n" for name, port in hops.items()]
        (self.home / "control/smtproutes").write_text("".join(lines))

    def start(self) -> None:
        who = [BIN / "setuidgid", "qmailr"] if ROOT else []
        environ = {"QMAIL_HOME": str(self.home), "PATH": f"{BIN}:/usr/bin:/bin"}
        self.process = subprocess.Popen([*who, BIN / "qmail-verifyd"], env=environ, stdin=subprocess.DEVNULL)
        wait_until((self.home / "qr/verify").exists)

    def ask(self, *addresses: bytes) -> list[bytes]:
        """The verdicts, in the order of the questions."""
        found: dict[int, bytes] = {}
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(60)
            asking.connect(str(self.home / "qr/verify"))
            asking.sendall(b"".join(recipients.question(tag, text) for tag, text in enumerate(addresses)))
            reader = recipients.Answers()
            while len(found) < len(addresses):
                data = asking.recv(65536)
                assert data, "hung up"
                found |= dict(reader.feed(data))
        return [found[tag] for tag in range(len(addresses))]


@pytest.fixture
def verifier(home: Path) -> Iterator[Verifier]:
    one = Verifier(home)
    one.start()
    yield one
    assert one.process is not None
    one.process.kill()
    one.process.wait()


def test_what_a_host_says_of_a_recipient_is_told_and_remembered(verifier: Verifier) -> None:
    with Hop() as hop:
        verifier.routes(a=hop.port)
        wanted = {
            b"250@a.example": TAKEN, b"251@a.example": TAKEN, b"550@a.example": UNKNOWN, b"553-x@a.example": UNKNOWN,
            b"450@a.example": UNTOLD, b"421@a.example": UNTOLD,
        }  # fmt: skip
        assert verifier.ask(*wanted) == list(wanted.values())
        assert verifier.ask(*wanted, b"550@A.Example") == [*wanted.values(), UNKNOWN]
        assert sorted(hop.asked_for()) == sorted(address.decode() for address in wanted), "each was asked for once"


@pytest.mark.parametrize("hello", ["250-hop.example\r\n250 PIPELINING\r\n", "250 hop.example\r\n"])
def test_nobody_is_named_as_the_sender_and_no_message_comes(verifier: Verifier, hello: str) -> None:
    with Hop(hello=hello) as hop:
        verifier.routes(a=hop.port)
        assert verifier.ask(b"250@a.example", b"550@a.example") == [TAKEN, UNKNOWN]
        talk = "EHLO here.example\r\nMAIL FROM:<>\r\nRCPT TO:<{}@a.example>\r\nQUIT\r\n"
        wait_until(lambda: sorted(hop.said) == [talk.format("250"), talk.format("550")])


@pytest.mark.parametrize(
    "words",
    [{"greets": "554 go away\r\n"}, {"hello": ""}, {"hello": "550 no\r\n"}, {"mail": "550 no\r\n"}, {"mail": ""}],
)
def test_who_says_nothing_of_a_recipient_is_left_alone_for_a_while(verifier: Verifier, words: dict[str, str]) -> None:
    with Hop(**words) as hop, Hop() as other:
        verifier.routes(a=hop.port, b=other.port)
        assert verifier.ask(b"550@a.example") == [UNTOLD]
        assert verifier.ask(b"551@a.example", b"552@a.example", b"550@b.example") == [UNTOLD, UNTOLD, UNKNOWN]
        assert len(hop.said) == 1


def test_hosts_that_are_not_there_or_lack_the_tls_that_mail_to_them_must_have_are_doubts(verifier: Verifier) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Hop() as hop:
        verifier.routes(gone=port, tls=hop.port)
        (verifier.home / "control/tlspolicy").write_text("tls.example:encrypt\n")
        assert verifier.ask(b"550@gone.example", b"550@tls.example", b"550@[bad", b"x y@tls.example") == [UNTOLD] * 4
        assert "MAIL" not in "".join(hop.said)


def test_one_that_takes_its_time_delays_nothing_and_its_answer_counts_later(verifier: Verifier) -> None:
    with Hop() as slow, Hop() as quick:
        verifier.routes(slow=slow.port, quick=quick.port)
        since = time.monotonic()
        asked = (*(b"999-%d@slow.example" % i for i in range(9)), b"550@quick.example")
        assert verifier.ask(*asked) == [UNTOLD] * 9 + [UNKNOWN]
        assert time.monotonic() - since > 1.4
        assert slow.most == 2, "connections to one host"
        slow.go.set()
        wait_until(lambda: verifier.ask(*asked) == [UNKNOWN] * 10)
        assert len(slow.asked_for()) == 9


def test_routes_count_as_they_are_now(verifier: Verifier) -> None:
    with Hop() as first, Hop() as second:
        verifier.routes(a=first.port)
        assert verifier.ask(b"250-1@a.example") == [TAKEN]
        verifier.routes(a=second.port)
        assert verifier.ask(b"250-2@a.example") == [TAKEN]
        assert second.asked_for() == ["250-2@a.example"]
        (verifier.home / "control/smtproutes").unlink()
        (verifier.home / "control/smtproutes").mkdir()
        assert verifier.ask(b"250-3@a.example") == [UNTOLD]


def test_it_is_confined_and_so_is_who_asks(verifier: Verifier) -> None:
    assert verifier.process is not None
    with Hop() as hop:
        verifier.routes(a=hop.port)
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(verifier.home / "qr/verify"))
            asking.sendall(recipients.question(1, b"999@a.example"))
            wait_until(lambda: bool(hop.asked_for()))
            pid = verifier.process.pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            assert len(children) == 1
            for each in (str(pid), *children):
                status = Path(f"/proc/{each}/status").read_text()
                assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
                assert not ROOT or "Uid:\t0" not in status


def test_nonsense_and_strangers_are_hung_up_on_and_there_is_one_for_a_home(verifier: Verifier, program: Run) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(60)
        other.connect(str(verifier.home / "qr/verify"))
        other.sendall(b"\xff" * 100)
        assert other.recv(1) == b""
    if ROOT:
        script = f"""import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(verifier.home / "qr/verify")!r})
s.send({recipients.question(1, b"0@x")!r}); print(s.recv(9))"""
        done = subprocess.run(["/usr/bin/python3", "-c", script], capture_output=True, cwd="/", user=4999, group=4999)
        assert done.stdout.strip() in (b"b''", b"")
    done = program("qmail-verifyd", env={"QMAIL_HOME": str(verifier.home)})
    assert (done.returncode, b"already running" in done.stderr) == (111, True)
    assert program("qmail-verifyd", "x").returncode == 100
