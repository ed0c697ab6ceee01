"""qmail-lmtpd: what it says to a client, and what it queues."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import Run
from keeping import Keeper


@pytest.fixture
def place(home: Path) -> Path:
    (home / "control/me").write_text("mx.example.org\n")
    (home / "control/rcpthosts").write_text("example.org\n")
    return home


def said(program: Run, place: Path, *lines: bytes, **environ: str) -> list[bytes]:
    done = program(
        "qmail-lmtpd", stdin=b"".join(line + b"\r\n" for line in lines), env={"QMAIL_HOME": str(place), **environ}
    )
    assert done.stderr == b""
    return done.stdout.split(b"\r\n")[:-1]


def mail(*recipients: bytes) -> list[bytes]:
    return [b"MAIL FROM:<a@b>", *(b"RCPT TO:<%b>" % each for each in recipients), b"DATA"]


def test_each_recipient_that_was_taken_has_a_reply_after_the_message(place: Path, tmp_path: Path, program: Run) -> None:
    keeper = Keeper(tmp_path)
    known = {"QMAILQUEUE": str(keeper.path), "TCPREMOTEIP": "192.0.2.1", "TCPLOCALHOST": "here"}
    talk = mail(b"x@example.org", b"y@elsewhere.example", b"z@example.org", b"x@example.org")
    lines = (b"LHLO front", *talk, b"Subject: x\r\n\r\n..hello\r\n.", *mail(b"q"), b".", b"QUIT")
    answers = said(program, place, *lines, **known)
    assert answers[0] == b"220 mx.example.org LMTP"
    assert {b"250-PIPELINING", b"250-ENHANCEDSTATUSCODES", b"250 8BITMIME"} <= set(answers)
    assert not any(word in b"".join(answers) for word in (b"CHUNKING", b"STARTTLS", b"AUTH"))
    at = answers.index(b"250 8BITMIME") + 1
    assert [line[:9] for line in answers[at : at + 6]] == [
        b"250 2.1.0", b"250 2.1.5", b"553 5.7.1", b"250 2.1.5", b"250 2.1.5", b"354 go ah",
    ]  # fmt: skip
    assert len(set(answers[at + 6 : at + 9])) == 1
    assert re.fullmatch(rb"250 2\.0\.0 ok \d+ qp \d+", answers[at + 6])
    # The next message has one recipient, and one reply.
    assert [line[:4] for line in answers[at + 9 :]] == [b"250 ", b"250 ", b"354 ", b"250 ", b"221 "]
    (first, envelope), (_, second) = keeper.kept
    assert envelope == b"Fa@b\0Tx@example.org\0Tz@example.org\0Tx@example.org\0\0" and second == b"Fa@b\0Tq\0\0"
    assert b" (HELO front) (192.0.2.1)\n  by here with LMTP; " in first and first.endswith(b"\n.hello\n")


def test_what_is_not_taken_is_told_to_each_recipient_as_well(place: Path, tmp_path: Path, program: Run) -> None:
    (place / "control/databytes").write_text("30\n")
    two = mail(b"x@example.org", b"y@example.org")
    failing = tmp_path / "queue"
    failing.write_text("#!/bin/sh\ncat >/dev/null\nexit 53\n")
    failing.chmod(0o755)
    talk = (b"LHLO f", *two, b"y" * 50, b".", *two, b"x", b".", b"QUIT")
    answers = said(program, place, *talk, QMAILQUEUE=str(failing))
    assert [line[:9] for line in answers if line[:1] in b"45"] == [b"552 5.3.4"] * 2 + [b"451 4.3.0"] * 2
    (place / "control/databytes").unlink()
    answers = said(program, place, b"LHLO f", *two, b"Received: x\r\n" * 100, b".", b"NOOP")
    assert [line[:9] for line in answers[-3:]] == [b"554 5.4.6"] * 2 + [b"250 2.0.0"]


def test_smtp_is_another_language(place: Path, program: Run) -> None:
    answers = said(program, place, b"HELO x", b"EHLO x", b"LHLO x", b"STARTTLS", b"AUTH PLAIN", b"BDAT 3 LAST", b"DATA")
    assert [line[:4] for line in answers[1:3]] == [b"502 "] * 2
    assert [line[:9] for line in answers[-4:]] == [b"502 5.5.1"] * 3 + [b"503 5.5.1"]
    smtp = program("qmail-smtpd", stdin=b"LHLO x\r\n", env={"QMAIL_HOME": str(place)})
    assert smtp.stdout.endswith(b"502 unimplemented (#5.5.1)\r\n")
    assert said(program, place, b"MAIL FROM:<a@b>", b"DATA", SMTPS="", SMTPAUTH="!")[1:] == [
        b"250 ok", b"503 RCPT first (#5.5.1)",
    ]  # fmt: skip
