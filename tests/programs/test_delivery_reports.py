"""DSN parameters in the queue (RFC 3461), and what senders are told: reports (RFC 3464) beside qmail's own words."""

from __future__ import annotations

import email
import email.policy
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from email.message import EmailMessage, Message
from pathlib import Path

import pytest

from qmail.formats.besides import extension
from qmail.formats.mailparameters import DELAY, FAILURE, NEVER, SUCCESS, Parameters, Wish
from sending import Sending

ANN = "hold@here.example"  # she gets her mail when the test has read it
TEXT = b"From: ann@here.example\nSubject: t\n\nhello\n"


@pytest.fixture
def system(home: Path) -> Iterator[Sending]:
    sending = Sending(home)
    yield sending
    sending.close()


def asked(ret: bytes = b"", envid: bytes = b"", *, requiretls: bool = False, **wishes: int | Wish) -> bytes:
    """Parameters; recipients are `temp@here.example` and such by their first part, those with `_away` elsewhere."""
    named = {
        (name.removesuffix("_away") + ("@away.example" if name.endswith("_away") else "@here.example")).encode(): wish
        for name, wish in wishes.items()
    }
    each = {name: Wish(wish) if isinstance(wish, int) else wish for name, wish in named.items()}
    return extension(Parameters(ret, envid, requiretls, each))


def notices(system: Sending) -> list[Path]:
    """The messages in the queue that tell Ann of something."""
    found = []
    for path in (system.queue / "mess").rglob("*"):
        if path.is_file() and b"From: MAILER-DAEMON@" in path.read_bytes():
            found.append(path)
    return found


def told(system: Sending, count: int = 1) -> list[EmailMessage]:
    """What Ann is told, and then let go."""
    system.until("no notice", lambda: len(notices(system)) >= count)
    system.wait("starting delivery .* to local hold", count)
    texts = [path.read_bytes() for path in sorted(notices(system), key=lambda path: path.stat().st_mtime_ns)]
    (system.home.parent / f"hold-{ANN}").touch()
    return [email.message_from_bytes(text, policy=email.policy.default) for text in texts]  # type: ignore[misc]


def parts(report: EmailMessage) -> tuple[str, list[Message[str, str]], EmailMessage]:
    """What a person reads, the blocks of fields, and what was given back."""
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert report["Auto-Submitted"] == "auto-replied"
    words, status, returned = report.iter_parts()
    assert status.get_content_type() == "message/delivery-status"
    blocks = status.get_payload()
    assert isinstance(blocks, list)
    return words.get_content(), blocks, returned  # type: ignore[return-value]


def test_a_failure_is_reported_as_the_sender_asked(system: Sending) -> None:
    system.start()
    wish = Wish(FAILURE, b"rfc822;P+2Eerm@old.example")
    system.submit(ANN, ["perm@here.example"], TEXT, asked=asked(b"HDRS", b"QQ+2B1", perm=wish))
    (report,) = told(system)
    words, (about, perm), returned = parts(report)
    assert words.startswith("Hi. This is the qmail-send program at here.example.\n")
    assert "\n<perm@here.example>:\nnever ever\n\n--- Below this line is the header of the message.\n" in words
    assert about["Reporting-MTA"] == "dns; here.example"
    assert about["Original-Envelope-Id"] == "QQ+1"
    assert about["Arrival-Date"]
    assert perm["Original-Recipient"] == "rfc822; P.erm@old.example"
    assert perm["Final-Recipient"] == "rfc822; perm@here.example"
    assert (perm["Action"], perm["Status"]) == ("failed", "5.0.0")
    assert perm["Diagnostic-Code"] == "x-qmail; never ever"
    assert returned.get_content_type() == "text/rfc822-headers"
    assert returned.get_payload().endswith("Subject: t\n")
    system.wait("^end msg", 2)
    assert system.stop() == 0
    assert system.files() == []


def test_the_whole_message_comes_back_where_nothing_else_was_asked(system: Sending) -> None:
    system.start()
    system.submit(ANN, ["perm@here.example"], TEXT, asked=asked(envid=b"x"))
    (report,) = told(system)
    words, _, returned = parts(report)
    assert words.endswith("--- Below this line is a copy of the message.\n")
    (message,) = returned.iter_parts()
    assert message["Return-Path"] == f"<{ANN}>"
    assert message["Subject"] == "t"
    assert message.get_payload() == "hello\n"


def test_nothing_is_told_of_recipients_of_whom_nothing_is_to_be_told(system: Sending) -> None:
    system.start()
    recipients = ["perm1@here.example", "perm2@here.example", "perm3@here.example", "good@here.example"]
    system.submit(ANN, recipients, asked=asked(perm1=NEVER, perm2=SUCCESS | DELAY, good=FAILURE))
    (report,) = told(system)
    _, (_, only), _ = parts(report)
    assert only["Final-Recipient"] == "rfc822; perm3@here.example"
    system.wait("^end msg", 2)
    system.submit(ANN, ["perm1@here.example"], asked=asked(perm1=NEVER))
    system.wait("^end msg", 3)
    assert system.text().count("bounce msg") == 1


def test_without_parameters_the_words_are_those_of_qmail_unless_bounceformat_says_report(system: Sending) -> None:
    system.start()
    system.submit(ANN, ["perm@here.example"], TEXT)
    (plain,) = told(system)
    assert plain["MIME-Version"] is None
    system.wait("^end msg", 2)
    assert system.stop() == 0
    (system.home.parent / f"hold-{ANN}").unlink()
    (system.home / "control" / "bounceformat").write_text("report\n")
    system.start()
    system.submit(ANN, ["perm@here.example"], TEXT)
    (report,) = told(system)
    words, (_, perm), _ = parts(report)
    assert perm["Action"] == "failed"
    assert plain.get_payload().startswith(words[: words.index("---")])


def test_successes_are_told_with_what_they_were(system: Sending) -> None:
    system.start()
    recipients = ["good@here.example", "good@away.example", "passed@away.example", "other@here.example"]
    wishes = asked(b"FULL", good=SUCCESS, good_away=SUCCESS, passed_away=SUCCESS, other=FAILURE)
    system.submit(ANN, recipients, TEXT, asked=wishes)
    (report,) = told(system)
    assert report["Subject"] == "success notice"
    words, (_, *blocks), returned = parts(report)
    assert not words.startswith("Hi. This is the"), "or programs would take it for a failure"
    assert {block["Final-Recipient"][8:]: block["Action"] for block in blocks} == {
        "good@here.example": "delivered",
        "good@away.example": "relayed",
    }
    assert returned.get_content_type() == "text/rfc822-headers", "whatever RET says"
    system.wait("^end msg", 2)
    assert system.stop() == 0
    assert system.text().count("notice msg") == 1
    assert system.files() == []


def test_parameters_outlive_the_first_attempt_and_a_restart(system: Sending) -> None:
    system.start()
    recipients = ["good@here.example", "again1@here.example", "perm@here.example", "again2@here.example"]
    perm = Wish(FAILURE, b"rfc822;p")
    wishes = asked(b"HDRS", b"E1", good=SUCCESS, again1=SUCCESS | FAILURE, perm=perm, again2=NEVER)
    system.submit(ANN, recipients, TEXT, asked=wishes)
    system.until("no files", lambda: "info" in system.kinds() and "todo" not in system.kinds())
    (success,) = told(system)
    assert [block["Final-Recipient"] for block in parts(success)[1][1:]] == ["rfc822; good@here.example"]
    number = int(system.lines()[0].removeprefix("new msg "))
    info = system.file("info", number).read_bytes()
    assert info.startswith(f"F{ANN}\0u0 mail HDRS E1 =\0".encode()), "which C qmail reads as far as the first NUL"
    system.wait("^end msg", 1)
    assert system.stop() == 0
    (system.home.parent / f"hold-{ANN}").unlink()
    system.start()
    system.signal(signal.SIGALRM)
    system.wait("delivery .* deferral", 4)
    system.signal(signal.SIGALRM)
    first, second = told(system, 2)
    assert [report["Subject"] for report in (first, second)] == ["success notice", "failure notice"]
    assert [block["Final-Recipient"] for block in parts(first)[1][1:]] == ["rfc822; again1@here.example"]
    _, (about, block), returned = parts(second)
    assert (about["Original-Envelope-Id"], block["Original-Recipient"]) == ("E1", "rfc822; p")
    assert returned.get_content_type() == "text/rfc822-headers"
    system.wait("^end msg", 4)
    assert system.stop() == 0
    assert system.files() == []


def test_a_success_that_nobody_takes_word_of_keeps_its_message(system: Sending) -> None:
    system.start(env={"QMAILQUEUE": "/bin/false"})
    system.submit(ANN, ["good@here.example"], asked=asked(good=SUCCESS))
    system.wait("^warning: trouble injecting success notice")
    assert system.stop() == 0
    assert "end msg" not in system.text()
    system.start()
    told(system)
    system.wait("^end msg", 2)
    assert system.stop() == 0
    assert system.orders() == ["good@here.example", "good@here.example", ANN]


def test_a_delay_is_told_once(system: Sending) -> None:
    system.start()
    system.submit(ANN, ["temp1@here.example", "temp2@here.example"], asked=asked(temp1=DELAY, temp2=FAILURE))
    system.until("no files", lambda: system.kinds() == ["info", "local", "mess"])
    assert system.stop() == 0
    then = time.time() - 4 * 3600 - 5
    os.utime(system.file("info"), (then, then))
    system.start()
    system.signal(signal.SIGALRM)
    (report,) = told(system)
    assert report["Subject"] == "delay notice"
    words, (_, block), _ = parts(report)
    assert not words.startswith("Hi. This is the")
    assert block["Final-Recipient"] == "rfc822; temp1@here.example"
    assert (block["Action"], block["Status"], block["Diagnostic-Code"]) == ("delayed", "4.0.0", "x-qmail; not now")
    system.wait("^end msg")
    system.signal(signal.SIGALRM)
    system.wait("delivery .* deferral", 6)
    assert system.stop() == 0
    assert system.text().count("notice msg") == 1


@pytest.mark.parametrize("sender", ["", "#@[]"])
def test_of_a_notice_nothing_more_is_told(system: Sending, sender: str) -> None:
    system.start()
    system.submit(sender, ["good@here.example"], asked=asked(good=SUCCESS))
    system.wait("^end msg")
    assert system.stop() == 0
    assert "notice msg" not in system.text()


def test_a_message_that_must_not_go_without_tls_comes_back_by_the_same_rule_and_with_its_header_alone(
    system: Sending,
) -> None:
    system.start(env={"DIALECT": "narrow"})  # so speaks a qmail-rspawn that knows nothing of this
    system.submit(ANN, ["good@away.example", "good@here.example"], TEXT, asked=asked(b"FULL", requiretls=True))
    (notice,) = told(system)
    words, (_, block), returned = parts(notice)
    assert "<good@away.example>:\nREQUIRETLS support required" in words
    assert (block["Action"], block["Status"]) == ("failed", "5.7.30")
    assert returned.get_content_type() == "text/rfc822-headers"
    assert system.orders() == ["good@here.example", ANN]
    assert system.orders("rspawn") == []


def test_a_bounce_of_such_a_message_is_such_a_message(system: Sending) -> None:
    system.start()
    system.submit("temp@here.example", ["perm@here.example"], TEXT, asked=asked(requiretls=True))
    system.until("no files", lambda: "info" in system.kinds() and "todo" not in system.kinds())
    assert system.file("info").read_bytes() == b"F\0u0 mail = = REQUIRETLS\0"


@pytest.mark.parametrize("copied", [True, False])
def test_a_queue_program_that_copies_the_envelope_whole_carries_what_was_asked_for(
    system: Sending, tmp_path: Path, copied: bool
) -> None:
    system.start()
    wrapper = tmp_path / "wrapper"
    command = "cat <&1" if copied else r"cat <&1 >/dev/null; printf 'Fhold@here.example\0Tperm@here.example\0\0'"
    there = tmp_path / "envelope"
    wrapper.write_text(f'#!/bin/sh\n{command} >"{there}"\nexec "{system.home}/bin/qmail-queue" 1<"{there}"\n')
    wrapper.chmod(0o755)
    tmp_path.chmod(0o777)
    environment = system.environment({"QMAILQUEUE": str(wrapper), "QMAILNOTIFY": "NEVER", "USER": "joe"})
    argv = [system.home / "bin/qmail-inject", "-fhold@here.example", "perm@here.example"]
    subprocess.run(argv, input=b"Subject: x\n\nx\n", env=environment, check=True, timeout=30)
    system.wait("^end msg" if copied else "^bounce msg")
    assert ("bounce msg" in system.text()) != copied
