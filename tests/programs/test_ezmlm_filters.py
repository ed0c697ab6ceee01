"""What stands in front of a list: ezmlm-reject and ezmlm-weed."""

from __future__ import annotations

from pathlib import Path

import pytest

from listing import Listing

TO = b"To: sos@x.example\nSubject: hello\n"
MULTI = TO + b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>\n--b--\n"


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    return Listing(tmp_path)


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        (TO + b"\nx\n", [], 0),
        (TO + b"Precedence: bulk\n\nx\n", [], 99),
        (b"To: sos@x.example\n\nx\n", [], 100),
        (b"To: sos@x.example\n\nx\n", ["-S"], 0),
        (b"To: sos@x.example\nSubject: help\n\nx\n", [], 100),
        (b"To: sos@x.example\nSubject: help\n\nx\n", ["-C"], 0),
        (b"To: x@y\nSubject: hello\n\nx\n", [], 100),
        (b"To: x@y\nSubject: hello\n\nx\n", ["-q"], 99),
        (b"To: x@y\nSubject: hello\n\nx\n", ["-T"], 0),
        (TO + b"X-Loop: a\n\nx\n", [], 100),
        (TO + b"X-Loop: a\n\nx\n", ["-H"], 0),
        (TO + b"\n\n  unsubscribe me", [], 0),
        (TO + b"\n\n  unsubscribe me", ["-b"], 100),
        (TO + b"\n" + b"x" * 1001, [], 100),
        (TO + b"\n", [], 100),
        (TO + b"Content-Type: image/png\n\nx\n", [], 100),
        (MULTI, [], 0),
        (MULTI.replace(b"html", b"evil"), [], 100),
        (MULTI.replace(b"\n\n<p>\n--b--\n", b""), [], 0),
        (TO + b"Content-Type: text/html\n\nx\n", [], 100),
    ],
)
def test_a_message_is_taken_or_not(listing: Listing, text: bytes, options: list[str], code: int) -> None:
    settings = {
        "headerreject": "X-Loop\n",
        "msgsize": "1000:1\n",
        "mimereject": "text/evil\n",
        "mimeremove": "text/html\nimage/png\n",
    }
    for name, lines in settings.items():
        (listing.path / name).write_text(lines)
    done = listing.run("ezmlm-reject", *options, str(listing.path), text=text)
    assert done.returncode == code, done.stderr
    assert done.stderr.count(b"\n") == (1 if code == 100 else 0)


def test_without_a_list_the_header_alone_counts(listing: Listing) -> None:
    assert listing.run("ezmlm-reject", text=b"Subject: x\n\n").returncode == 0
    assert listing.run("ezmlm-reject", text=b"\n").returncode == 100


def test_notices_without_failures_are_thrown_away(listing: Listing) -> None:
    assert listing.run("ezmlm-weed", text=b"Subject: success notice\n\nx\n").returncode == 99
    assert listing.run("ezmlm-weed", text=b"Subject: failure notice\n\nx\n").returncode == 0
    report = b"Content-Type: multipart/report; boundary=b\n\n" + b"x\n" * 10_000
    assert listing.run("ezmlm-weed", text=report + b"Action: delayed\n").returncode == 99
    assert listing.run("ezmlm-weed", text=report + b"Action: failed\nAction: delayed\n").returncode == 0
