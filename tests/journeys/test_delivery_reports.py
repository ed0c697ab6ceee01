"""Delivery reports end to end: what a client asked for by SMTP is kept by every program on the way."""

from __future__ import annotations

import email
import email.policy
import smtplib
from collections.abc import Callable
from email.message import EmailMessage, Message

from journeys.conftest import Host

SENDER = "ann@here.example"


def send(host: Host, recipients: dict[str, list[str]], mail: list[str]) -> None:
    """`recipients`: each with its parameters; `mail`: those of MAIL."""
    with smtplib.SMTP("127.0.0.1", host.port, local_hostname="client.example") as client:
        client.ehlo()
        assert client.has_extn("dsn")
        assert client.mail(SENDER, mail)[0] == 250
        for recipient, words in recipients.items():
            assert client.rcpt(recipient, words)[0] == 250
        assert client.data(b"Subject: hello\r\n\r\nIt works.\r\n")[0] == 250


def fates(text: bytes) -> dict[str, str]:
    """What a report says became of whom; `about`: the id of the envelope."""
    message = email.message_from_bytes(text, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.get_content_type() == "multipart/report"
    _, status, _ = message.iter_parts()
    about, *blocks = status.get_payload()
    assert isinstance(about, Message)
    found = {block["Final-Recipient"].removeprefix("rfc822; "): block["Action"] for block in blocks}
    return {**found, "about": about["Original-Envelope-Id"]}


def test_what_was_asked_for_is_kept_on_the_way(make_host: Callable[..., Host]) -> None:
    two_hosts = here, there = make_host("here.example"), make_host("there.example")
    here.control("smtproutes", f"there.example:[127.0.0.1]:{there.port}")
    there.control("smtproutes", f"here.example:[127.0.0.1]:{here.port}")
    here.smtp_environment = {"RELAYCLIENT": ""}
    ann, joe, carl = here.user("ann"), here.user("joe"), there.user("carl")
    joe.file(".qmail-on", "&gone-1@there.example\n&carl@there.example\n")
    joe.file(".qmail-quiet", "&gone-2@there.example\n")
    for host in two_hosts:
        host.control("smtpextensions", "DSN")
        host.start()
    asked = {
        "joe@here.example": ["NOTIFY=SUCCESS"],
        "joe-on@here.example": ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;old@here.example"],
        "joe-quiet@here.example": ["NOTIFY=NEVER"],
        "carl@there.example": ["NOTIFY=SUCCESS"],
        "gone-3@there.example": ["NOTIFY=NEVER"],
        "gone-4@there.example": [],
    }
    send(here, asked, ["ENVID=QQ1", "RET=HDRS"])
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
