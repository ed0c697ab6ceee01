"""qmail-checkd: programs of the administrator's, one for each recipient, by the real service."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, Run, alive, wait_until
from qmail.protocols import recipients
from qmail.protocols.recipients import TAKEN, TROUBLE, UNKNOWN

ROOT = os.geteuid() == 0
# What the recipient is called says what the program does.
SCRIPT = """#!/bin/sh
case "$RECIPIENT" in
*@slow) sleep 60 & echo $! >>{seen}/sleepers; wait;;
*@killed) kill -9 $$;;
*@told) env >{seen}/env; id -un >{seen}/user; pwd >{seen}/place; echo "$@" >{seen}/words; exit 100;;
esac
exit ${{RECIPIENT%%@*}}
"""


class Checker:
    """The service, its program, and a connection to it."""

    def __init__(self, home: Path, place: Path) -> None:
        self.home, self.seen = home, place / "seen"
        self.seen.mkdir()
        self.seen.chmod(0o777)
        (home / "control/me").write_text("here.example\n")
        script = place / "script"
        script.write_text(SCRIPT.format(seen=self.seen))
        script.chmod(0o755)
        self.control(f"{script} one two")
        self.process: subprocess.Popen[bytes] | None = None

    def control(self, line: str) -> None:
        (self.home / "control/rcptcheck").write_text(line + "\n")

    def start(self) -> None:
        environ = {"QMAIL_HOME": str(self.home), "PATH": f"{BIN}:/usr/bin:/bin", "TCPREMOTEIP": "of the service"}
        with open(self.home / "check.log", "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "qmail-checkd"], env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until((self.home / "qc/check").exists)

    def log(self) -> str:
        return (self.home / "check.log").read_text()

    def ask(self, *texts: bytes) -> list[bytes]:
        """The verdicts, in the order of the questions."""
        found: dict[int, bytes] = {}
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(60)
            asking.connect(str(self.home / "qc/check"))
            asking.sendall(b"".join(recipients.question(tag, text) for tag, text in enumerate(texts)))
            reader = recipients.Answers()
            while len(found) < len(texts):
                data = asking.recv(65536)
                assert data, "hung up"
                found |= dict(reader.feed(data))
        return [found[tag] for tag in range(len(texts))]


@pytest.fixture
def checker(home: Path, tmp_path: Path) -> Iterator[Checker]:
    one = Checker(home, tmp_path)
    one.start()
    yield one
    assert one.process is not None
    one.process.kill()
    one.process.wait()


def test_the_exit_code_of_the_program_is_the_verdict(checker: Checker) -> None:
    wanted = {0: TAKEN, 100: UNKNOWN, 111: TROUBLE, 120: TROUBLE, 1: TROUBLE, 99: TROUBLE, 255: TROUBLE}
    assert checker.ask(*(b"%d@x" % code for code in wanted)) == list(wanted.values())
    assert checker.ask(b"x@killed") == [TROUBLE]
    log = checker.log()
    assert all(f"exited with code {code}\n" in log for code in (120, 1, 99, 255)) and "killed by signal 9" in log
    assert "code 111" not in log and "code 100" not in log


def test_it_is_told_of_recipient_sender_and_client_and_of_nothing_else(checker: Checker) -> None:
    client = {b"TCPREMOTEIP": b"192.0.2.1", b"TCPREMOTEHOST": b"client = x", b"RELAYCLIENT": b"", b"OTHER": b"x"}
    text = recipients.text(b"joe@told", b"ann@b.example", recipients.surroundings(client))
    assert checker.ask(text + b"\0LD_PRELOAD=/tmp/x\0PATH=/tmp\0TCPLOCALPORT\0") == [UNKNOWN]
    said = set((checker.seen / "env").read_text().splitlines())
    assert {
        "RECIPIENT=joe@told", "SENDER=ann@b.example", "TCPREMOTEIP=192.0.2.1", "TCPREMOTEHOST=client = x",
        "RELAYCLIENT=", f"PATH={BIN}:/usr/bin:/bin",
    } <= said  # fmt: skip
    assert not any(line.startswith(("OTHER", "LD_", "TCPLOCALPORT")) for line in said)
    assert (checker.seen / "words").read_text() == "one two\n"
    assert (checker.seen / "place").read_text() == f"{checker.home}\n"
    assert checker.ask(b"joe@told") == [UNKNOWN], "the address alone is a text, too"
    said = set((checker.seen / "env").read_text().splitlines())
    assert "SENDER=" in said and not any(line.startswith("TCPREMOTEIP") for line in said)


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_it_runs_as_a_user_of_its_own(checker: Checker) -> None:
    names = {entry.pw_name for entry in pwd.getpwall()}
    who = "qmailc" if "qmailc" in names else "qmaild"
    assert checker.ask(b"joe@told") == [UNKNOWN]
    assert (checker.seen / "user").read_text() == f"{who}\n"
    assert checker.process is not None
    status = Path(f"/proc/{checker.process.pid}/status").read_text()
    uids = "\t".join([str(pwd.getpwnam(who).pw_uid)] * 4)
    assert f"Uid:\t{uids}\n" in status and "Groups:\t0" not in status


def test_one_that_does_not_end_is_killed_with_its_children_and_holds_up_nobody(checker: Checker) -> None:
    assert checker.ask(b"a@slow", b"b@slow", b"100@x") == [TROUBLE, TROUBLE, UNKNOWN]
    sleepers = [int(line) for line in (checker.seen / "sleepers").read_text().split()]
    assert len(sleepers) == 2
    wait_until(lambda: not any(alive(pid) for pid in sleepers))


def test_the_file_counts_as_it_is_now(checker: Checker) -> None:
    path = checker.home / "control/rcptcheck"
    assert checker.ask(b"100@x") == [UNKNOWN]
    checker.control("true")
    assert checker.ask(b"100@x") == [TAKEN], "a name is looked for in PATH"
    checker.control("/no/such/program")
    assert checker.ask(b"100@x") == [TROUBLE]
    assert "/no/such/program exited with code 120" in checker.log()
    path.unlink()
    assert checker.ask(b"100@x") == [TAKEN]
    path.mkdir()
    assert checker.ask(b"100@x", b"100@x") == [TROUBLE] * 2
    assert "unable to read" in checker.log()


def test_who_hangs_up_or_speaks_nonsense_harms_nobody(checker: Checker) -> None:
    for words in (b"\xff" * 100, recipients.question(1, b"111@x"), recipients.question(1, b"a@slow")):
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(checker.home / "qc/check"))
            other.sendall(words)
    assert checker.ask(b"100@x") == [UNKNOWN]
    if ROOT:
        script = f"""import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(checker.home / "qc/check")!r})
s.send({recipients.question(1, b"0@x")!r}); print(s.recv(9))"""
        done = subprocess.run(["/usr/bin/python3", "-c", script], capture_output=True, cwd="/", user=4999, group=4999)
        assert done.stdout.strip() in (b"b''", b"")


def test_there_is_one_for_a_home_and_it_ends_at_term(checker: Checker, program: Run) -> None:
    done = program("qmail-checkd", env={"QMAIL_HOME": str(checker.home)})
    assert (done.returncode, b"already running" in done.stderr) == (111, True)
    assert program("qmail-checkd", "x").returncode == 100
    assert checker.process is not None
    checker.process.terminate()
    assert checker.process.wait(30) == -signal.SIGTERM
