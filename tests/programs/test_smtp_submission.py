"""What holds for users who have logged in: headers are completed, messages counted, and who checks them is chosen."""

from __future__ import annotations

import os
import re
import signal
import smtplib
from pathlib import Path

import pytest

from conftest import wait_until
from programs.test_qmail_smtpd_warm import workers
from programs.test_qmail_tlsd import serve
from programs.test_smtp_login import DRIVERS, client, place, start
from serving import Server, Start

__all__ = ["place", "start"]  # fixtures

TO = ["far@elsewhere.example"]
BODY = b"Subject: x\r\nX-Odd:\t y \r\nBcc: z@example.org\r\n\r\n..\r\nhello\r\n"


def messages(home: Path) -> list[bytes]:
    """What is in the queue, in the order of coming."""
    paths = sorted((home / "queue/mess").glob("*/*"), key=lambda path: path.stat().st_mtime_ns)
    return [path.read_bytes() for path in paths]


def untraced(message: bytes) -> bytes:
    """Without the two Received fields in front, of qmail-queue and of qmail-smtpd."""
    return message.split(b" -0000\n", 2)[2]


def refused(talk: smtplib.SMTP, recipients: list[str] = TO) -> tuple[int, bytes] | None:
    """What is said to one more message; None where it is taken."""
    assert talk.mail("joe@example.org")[0] == 250
    for recipient in recipients:
        assert talk.rcpt(recipient)[0] == 250
    code, words = talk.docmd("DATA")
    if code != 354:
        return code, words
    talk.send(b"Subject: x\r\n\r\nhello\r\n.\r\n")
    assert talk.getreply()[0] == 250
    return None


def logged_in(server: Server) -> smtplib.SMTP:
    talk = client(server.port)
    talk.login("joe", "a secret")
    return talk


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_users_message_gets_what_it_lacks_and_nothing_else_changes(
    place: Path, queued: object, start: Start, driver: str
) -> None:
    (place / "control/idhost").write_text("id.example\n")
    server = serve(start, place, driver=driver, SMTPAUTH="")
    with logged_in(server) as talk:
        talk.sendmail("joe@example.org", TO, BODY)
        talk.sendmail("joe@example.org", TO, b"From: x\r\nDate: y\r\nMessage-ID: z\r\n" + BODY)
        talk.sendmail("joe@example.org", TO, b"")
    with client(server.port) as talk:
        talk.sendmail("joe@example.org", ["c@example.org"], BODY)
    first, second, third, others = messages(place)
    text = BODY.replace(b"\r\n", b"\n")
    added = re.escape(b"From: joe@example.org\n")
    pattern = rb"Date: \d+ \w+ \d+ [\d:]+ -0000\nMessage-ID: <(\d{14}\.[\d.]+)\.qmail@id\.example>\n" + added
    ids = []
    for message, rest in ((first, text), (third, b"\n")):
        assert message.endswith(rest) and b"with ESMTPSA (" in message
        header = untraced(message[: len(message) - len(rest)])
        found = re.fullmatch(pattern, header)
        assert found, header
        ids.append(found[1])
    assert ids[0] != ids[1]
    assert untraced(others) == text
    assert untraced(second) == b"From: x\nDate: y\nMessage-ID: z\n" + text


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_header_that_is_too_long_to_be_kept_is_refused_and_a_whole_one_is_not(
    place: Path, queued: object, start: Start, driver: str
) -> None:
    server = serve(start, place, driver=driver, SMTPAUTH="")
    long = b"X-Long: " + b"x" * 900 + b"\r\n"
    with logged_in(server) as talk:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            talk.sendmail("joe@example.org", TO, long * 400 + b"\r\nhello\r\n")
        assert caught.value.smtp_code == 552
        talk.sendmail("joe@example.org", TO, b"From: x\r\nDate: y\r\nMessage-ID: z\r\n" + long * 400 + b"\r\nhello\r\n")
    (message,) = messages(place)
    assert message.count(b"X-Long") == 400


# ---- limits


@pytest.mark.parametrize("driver", DRIVERS)
def test_who_has_sent_enough_is_told_when_there_may_be_more(
    place: Path, queued: object, start: Start, driver: str
) -> None:
    (place / "control/userlimits").write_text("joe:3:100\n:0:0\n")
    server = serve(start, place, driver=driver, SMTPAUTH="")
    with logged_in(server) as talk:
        words = b"5.7.1 a message of yours may have 100 recipients"
        assert refused(talk, [f"r{number}@elsewhere.example" for number in range(101)]) == (550, words)
        assert refused(talk) is None and refused(talk) is None
    with logged_in(server) as talk, logged_in(server) as other:
        assert refused(talk) is None
        for each in (talk, other):
            words = b"4.7.1 you have sent as much as you may in an hour, try again in 60 minutes"
            assert refused(each) == (450, words)
        (place / "control/userlimits").write_text("joe:4:100\n")
        assert refused(talk) is None, "the file is read again"
        assert refused(talk) is not None
    with client(server.port) as talk:
        assert refused(talk, ["c@example.org"]) is None, "others are not counted"
    assert len(messages(place)) == 5


def test_the_count_survives_workers_that_die(place: Path, queued: object, start: Start) -> None:
    (place / "control/userlimits").write_text("joe::3\n")
    server = serve(start, place, SMTPAUTH="")
    with logged_in(server) as talk:
        assert refused(talk, TO * 2) is None
    for pid in (first := workers(server)):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not set(first) & set(workers(server)))
    with logged_in(server) as talk:
        assert refused(talk) is None
        assert refused(talk) is not None


@pytest.mark.parametrize("driver", DRIVERS)
def test_without_somebody_who_counts_everybody_may_try_again(
    place: Path, queued: object, start: Start, driver: str
) -> None:
    limits = place / "control/userlimits"
    limits.write_text("joe:many\n")
    server = serve(start, place, driver=driver, SMTPAUTH="")
    with logged_in(server) as talk:
        words = b"4.3.0 unable to find out how much you may send, try again later"
        assert refused(talk) == (451, words)
        limits.write_text("joe:1:1\n")
        assert refused(talk) is None
        (place / "qp/login").unlink()
        assert refused(talk) == (451, words)


def test_commands_sent_at_once_get_their_answers_in_order(place: Path, queued: object, start: Start) -> None:
    (place / "control/userlimits").write_text("joe:1:10\n")
    server = serve(start, place, SMTPAUTH="")
    with logged_in(server) as talk:
        assert talk.sock is not None
        envelope = b"MAIL FROM:<joe@example.org>\r\nRCPT TO:<far@elsewhere.example>\r\nDATA\r\n"
        talk.sock.sendall(envelope)
        assert [talk.getreply()[0] for _ in range(3)] == [250, 250, 354]
        talk.sock.sendall(b"hello\r\n.\r\n" + envelope + b"NOOP\r\n")
        assert [talk.getreply()[0] for _ in range(5)] == [250, 250, 250, 450, 250]


@pytest.mark.parametrize("driver", DRIVERS)
def test_chunks_are_completed_and_counted_as_well(place: Path, queued: object, start: Start, driver: str) -> None:
    (place / "control/smtpextensions").write_text("CHUNKING\n")
    (place / "control/userlimits").write_text("joe:1:10\n")
    server = serve(start, place, driver=driver, SMTPAUTH="")
    envelope = b"MAIL FROM:<joe@example.org>\r\nRCPT TO:<far@elsewhere.example>\r\n"
    chunks = b"BDAT 9\r\nSubject: BDAT 11 LAST\r\nx\r\n\r\nbody\r\n"
    with logged_in(server) as talk:
        talk.ehlo()
        for codes in ([250, 250, 250, 250], [250, 250, 450, 450]):
            talk.send(envelope + chunks)
            assert [talk.getreply()[0] for _ in range(4)] == codes
        assert talk.noop()[0] == 250
    (message,) = messages(place)
    assert untraced(message).startswith(b"Date: ") and message.endswith(b"\nSubject: x\n\nbody\n")


# ---- who checks


@pytest.mark.parametrize("driver", DRIVERS)
def test_with_a_checker_scram_is_not_offered_and_what_cannot_be_read_is_no_default(
    place: Path, start: Start, driver: str
) -> None:
    server = serve(start, place, driver=driver, SMTPAUTH="")
    with client(server.port) as talk:
        talk.ehlo()
        assert talk.esmtp_features["auth"].split() == ["SCRAM-SHA-256", "PLAIN", "LOGIN"]
    (place / "control/logins").write_text("checker\n")
    with client(server.port) as talk:
        talk.ehlo()
        assert talk.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        assert talk.docmd("AUTH", "SCRAM-SHA-256 biws")[0] == 504
    (place / "control/logins").write_text("somebody\n")
    with client(server.port) as talk:
        assert talk.docmd("EHLO", "x")[0] == 421
    (place / "control/logins").unlink()
    (place / "control/idhost").mkdir()
    with client(server.port) as talk:
        assert talk.docmd("HELO", "x")[0] == 250
        assert talk.docmd("EHLO", "x")[0] == 421
