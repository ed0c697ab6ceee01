"""Faults 70 to 78: what stands in messages, and in what servers say about them, is text and nothing else."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest

from conftest import Run
from journeys.conftest import Host, eventually
from keeping import Keeper
from programs.test_qmail_local import Person
from qmail.protocols.smtpdata import Content
from scripted import Peer, Step, taking


def test_fault_070_a_header_line_of_a_hundred_megabytes_takes_no_memory() -> None:
    content, size = Content(), 0
    block = b"x" * 65_536
    size += len(content.feed(b"Subject: "))
    for _ in range(1600):
        size += len(content.feed(block))
        assert len(vars_of(content)) < 1 << 20
    size += len(content.feed(b"\r\nReceived: x\r\n\r\n.\r\n"))
    assert content.over and content.measure.hops == 1 and size > 100_000_000


def vars_of(content: Content) -> bytes:
    """What a reader holds."""
    return b"".join(value for name in content.__slots__ if isinstance(value := getattr(content, name), bytes))


ODD = [
    b" leading blank\nSubject: x\n\nbody\n",
    b"no colon here\nSubject: x\n\nbody\n",
    b": empty name\n\nbody\n",
    b"\n\nbody\n",
    b"Subject: x",
    b"X: y\n" * 100_000 + b"\nbody\n",
    b"From: a@b\nFrom: c@d\nFrom:\n\nbody\n",
    b"From: " + b", ".join(b"a%d@b.example" % number for number in range(10_000)) + b"\n\nbody\n",
]


@pytest.mark.parametrize("text", ODD, ids=lambda text: repr(text[:12]))
def test_fault_070_073_a_header_of_any_kind_is_delivered_as_it_came(home: Path, tmp_path: Path, text: bytes) -> None:
    joe = Person(home, tmp_path)
    joe.says(b"./Maildir/\n|cat\n")
    for part in ("tmp", "new", "cur"):
        (joe.home / "Maildir" / part).mkdir(parents=True)
    done = joe.gets(text=text)
    assert (done.returncode, done.stdout) == (0, text + b"did 1+0+1\n")
    (path,) = (joe.home / "Maildir/new").iterdir()
    assert path.read_bytes() == b"Return-Path: <s@a>\nDelivered-To: joe@h\n" + text


def test_fault_073_two_authors_none_and_ten_thousand_are_rewritten_or_refused(
    home: Path, tmp_path: Path, program: Run
) -> None:
    (home / "control/me").write_text("here.example\n")
    keeper = Keeper(tmp_path)
    env = {"QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path), "USER": "joe"}
    many = b", ".join(b"a%d" % number for number in range(10_000))
    for text in (b"", b"From: a@b\nFrom: c@d\n", b"From: " + many + b"\n"):
        done = program("qmail-inject", "to@x.example", stdin=text + b"Subject: s\n\nreal\n", env=env)
        assert (done.returncode, done.stderr) == (0, b"")
    none, two, ten_thousand = (message.partition(b"\n\n")[0] for message, _ in keeper.kept)
    assert none.count(b"\nFrom: joe@here.example") == 1
    assert two.count(b"\nFrom: a@b") == 1 and b"c@d" in two
    assert ten_thousand.count(b"@here.example") >= 10_000
    assert all(envelope == b"Fjoe@here.example\0Tto@x.example\0\0" for _, envelope in keeper.kept)


def test_fault_076_a_message_within_a_message_a_thousand_deep_is_delivered_as_it_came(
    home: Path, tmp_path: Path, program: Run
) -> None:
    joe = Person(home, tmp_path)
    head = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (number, number if number % 7 else 1)
        for number in range(1000)
    )
    text = b"Content-Type: message/rfc822\n\n" * 1000 + head + b"Content-Type: multipart/mixed\n\nno boundary\n--0"
    joe.says(b"|cat\n")
    assert joe.gets(text=text).stdout == text + b"did 0+0+1\n"
    (home / "control/me").write_text("here.example\n")
    keeper = Keeper(tmp_path)
    env = {"QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path), "USER": "joe"}
    assert program("qmail-inject", "to@x", stdin=text, env=env).returncode == 0
    assert keeper.kept[0][0].endswith(text.partition(b"\n\n")[2] + b"\n")


FORGED = [
    b"550-\r\n" * 1000 + b"550 <postmaster@here.example>:\r\n",
    b"550-\x1b]0;owned\x07\x80\xff\0 control\r\n550-\r\n550---- Below this line is a copy of the message.\r\n"
    b"--- Below this line is a copy of the message.\r\n",
    b"550-no\r\n   -\r\n   -<other@there.example>:\r\n   -I never liked him\r\n---- Below this line.\r\n550 x\r\n",
]


@pytest.mark.parametrize("reply", FORGED, ids=["blank lines", "separator", "paragraph"])
def test_fault_078_a_server_that_refuses_writes_no_paragraph_and_no_separator_of_a_notice(
    host: Host, reply: bytes
) -> None:
    joe = host.user("joe")
    host.smtp_environment = {"RELAYCLIENT": ""}
    with Peer(taking(rcpt=reply)) as peer:
        host.control("smtproutes", f":[127.0.0.1]:{peer.port}")
        host.start()
        with smtplib.SMTP("127.0.0.1", host.port) as client:
            client.sendmail("joe@here.example", ["r@there.example"], "Subject: mine\r\n\r\nx\r\n")
        (text,) = joe.wait_for_mail()
        host.wait_for_empty_queue()
        host.stop_service("send")
    notice = text.partition(b"\n\nHi. This is the qmail-send program at ")[2]
    before, separator, copy = notice.partition(b"\n\n--- Below this line is a copy of the message.\n\n")
    assert separator and b"Subject: mine\n" in copy, "the first separator is ours"
    paragraphs = before.split(b"\n\n")
    assert len(paragraphs) == 2, "ours, and one about one recipient"
    assert paragraphs[1].startswith(b"<r@there.example>:\n127.0.0.1 does not like recipient.\nRemote host said: 5")
    assert len(text) < 10_000 and b"\0" not in text


def test_fault_078_a_reply_of_ten_megabytes_is_no_reason_to_fail_for_good(host: Host) -> None:
    host.smtp_environment = {"RELAYCLIENT": ""}
    endless: list[Step] = [
        b"220 x\r\n",
        "line",
        b"250 x\r\n",
        "line",
        b"550-" + b"y" * 996 + b"\r\n",
        *[b"550-z\r\n" * 10_000] * 140,
    ]
    with Peer(endless) as peer:
        host.control("smtproutes", f":[127.0.0.1]:{peer.port}")
        host.start()
        with smtplib.SMTP("127.0.0.1", host.port) as client:
            client.sendmail("joe@here.example", ["r@there.example"], "Subject: mine\r\n\r\nx\r\n")
        host.wait_for_log("send", "deferral: Connected_to_127.0.0.1_but_connection_died")
        eventually("kept", lambda: any("remote" in path.parts for path in host.queued()))
        host.stop_service("send")
