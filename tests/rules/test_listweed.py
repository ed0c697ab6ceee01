"""Notices that tell of no failure are told from those that do."""

from __future__ import annotations

import pytest

from qmail.rules.listweed import is_useless

REPORT = b"Content-Type: multipart/report; report-type=delivery-status; boundary=b"


@pytest.mark.parametrize(
    ("header", "body", "useless"),
    [
        (b"Subject: success notice", b"", True),
        (b"Subject: deferral notice", b"", True),
        (b"Subject: failure notice", b"Hi. This is the qmail-send program", False),
        (REPORT, b"Action: delayed\n", True),
        (REPORT, b"x\n\nAction: failed\n", False),
        (REPORT, b"Action: delayed\n\nACTION:  failed\n", False),
        (REPORT + b"\nAuto-Submitted: auto-replied\nPrecedence: bulk", b"Action: failed\n", False),
        (REPORT, b"nothing", False),
        (b"Auto-Submitted: auto-replied", b"", True),
        (b"Auto-Submitted: auto-generated", b"", False),
        (b"Precedence: Bulk", b"", True),
        (b"Precedence: first-class", b"", False),
        (b"List-Id: <x.y>", b"", True),
        (b"Subject: Out of Office AutoReply: lunch", b"", True),
        (
            b"From: Mail Delivery Subsystem <m@x>\nSubject: Warning: could not send",
            b"a\n    **********\n    **      THIS IS A WARNING MESSAGE ONLY      **\n",
            True,
        ),
        (b"From: Mail Delivery Subsystem <m@x>\nSubject: Warning: could not send", b"user unknown\n", False),
        (b"From: ann\nSubject: Warning: x", b"THIS IS A WARNING MESSAGE ONLY\n", False),
        (b"From: ann", b"", False),
    ],
)
def test_what_tells_of_no_failure_is_useless(header: bytes, body: bytes, useless: bool) -> None:
    fields = [line + b"\n" for line in header.split(b"\n")]
    assert is_useless(fields, [body[:20], body[20:]]) is useless
