"""Delivery reports end to end: what a client asked for by SMTP is kept by every program on the way."""

from __future__ import annotations

import email
import email.policy
import smtplib
from collections.abc import Callable
from email.message import EmailMessage, Message
from pathlib import Path

from conftest import needs_root
from journeys.conftest import Host, free_port
from postfix import Postfix

SENDER = "ann@here.example"


def send(port: int, recipients: dict[str, list[str]], mail: list[str], sender: str = SENDER) -> None:
    """`recipients`: each with its parameters; `mail`: those of MAIL."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=30) as client:
        client.ehlo()
        assert client.has_extn("dsn")
        assert client.mail(sender, mail)[0] == 250
        for recipient, words in recipients.items():
            assert client.rcpt(recipient, words)[0] == 250
        assert client.data(b"Subject: hello\r\n\r\nIt works.\r\n")[0] == 250


def fates(text: bytes) -> dict[str, str]:
    """What a report says became of whom; `about`: the id of the envelope."""
    message = email.message_from_bytes(text, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.get_content_type() == "multipart/report"
    _, status, *_ = message.iter_parts()
    about, *blocks = status.get_payload()
    assert isinstance(about, Message)
    found = {block["Final-Recipient"].removeprefix("rfc822; "): block["Action"] for block in blocks if block.items()}
    return {**found, "about": about["Original-Envelope-Id"]}


def test_what_was_asked_for_is_kept_on_the_way(make_host: Callable[..., Host]) -> None:
    two_hosts = here, there = make_host("here.example"), make_host("there.example")
    here.control("smtproutes", f"there.example:[127.0.0.1]:{there.port}")
    there.control("smtproutes", f"here.example:[127.0.0.1]:{here.port}")
    here.smtp_environment = {"RELAYCLIENT": ""}
    ann, joe, carl = here.user("ann"), here.user("joe"), there.user("carl")
    joe.file(".qmail-on", "&gone-1@there.example\n&carl@there.example\n")
    joe.file(".qmail-quiet", "&gone-2@there.example\n")
    joe.file(".qmail-program", "|forward gone-5@there.example\n")
    for host in two_hosts:
        host.control("smtpextensions", "DSN")
        host.start()
    asked = {
        "joe@here.example": ["NOTIFY=SUCCESS"],
        "joe-on@here.example": ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;old@here.example"],
        "joe-quiet@here.example": ["NOTIFY=NEVER"],
        "joe-program@here.example": ["NOTIFY=NEVER"],
        "carl@there.example": ["NOTIFY=SUCCESS"],
        "gone-3@there.example": ["NOTIFY=NEVER"],
        "gone-4@there.example": [],
    }
    send(here.port, asked, ["ENVID=QQ1", "RET=HDRS"])
    carl.wait_for_mail(2)
    reports = [fates(text) for text in ann.wait_for_mail(4)]
    for host in two_hosts:
        host.wait_for_empty_queue()
    assert len(ann.mail()) == 4
    assert sorted(sorted(report.items()) for report in reports) == sorted(
        sorted({**report, "about": "QQ1"}.items())
        for report in (
            {"joe@here.example": "delivered", "joe-on@here.example": "expanded"},
            {"carl@there.example": "delivered"},  # by the other host
            {"gone-1@there.example": "failed"},
            {"gone-4@there.example": "failed"},
        )
    )
    (about_the_first,) = [text for text in ann.mail() if b"gone-1@" in text]
    assert b"\nOriginal-Recipient: rfc822; old@here.example\n" in about_the_first
    assert b"It works." not in about_the_first


@needs_root
def test_postfix_reports_to_our_senders_and_we_to_those_of_postfix(host: Host, tmp_path: Path) -> None:
    ann, port = host.user("ann"), free_port()
    host.control("smtpextensions", "DSN")
    host.control("smtproutes", f"postfix.example:[127.0.0.1]:{port}")
    host.smtp_environment = {"RELAYCLIENT": ""}
    host.start()
    (tmp_path / "postfix").mkdir()
    way = f"transport_maps = inline:{{ here.example=smtp:[127.0.0.1]:{host.port} }}\n"
    with Postfix(tmp_path / "postfix", {port: {}}, main=way) as postfix:
        asked = {"joe@postfix.example": ["NOTIFY=SUCCESS", "ORCPT=rfc822;old@postfix.example"]}
        send(host.port, asked, ["ENVID=ours", "RET=HDRS"])
        (report,) = ann.wait_for_mail()
        assert fates(report) == {"joe@postfix.example": "delivered", "about": "ours"}, postfix.log
        assert b"Original-Recipient: rfc822;old@postfix.example\n" in report
        assert b"postfix.example" in report.partition(b"Reporting-MTA: ")[2].partition(b"\n")[0]

        notify = ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first@here.example"]
        asked = {"ann@here.example": notify, "gone@here.example": notify, "quiet@here.example": ["NOTIFY=NEVER"]}
        send(port, asked, ["ENVID=theirs"], "carl@postfix.example")
        reports = [fates(text) for text in postfix.wait_for_mail(3) if b"multipart/report" in text]
        expected = ({"ann@here.example": "delivered"}, {"gone@here.example": "failed"})
        assert all({**each, "about": "theirs"} in reports for each in expected), postfix.log
        assert len(reports) == 2, "one is the message itself, which came first"
    host.wait_for_empty_queue()
