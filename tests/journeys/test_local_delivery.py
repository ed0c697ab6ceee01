"""Mail comes in by SMTP and goes to Maildirs, mboxes, programs and aliases."""

from __future__ import annotations

import signal
import smtplib

from journeys.conftest import Host


def send(host: Host, *recipients: str, text: str = "Subject: hello\r\n\r\nIt works.\r\n") -> None:
    with smtplib.SMTP("127.0.0.1", host.port, local_hostname="client.example") as client:
        client.sendmail("sender@elsewhere.example", list(recipients), text)


def test_a_message_arrives_with_its_trace_and_its_bytes(host: Host) -> None:
    joe = host.user("joe")
    host.start()
    send(host, "joe@here.example")
    (message,) = joe.wait_for_mail()
    head, _, body = message.partition(b"\n\n")
    assert body == b"It works.\n"
    lines = head.split(b"\n")
    assert lines[0] == b"Return-Path: <sender@elsewhere.example>"
    assert lines[1] == b"Delivered-To: joe@here.example"
    assert b"invoked from network" in head or b"invoked by uid" in head
    assert b"from unknown (HELO client.example) (127.0.0.1)" in head
    host.wait_for_empty_queue()
    for line in ("new msg ", "info msg ", "starting delivery 1: ", "delivery 1: success: did_1+0+0/", "end msg "):
        assert line in host.log()


def test_every_kind_of_line_is_followed(host: Host) -> None:
    joe, ann = host.user("joe"), host.user("ann")
    joe.file(".qmail", "./Maildir/\n./mbox\n|cat > from-program; echo $EXT > ext\n&ann@here.example\n")
    host.start()
    send(host, "joe@here.example")
    ann.wait_for_mail()
    assert b"It works." in joe.wait_for_mail()[0]
    assert (joe.home / "mbox").read_bytes().startswith(b"From sender@elsewhere.example ")
    assert b"It works." in (joe.home / "from-program").read_bytes()
    assert (joe.home / "from-program").stat().st_uid == joe.uid
    host.wait_for_empty_queue()
    assert "did_2+1+1/" in host.log()


def test_extensions_aliases_and_defaults_find_their_file(host: Host) -> None:
    joe = host.user("joe")
    joe.file(".qmail-list", "./Maildir/\n")
    host.alias("postmaster", "&joe@here.example\n")
    host.alias("default", "|echo caught $LOCAL\n")
    host.start()
    send(host, "joe-list@here.example")
    send(host, "PostMaster@here.example")
    send(host, "nobody-here@here.example")
    joe.wait_for_mail(2)
    host.wait_for_empty_queue()
    assert "caught_nobody-here/" in host.log()


def test_an_unknown_recipient_bounces_and_a_bounce_that_bounces_goes_to_postmaster(host: Host) -> None:
    joe = host.user("joe")
    host.alias("postmaster", "&joe@here.example\n")
    host.smtp_environment = {"RELAYCLIENT": ""}
    host.start()
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        client.sendmail("joe@here.example", ["missing@here.example"], "Subject: one\r\n\r\nx\r\n")
        client.sendmail("also-missing@here.example", ["missing@here.example"], "Subject: two\r\n\r\nx\r\n")
    first, second = joe.wait_for_mail(2)
    both = first + second
    assert b"failure notice" in both
    assert b"Hi. This is the qmail-send program at here.example." in both
    assert b"Sorry, no mailbox here by that name. (#5.1.1)" in both
    assert b"double bounce" in both or b"#@[]" in both
    host.wait_for_empty_queue()


def test_a_stranger_may_not_relay(host: Host) -> None:
    host.user("joe")
    host.start()
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        client.ehlo()
        client.mail("a@b.example")
        code, text = client.rcpt("someone@elsewhere.example")
    assert code == 553
    assert b"rcpthosts" in text


def test_one_message_for_a_hundred_recipients_reaches_each_once(host: Host) -> None:
    joe = host.user("joe")
    joe.file(".qmail-default", "./Maildir/\n")
    host.start()
    send(host, *(f"joe-{number}@here.example" for number in range(100)))
    messages = joe.wait_for_mail(100)
    host.wait_for_empty_queue()
    assert len({line for m in messages for line in m.split(b"\n") if line.startswith(b"Delivered-To")}) == 100


def test_a_deferred_message_is_tried_again_after_alrm_and_survives_a_restart(host: Host) -> None:
    joe = host.user("joe")
    joe.file(".qmail", "|test -f ready || exit 111\n./Maildir/\n")
    host.start()
    send(host, "joe@here.example")
    host.wait_for_log("send", "deferral: ")
    assert host.stop_service("send") == 0
    assert "status: exiting" in host.log()
    assert host.queued()
    before = host.log().count("status: local 0/10 remote 0/20")
    host.run("send", "qmail-start", "./Maildir/")
    host.wait_for_log("send", "status: local 0/10 remote 0/20", before + 1)
    joe.file("ready", "")
    host.services["send"].send_signal(signal.SIGALRM)
    joe.wait_for_mail()
    host.wait_for_empty_queue()
