"""Faults 86 to 91: homes, .qmail files and mailboxes that are not as they should be."""

from __future__ import annotations

import os
import smtplib
import subprocess
from pathlib import Path

import pytest

from conftest import needs_root
from faults.disks import small_disk
from journeys.conftest import Host
from programs.test_qmail_local import Person
from programs.test_qmail_lspawn import Users, deliver
from sender import Sender


@pytest.fixture
def joe(home: Path, tmp_path: Path) -> Person:
    return Person(home, tmp_path)


@pytest.mark.parametrize(
    ("text", "mode", "code", "words"),
    [
        (b"./Mailbox\n", 0o602, 111, b"Uh-oh: .qmail file is writable. (#4.7.0)\n"),
        (b"./Mailbox\n", 0o700, 111, b"Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)\n"),
        (b"|true\n", 0o700, 111, b"Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)\n"),
        (b"\n./Mailbox\n", 0o600, 111, b"Uh-oh: first line of .qmail file is blank. (#4.2.1)\n"),
        (b"./Mailbox", 0o600, 0, b""),
        (b"", 0o600, 0, b""),
        (b"# nothing", 0o600, 0, b""),
    ],
)
def test_fault_086_a_dotqmail_file_that_is_not_fit_defers(
    joe: Person, text: bytes, mode: int, code: int, words: bytes
) -> None:
    joe.says(text, mode=mode)
    done = joe.gets()
    assert (done.returncode, done.stderr) == (code, words)
    assert (joe.home / "Mailbox").exists() == (code == 0 and text != b"# nothing")


def test_fault_086_a_dotqmail_file_that_goes_while_it_is_followed_is_followed_to_its_end(joe: Person) -> None:
    joe.says(b"|rm .qmail; echo gone\n./Mailbox\n|echo still\n")
    assert joe.gets().stdout == b"gone\nstill\ndid 1+0+2\n"
    assert joe.gets().stdout == b"did 1+0+0\n"


@needs_root
def test_fault_087_a_home_that_its_user_may_not_enter_or_read_defers(home: Path) -> None:
    users = Users(home)
    place = users.add("joe", 4242)
    users.says(place, "./Mailbox\n")
    sender = Sender(home, "qmail-lspawn", "./Mailbox")
    try:
        os.chown(place, 4243, 4243)
        place.chmod(0o700)
        (report,) = deliver(sender, b"joe@h")
        assert report == b"ZUnable to switch to %b: access denied. (#4.3.0)\n" % os.fsencode(place)
        place.chmod(0o755)
        os.chown(place / ".qmail", 4243, 4243)
        assert deliver(sender, b"joe@h") == [b"ZUnable to open .qmail: access denied. (#4.3.0)\n"]
        users.give(place, 4242)
        assert deliver(sender, b"joe@h") == [b"Kdid 1+0+0\n"]
    finally:
        assert sender.end() == 0


@needs_root
def test_fault_089_a_maildir_in_two_file_systems_defers_and_keeps_nothing(joe: Person) -> None:
    for part in ("tmp", "new", "cur"):
        (joe.home / "Maildir" / part).mkdir(parents=True)
    joe.says(b"./Maildir/\n")
    with small_disk(joe.home / "Maildir/new", "size=64k"):
        done = joe.gets()
        assert (done.returncode, done.stderr) == (111, b"Temporary error on maildir delivery. (#4.3.0)\n")
        assert not [*(joe.home / "Maildir/new").iterdir(), *(joe.home / "Maildir/tmp").iterdir()]
    assert joe.gets().stdout == b"did 1+0+0\n"


def test_fault_089_a_name_that_is_taken_is_never_replaced(joe: Person) -> None:
    """The clock stands still, and every process is number 7."""
    for part in ("tmp", "new", "cur"):
        (joe.home / "Maildir" / part).mkdir(parents=True)
    code = """
import os, sys, time
os.getpid, time.time_ns = (lambda: 7), (lambda: 10**18)
from qmail.stores import maildir
from qmail.stores.message import Message
open("m", "wb").write(sys.argv[1].encode())
print(*maildir.deliver(b"Maildir/", [(b"", Message(os.open("m", os.O_RDONLY)))] * 2))
"""
    from conftest import TOP

    for text, ended in (("one", "None None"), ("two", "Temporary error")):
        done = subprocess.run(
            ["/usr/bin/python3", "-c", code, text], cwd=joe.home, env={"PYTHONPATH": str(TOP / "src")},
            capture_output=True, check=True, text=True,
        )  # fmt: skip
        assert ended in done.stdout, done.stdout
    assert [path.read_text() for path in (joe.home / "Maildir/new").iterdir()] == ["one", "one"]
    assert not list((joe.home / "Maildir/tmp").iterdir())


def test_fault_090_programs_that_are_killed_or_hold_the_pipe_end_as_they_should(joe: Person) -> None:
    joe.says(b"|kill -9 $$\n./Mailbox\n")
    done = joe.gets()
    assert (done.returncode, done.stdout, done.stderr) == (111, b"", b"Aack, child crashed. (#4.3.0)\n")
    joe.says(b"|exit 99\n./Mailbox\n")
    assert joe.gets().stdout == b"did 0+0+1\n"
    assert not (joe.home / "Mailbox").exists()


def test_fault_091_forwards_that_come_back_end_in_one_notice(host: Host) -> None:
    joe, ann, bob = host.user("joe"), host.user("ann"), host.user("bob")
    joe.file(".qmail", "&joe@here.example\n")
    ann.file(".qmail", "&bob@here.example\n")
    bob.file(".qmail", "&ann@here.example\n")
    joe.file(".qmail-sender", "./Maildir/\n")
    host.start()
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        for name in ("joe", "ann"):
            client.sendmail("joe-sender@here.example", [f"{name}@here.example"], f"Subject: {name}\r\n\r\n")
    first, second = joe.wait_for_mail(2)
    host.wait_for_empty_queue()
    assert len(joe.mail()) == 2
    assert all(b"This message is looping: it already has my Delivered-To line." in text for text in (first, second))
    assert host.log().count("new msg") == 2 + 2 + 2 + 1


def test_fault_091_a_list_owner_gets_the_notices_of_his_list(host: Host) -> None:
    owner = host.user("joe")
    owner.file(".qmail-list", "&gone@here.example\n&joe-here@here.example\n")
    owner.file(".qmail-list-owner", "./Maildir/\n")
    owner.file(".qmail-list-owner-default", "./Maildir/\n")
    owner.file(".qmail-here", '|printf "%s" "$SENDER" >sender\n')
    host.start()
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        client.sendmail("s@a.example", ["joe-list@here.example"], "Subject: x\r\n\r\n")
    (notice,) = owner.wait_for_mail()
    host.wait_for_empty_queue()
    assert notice.startswith(b"Return-Path: <>\nDelivered-To: joe-list-owner-@here.example\n")
    assert (owner.home / "sender").read_text() == "joe-list-owner-joe-here=here.example@here.example"
