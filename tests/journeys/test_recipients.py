"""No mail for nobody: unknown recipients are refused while the client is there, by what would deliver to them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from accounts import Accounts
from conftest import needs_root
from journeys.conftest import Host, eventually, listens
from qmail.formats.netstring import netstring

OK, UNKNOWN, LATER = "250", "550", "451"


class Talk:
    """An SMTP session that has said MAIL, with the port or with a qmail-smtpd of its own."""

    def __init__(self, host: Host) -> None:
        self.socket = socket.create_connection(("127.0.0.1", host.port), 30)
        self.stream = self.socket.makefile("rwb")
        self.line()
        self.say("EHLO client.example", "MAIL FROM:<a@sender.example>")

    def line(self) -> str:
        while (line := self.stream.readline().decode())[3:4] == "-":
            pass
        return line.strip()

    def say(self, *commands: str) -> list[str]:
        """All in one write; the replies."""
        self.stream.write("".join(command + "\r\n" for command in commands).encode())
        self.stream.flush()
        return [self.line() for _ in commands]

    def rcpt(self, *recipients: str) -> list[str]:
        """The codes for these recipients."""
        return [line[:3] for line in self.say(*(f"RCPT TO:<{recipient}>" for recipient in recipients))]

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


@contextmanager
def talking(host: Host) -> Iterator[Talk]:
    talk = Talk(host)
    try:
        yield talk
    finally:
        talk.close()


def told(host: Host, *recipients: str) -> list[str]:
    with talking(host) as talk:
        return talk.rcpt(*recipients)


def program(host: Host, *recipients: str, **environ: str) -> list[str]:
    """The same by a qmail-smtpd that is a program."""
    words = "".join(f"RCPT TO:<{recipient}>\r\n" for recipient in recipients)
    done = subprocess.run(
        [host.home / "bin/qmail-smtpd"], input=f"MAIL FROM:<a@b.example>\r\n{words}QUIT\r\n".encode(),
        env=host.environment | environ, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    return re.findall(r"^\d\d\d", done.stdout.decode(), re.M)[2:-1]


def qmtp(host: Host, *recipients: str, **environ: str) -> str:
    """The letters of qmail-qmtpd's answers for these recipients."""
    words = netstring(b"".join(netstring(recipient.encode()) for recipient in recipients))
    package = netstring(b"\nx\n") + netstring(b"a@b.example") + words
    done = subprocess.run(
        [host.home / "bin/qmail-qmtpd"], input=package,
        env=host.environment | environ, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    return "".join(re.findall(r"\d+:([KDZ])", done.stdout.decode()))


@pytest.fixture
def checked(host: Host) -> Host:
    """A host whose homes have mode 0700, with qmail-rcptd."""
    joe = host.user("joe")
    assert joe.home.stat().st_mode & 0o777 == 0o700
    joe.file(".qmail-bounces", "|exit 100\n")
    joe.file(".qmail-list-default", "./Maildir/\n")
    host.alias("postmaster", "&joe\n")
    host.start()
    host.start_rcptd()
    return host


def test_whoever_is_there_gets_mail_and_nobody_else_is_taken_for(checked: Host) -> None:
    wanted = {
        "joe@here.example": OK,
        "JOE@HERE.example": OK,
        "joe-bounces@here.example": OK,  # it exists, and bounces
        "joe-list-any.thing@here.example": OK,
        "postmaster@here.example": OK,
        "Postmaster": OK,
        "joe-nothing@here.example": UNKNOWN,
        "joe-list@here.example": UNKNOWN,
        "jim@here.example": UNKNOWN,
        "jim": UNKNOWN,
    }
    assert told(checked, *wanted) == list(wanted.values())
    assert program(checked, *wanted) == list(wanted.values())
    with talking(checked) as talk:
        assert talk.say("RCPT TO:<jim@here.example>") == ["550 5.1.1 sorry, no mailbox here by that name"]
        assert talk.say("DATA")[0].startswith("503")
    assert not checked.queued() and "new msg" not in checked.log()


def test_mail_for_the_known_of_many_recipients_arrives(checked: Host) -> None:
    with talking(checked) as talk:
        wanted = ["joe-nothing@here.example", "joe@here.example", *[f"joe-list-{i}@here.example" for i in range(98)]]
        assert talk.rcpt(*wanted) == [UNKNOWN, *[OK] * 99]
        assert talk.say("DATA", "Subject: x\r\n\r\nx\r\n.")[1].startswith("250")
    checked.users[0].wait_for_mail(99)
    checked.wait_for_empty_queue()
    assert "bounce msg" not in checked.log()


def test_qmtp_tells_of_each_recipient(checked: Host) -> None:
    assert qmtp(checked, "joe@here.example", "jim@here.example", "joe-list-x@here.example") == "KDK"
    many = [f"jim{i}@here.example" for i in range(20)]
    assert qmtp(checked, *many, "joe@here.example") == 20 * "D" + "Z"
    assert qmtp(checked, *many, "joe@here.example", RELAYCLIENT="") == 20 * "D" + "K"


def test_clients_that_may_relay_are_asked_about_our_own_domains_alone(checked: Host) -> None:
    recipients = ("jim@elsewhere.example", "jim@here.example", "joe@here.example")
    assert program(checked, *recipients, RELAYCLIENT="") == [OK, UNKNOWN, OK]
    # And as many unknown ones as they like.
    assert program(checked, *["jim@here.example"] * 30, RELAYCLIENT="") == [UNKNOWN] * 30


def test_fault_029_a_harvester_learns_no_more_after_twenty_unknown_recipients(checked: Host) -> None:
    many = [f"jim{i}@here.example" for i in range(20)]
    with talking(checked) as talk:
        assert talk.rcpt(*many) == [UNKNOWN] * 20
        assert talk.say("RCPT TO:<joe@here.example>") == ["421 4.7.0 too many unknown recipients, closing"]
        assert talk.stream.read() == b""
    with talking(checked) as talk:
        assert talk.rcpt("joe@here.example", *many) == [OK] + [UNKNOWN] * 20
        assert talk.rcpt("joe@here.example", "jim@here.example") == ["452", "452"]
        assert talk.say("DATA", "Subject: x\r\n\r\nx\r\n.")[1].startswith("250")
    assert len(checked.users[0].wait_for_mail()) == 1


def test_a_broken_table_of_users_is_temporary_until_it_is_mended(checked: Host) -> None:
    table = checked.home / "users/cdb"
    good = table.read_bytes()
    table.write_bytes(good[:2000])
    assert told(checked, "joe@here.example", "jim@here.example") == [LATER, LATER]
    table.write_bytes(good)
    assert told(checked, "joe@here.example", "jim@here.example") == [OK, UNKNOWN]


def test_recipients_of_hosts_behind_us_are_refused_where_a_list_lacks_them(checked: Host) -> None:
    checked.control("rcpthosts", "here.example", "behind.example", "unlisted.example")
    checked.control("relayrecipients", "ann@behind.example")
    wanted = {"ann@behind.example": OK, "jim@behind.example": UNKNOWN, "jim@unlisted.example": OK}
    assert told(checked, *wanted) == list(wanted.values())
    assert program(checked, *wanted) == list(wanted.values())
    assert program(checked, *wanted, RELAYCLIENT="") == list(wanted.values())
    assert qmtp(checked, *wanted) == "KDK"
    (checked.home / "control/morerelayrecipients.cdb").write_bytes(b"torn")
    wanted = {"ann@behind.example": OK, "jim@behind.example": LATER, "tim@unlisted.example": LATER}
    assert told(checked, *wanted, "joe@here.example") == [OK, LATER, LATER, OK]
    assert qmtp(checked, *wanted) == "KZZ"


def test_a_program_of_ones_own_is_asked_last(checked: Host, tmp_path: Path) -> None:
    checked.control("rcpthosts", "here.example", "behind.example")
    checked.control("relayrecipients", "ann@behind.example", "bad@behind.example", "later@behind.example")
    log = tmp_path / "asked"
    log.touch()
    log.chmod(0o666)
    script = tmp_path / "check"
    script.write_text(
        f"""#!/bin/sh
echo "$SENDER $RECIPIENT $TCPREMOTEIP ${{RELAYCLIENT-none}}" >>{log}
case $RECIPIENT in bad*) exit 100;; later*) exit 111;; esac
"""
    )
    script.chmod(0o755)
    checked.control("rcptcheck", str(script))
    wanted = {
        "joe@here.example": LATER, "ann@behind.example": LATER, "jim@here.example": UNKNOWN,
        "jim@behind.example": UNKNOWN,
    }  # fmt: skip
    assert told(checked, *wanted) == list(wanted.values()), "it is wanted, and nobody runs it"
    checked.run("checkd", "qmail-checkd")
    eventually("the socket of qmail-checkd", lambda: listens(checked.home / "qc/check"))
    wanted = {
        "joe@here.example": OK, "ann@behind.example": OK, "jim@here.example": UNKNOWN, "bad@behind.example": UNKNOWN,
        "later@behind.example": LATER, "jim@behind.example": UNKNOWN,
    }  # fmt: skip
    assert told(checked, *wanted) == list(wanted.values())
    lines = [
        f"a@sender.example {recipient} 127.0.0.1 none"
        for recipient in wanted
        if not recipient.startswith("jim")  # unknown without it, so it is not asked
    ]
    assert sorted(log.read_text().splitlines()) == sorted(lines)
    log.write_text("")
    assert program(checked, *wanted, RELAYCLIENT="", TCPREMOTEIP="192.0.2.1") == list(wanted.values())
    assert "a@b.example joe@here.example 192.0.2.1 \n" in log.read_text()
    log.write_text("")
    assert qmtp(checked, *wanted, TCPREMOTEIP="192.0.2.2") == "KKDDZD"
    assert "a@b.example joe@here.example 192.0.2.2 none\n" in log.read_text()


def test_a_host_behind_us_says_whom_it_has_and_where_it_does_not_all_are_taken(
    checked: Host, make_host: Callable[..., Host]
) -> None:
    behind = make_host("behind.example")
    ann = behind.user("ann")
    behind.start()
    behind.start_rcptd()
    checked.control("rcpthosts", "here.example", "behind.example")
    checked.control("callforward", "behind.example")
    checked.control("smtproutes", f"behind.example:[127.0.0.1]:{behind.port}")
    checked.run("verifyd", *(["setuidgid", "qmailr"] if os.geteuid() == 0 else ["env"]), "qmail-verifyd")
    eventually("the socket of qmail-verifyd", lambda: listens(checked.home / "qr/verify"))
    wanted = {"ann@behind.example": OK, "jim@behind.example": UNKNOWN, "joe@here.example": OK}
    assert told(checked, *wanted) == list(wanted.values())
    assert program(checked, *wanted) == list(wanted.values())
    assert qmtp(checked, *wanted) == "KDK"
    with talking(checked) as talk:
        assert talk.rcpt(*wanted) == list(wanted.values())
        assert talk.say("DATA", "Subject: x\r\n\r\nx\r\n.")[1].startswith("250")
    assert len(ann.wait_for_mail(2)) == 2, "one by QMTP, one by SMTP"
    checked.wait_for_empty_queue()
    behind.stop_service("smtpd")
    # What is known is known; of others nobody can say anything.
    assert told(checked, "jim@behind.example", "jill@behind.example") == [UNKNOWN, OK]


def test_control_files_count_as_soon_as_they_change(checked: Host) -> None:
    checked.control("rcpthosts", "here.example", "virtual.example")
    checked.control("virtualdomains", "virtual.example:joe-list")
    assert told(checked, "x@virtual.example") == [OK]
    checked.control("virtualdomains", "virtual.example:joe")
    assert told(checked, "y@virtual.example") == [UNKNOWN]
    eventually("a second to be over", lambda: told(checked, "x@virtual.example") == [UNKNOWN])


def test_without_a_checker_all_are_taken(checked: Host) -> None:
    with talking(checked) as talk:
        assert talk.rcpt("jim@here.example") == [UNKNOWN]
        checked.stop_service("rcptd")
        assert talk.rcpt("jim@here.example", "joe@here.example") == [OK, OK]
        checked.start_rcptd()
        assert talk.rcpt("jim@here.example") == [UNKNOWN]
    checked.stop_service("rcptd")
    assert program(checked, "jim@here.example") == [OK]


def test_a_checker_that_dies_with_the_question_or_says_nothing_costs_nobody_his_mail(checked: Host) -> None:
    process = checked.services["rcptd"]
    process.send_signal(signal.SIGSTOP)
    with talking(checked) as talk:
        talk.stream.write(b"RCPT TO:<jim@here.example>\r\nRCPT TO:<joe@here.example>\r\n")
        talk.stream.flush()
        process.kill()
        assert [talk.line()[:3], talk.line()[:3]] == [OK, OK]
    process.wait()
    checked.start_rcptd()
    process = checked.services["rcptd"]
    assert told(checked, "jim@here.example") == [UNKNOWN]
    process.send_signal(signal.SIGSTOP)
    try:
        # One waits two seconds, the others no more.
        assert told(checked, *["jim@here.example"] * 50) == [OK] * 50
        assert program(checked, *["jim@here.example"] * 50) == [OK] * 50
    finally:
        process.send_signal(signal.SIGCONT)


def test_where_a_home_cannot_be_asked_for_its_mail_is_taken(checked: Host) -> None:
    assert told(checked, "joe-first@here.example") == [UNKNOWN]
    checked.stop_service("send")
    assert told(checked, "joe-second@here.example", "jim@here.example") == [OK, UNKNOWN]


@needs_root
def test_accounts_of_the_system_are_found_as_a_delivery_finds_them(host: Host, tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    joe = accounts.home("joe")
    joe.chmod(0o700)
    (joe / ".qmail-list").write_text("")
    os.chown(joe / ".qmail-list", accounts.uid("joe"), accounts.uid("joe"))
    ann = accounts.home("ann")
    (ann / ".qmail-list").symlink_to(".hidden")
    (ann / ".hidden").write_text("|true\n")
    (ann / ".qmail-lost").symlink_to("nowhere")
    host.alias("root", "&joe\n")
    lines = (tmp_path / "passwd").read_text()
    lines = re.sub("^(alias:.*):[^:]*:([^:]*)$", rf"\1:{host.home}/alias:\2", lines, flags=re.M)
    (tmp_path / "passwd").write_text(lines)
    host.around = accounts.command
    host.assign = lambda: None  # type: ignore[method-assign]
    host.start()
    host.start_rcptd()
    wanted = {
        "joe": OK, "joe-list": OK, "Joe-List": OK, "joe-other": UNKNOWN,
        "ann-list": OK, "ann-lost": UNKNOWN, "ann-": UNKNOWN,
        "toor": UNKNOWN,  # it has uid 0, and so is the user alias's
        "homeless": UNKNOWN, "alias-root": OK, "root": OK, "alias-none": UNKNOWN, "alias": OK,
    }  # fmt: skip
    assert told(host, *(f"{name}@here.example" for name in wanted)) == list(wanted.values())


def test_only_those_who_take_mail_may_ask(checked: Host) -> None:
    for name in ("qp/rcpt", "ql/homes"):
        script = f"""import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(checked.home / name)!r})
s.send(b"\\0\\7\\0\\0\\0\\1joe"); print(s.recv(9))"""
        stranger = {"user": 4999, "group": 4999, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(["/usr/bin/python3", "-c", script], capture_output=True, timeout=60, cwd="/", **stranger)
        assert (done.stdout.strip() in (b"b''", b"")) == bool(stranger)


def test_the_answer_of_a_home_is_remembered_for_a_while(checked: Host) -> None:
    assert told(checked, "joe-soon@here.example") == [UNKNOWN]
    checked.users[0].file(".qmail-soon", "./Maildir/\n")
    assert told(checked, "joe-soon@here.example", "joe-SOON@here.example") == [UNKNOWN, OK]
