"""Faults 55 to 69: addresses that mean to be more than addresses, on their whole way."""

from __future__ import annotations

import os
import smtplib
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, Run, needs_root
from journeys.conftest import Host
from keeping import Keeper
from nameserver import NameServer
from programs.test_qmail_lspawn import Users, deliver
from qmail.stores.home import Home
from qmail.stores.names import Names, Unknown
from sender import Sender


@pytest.mark.parametrize(
    ("checker", "said"),
    [
        ("echo junk >&1; exit 0", b"junk\n"),  # it is the one to speak from here on
        ("kill -11 $$", b"-ERR aack, child crashed\r\n"),
        ("exec 3<&-; exit 1", b"-ERR authorization failed\r\n"),
        ("head -c 5 <&3 >/dev/null; exit 1", b"-ERR authorization failed\r\n"),
    ],
    ids=["junk", "crash", "deaf", "half"],
)
def test_fault_055_however_a_password_checker_ends_the_client_is_told(program: Run, checker: str, said: bytes) -> None:
    done = program("qmail-popup", "h", "sh", "-c", checker, stdin=b"USER root\nPASS " + b"x" * 300 + b"\nSTAT\n")
    assert done.stdout.split(b"\r\n", 2)[2] == said
    assert done.returncode == 1


def test_fault_055_a_password_checker_that_hangs_holds_up_its_own_client_only(tmp_path: Path) -> None:
    hanging = subprocess.Popen(
        [BIN / "qmail-popup", "h", "sleep", "1000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path
    )
    try:
        assert hanging.stdin and hanging.stdout
        hanging.stdin.write(b"USER a\nPASS b\n")
        hanging.stdin.flush()
        for _ in range(2):
            assert hanging.stdout.readline().startswith(b"+OK")
        done = subprocess.run(
            [BIN / "qmail-popup", "h", "true"], input=b"USER a\nPASS b\n", capture_output=True, cwd=tmp_path, timeout=60
        )
        assert done.returncode == 1
        assert hanging.poll() is None
    finally:
        children = subprocess.run(["pgrep", "-P", str(hanging.pid)], capture_output=True, check=False).stdout.split()
        for pid in (*children, hanging.pid):
            os.kill(int(pid), 9)
        hanging.communicate()


HOSTS = [
    b"[2130706433]", b"2130706433", b"[0177.0.0.1]", b"0x7f000001", b"127.1", b"[127.0.0.1", b"localhost.",
    b"xn--\xff", b"xn--a-ecp.example", "ex\u0430mple.org".encode(), b"\xc0\xae\xc0\xae", b"a b", b".", b"a..b", b"a\0b",
    b"x" * 63 + b".example", b"x" * 64 + b".example", b"x." * 126 + b"xy", b"x." * 127 + b"xy", b"x" * 900,
]  # fmt: skip


def test_fault_060_061_063_a_host_that_only_looks_like_one_is_a_name_that_nobody_knows(home: Path) -> None:
    with NameServer({("example.org", "MX"): ["0 ."]}) as server:
        environ = {name.encode(): value.encode() for name, value in server.environ.items()}
        names = Names(Home(os.fsencode(home)), environ, alone=True)
        for host in HOSTS:
            with pytest.raises(Unknown):
                names.exchangers(host)
        assert "example.org" not in [name for name, _ in server.asked], "no letter is taken for another"


@needs_root
def test_fault_064_odd_dots_find_the_file_that_is_named_for_them_and_no_other(home: Path) -> None:
    users = Users(home)
    place = users.add("joe", 4242)
    for name in ("a::b", ":a", "a:", "::", ":::x"):
        users.says(place, f"|echo '{name}'\n", f".qmail-{name}")
    users.says(place, "|echo outside\n", "..qmail-x")
    sender = Sender(home, "qmail-lspawn", "./Mailbox")
    try:
        reports = deliver(
            sender, b"joe-a..b@h", b"joe-.a@h", b"JOE-A.@h", b"joe-..@h", b"joe-...x@h", b"joe-a.b@h", b"joe..@h"
        )
    finally:
        assert sender.end() == 0
    found = [report.split(b"\n")[0] for report in reports]
    assert found[:5] == [b"Ka::b", b"K:a", b"Ka:", b"K::", b"K:::x"]
    # The user alias may have a home on this machine.
    nobody = (b"DSorry, no mailbox", b"ZUnable to find alias", b"ZUnable to switch to ")
    assert all(report.startswith(nobody) for report in found[5:]), found[5:]


STRANGE = [
    ('"a b"', "a b"), ('"a@b"', "a@b"), ('"\\""', '"'), ("a\\@b", "a@b"), ("|touch${IFS}x", "|touch${IFS}x"),
    ("`id`", "`id`"), ("$(id)", "$(id)"), ("-froot", "-froot"), ("../../x", "../../x"), ("/etc/passwd", "/etc/passwd"),
    ("a%b", "a%b"), ("() { :;};x", "() { :;};x"), ("%0aBcc:x", "%0aBcc:x"), ("\u202egnp", "\u202egnp"),
    ("e\u0301", "e\u0301"), ("\u00e9", "\u00e9"), ("\udcc0\udcaf", "\udcc0\udcaf"), ("x" * 300, "x" * 300),
]  # fmt: skip


def test_fault_059_062_strange_local_parts_arrive_as_they_were_and_run_nothing(host: Host) -> None:
    joe = host.user("joe")
    joe.file(".qmail-default", '|printf "%s\\n" "$EXT" >>got; printf "%s" "$LOCAL" >/dev/null\n./Maildir/\n')
    host.start()
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        client.ehlo()
        for written, _ in STRANGE:
            parts = f'"joe-{written[1:]}' if written.startswith('"') else f"joe-{written}"
            client.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<%b@here.example>\r\nDATA\r\n" % os.fsencode(parts))
            assert [client.getreply()[0] for _ in range(3)] == [250, 250, 354], written
            client.send(b"Subject: x\r\n\r\n.\r\n")
            assert client.getreply()[0] == 250
    joe.wait_for_mail(len(STRANGE))
    host.wait_for_empty_queue()
    assert sorted((joe.home / "got").read_bytes().splitlines()) == sorted(os.fsencode(meant) for _, meant in STRANGE)
    assert sorted(os.listdir(joe.home)) == [".qmail-default", "Maildir", "got"]
    assert max(text.count(b"\nDelivered-To: joe-") for text in joe.mail()) <= 1
    for line in host.log().splitlines():
        assert line.isascii() and line.isprintable(), line


def test_fault_068_a_cr_in_an_envelope_makes_no_field_for_anybody(host: Host) -> None:
    joe = host.user("joe")
    joe.file(".qmail-default", "./Maildir/\n")
    host.start()
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        client.ehlo()
        client.send(b"MAIL FROM:<a\rX-One: x@b.example>\r\nRCPT TO:<joe-a\rX-Two: y@here.example>\r\nDATA\r\n")
        assert [client.getreply()[0] for _ in range(3)] == [250, 250, 354]
        client.send(b"Subject: x\r\n\r\nbody\r\n.\r\n")
        assert client.getreply()[0] == 250
    (text,) = joe.wait_for_mail()
    lines = text.replace(b"\r", b"\n").split(b"\n")
    assert not [line for line in lines if line.startswith((b"X-One", b"X-Two"))], text


def test_fault_067_a_variable_sender_names_each_recipient_and_its_owner_is_told_once(host: Host) -> None:
    joe, owner = host.user("joe"), host.user("owner")
    joe.file(".qmail-default", "./Maildir/\n")
    joe.file(".qmail-gone", "|exit 100\n")
    owner.file(".qmail-default", "./Maildir/\n")
    host.start()
    recipients = [f"joe-{ext}@here.example" for ext in ("no=one+x", "=", "a-b=c", "gone")]
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        client.sendmail("owner-@here.example-@[]", recipients, "Subject: x\r\n\r\n")
    paths = {text.partition(b"\n")[0] for text in joe.wait_for_mail(3)}
    assert paths == {
        b"Return-Path: <owner-joe-%b=here.example@here.example>" % ext for ext in (b"no=one+x", b"=", b"a-b=c")
    }
    (notice,) = owner.wait_for_mail()
    host.wait_for_empty_queue()
    assert notice.startswith(b"Return-Path: <>\nDelivered-To: owner-@here.example\n")
    assert b"\n<joe-gone@here.example>:\n" in notice


def test_fault_069_no_variable_and_no_argument_adds_a_field(home: Path, tmp_path: Path, program: Run) -> None:
    (home / "control/me").write_text("here.example\n")
    keeper = Keeper(tmp_path)
    evil = "x\nBcc: victim@example.org\n\nbody"
    names = ("QMAILUSER", "QMAILHOST", "QMAILNAME", "MAILNAME", "NAME", "USER", "LOGNAME", "MAILHOST", "QMAILSUSER",
             "QMAILSHOST", "QMAILIDHOST", "QMAILDEFAULTHOST", "QMAILDEFAULTDOMAIN", "QMAILPLUSDOMAIN")  # fmt: skip
    for name in names:
        env = {"QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path), "USER": "joe", name: evil}
        done = program("qmail-inject", "-f", "s@x", "to@here.example", stdin=b"Subject: s\n\nreal\n", env=env)
        assert done.returncode in (0, 100), (name, done.stderr)
    for message, envelope in keeper.kept:
        head, _, body = message.partition(b"\n\n")
        assert body == b"real\n"
        assert not [line for line in head.split(b"\n") if line.lower().startswith(b"bcc")]
        assert envelope.count(b"\0T") == 1
    assert len(keeper.kept) > 8
