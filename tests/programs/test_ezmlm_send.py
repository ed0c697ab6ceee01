"""A message for everybody: its header, its number, its copy, and its subscribers."""

from __future__ import annotations

import email
import os
import resource
import subprocess
from pathlib import Path

import pytest

from conftest import BIN
from listing import Listing
from qmail.formats import subscriber


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    made = Listing(tmp_path)
    made.subscribe("ann@b.example", "bob@c.example")
    return made


def test_a_message_goes_to_all_and_into_the_archive(listing: Listing) -> None:
    assert listing.post("hello", "words\n", head="Received: two\nX-A: 1\nReturn-Path: <y>\n").startswith(
        b"ezmlm-send: info: qp "
    )
    ((text, envelope),) = listing.sent
    assert envelope in (
        "Fsos-return-1-@x.example-@[]|Tann@b.example|Tbob@c.example||",
        "Fsos-return-1-@x.example-@[]|Tbob@c.example|Tann@b.example||",
    )
    assert text == (
        "Mailing-List: contact sos-help@x.example; run by ezmlm\nList-ID: <sos.x.example>\nPrecedence: bulk\n"
        "X-No-Archive: yes\nList-Post: <mailto:sos@x.example>\nList-Help: <mailto:sos-help@x.example>\n"
        "List-Subscribe: <mailto:sos-subscribe@x.example>\nList-Unsubscribe: <mailto:sos-unsubscribe@x.example>\n"
        "Delivered-To: mailing list sos@x.example\nReceived: (qmail); 1 Jan 2020 00:00:00 -0000\n"
        "From: Joe <joe@a.example>\nSubject: hello\nX-A: 1\n\nwords\n"
    )
    assert (listing.path / "archive/0/01").read_text() == (
        "Return-Path: <joe@a.example>\nDelivered-To: mailing list sos@x.example\n"
        "Received: (qmail); 1 Jan 2020 00:00:00 -0000\nFrom: Joe <joe@a.example>\nSubject: hello\n"
        "Received: two\nX-A: 1\n\nwords\n"
    )
    assert (listing.path / "archive/0/01").stat().st_mode & 0o777 == 0o744
    assert (listing.path / "num").read_text() == "1:0\n"
    index = (listing.path / "archive/0/index").read_text()
    assert index.startswith("1: ") and index.endswith(" Joe\n") and "hello\n\t1 Jan 2020 00:00:00 -0000;" in index


def test_bytes_of_the_body_pass_as_they_are(listing: Listing) -> None:
    body = b"\0\xff\r\nFrom x\n.\n" + b"long " * 50_000 + b"no end"
    done = listing.run("ezmlm-send", str(listing.path), text=b"Subject: x\n\n" + body, sender="a@b")
    assert done.returncode == 0
    assert listing.keeper.kept[0][0].endswith(b"\n\n" + body)
    assert (listing.path / "archive/0/01").read_bytes().endswith(b"\n\n" + body)
    assert (listing.path / "num").read_text() == f"1:{(len(body) + 128) // 256}\n"


def test_numbers_go_on_and_whole_copies_are_never_written_over(listing: Listing) -> None:
    for number in range(1, 4):
        listing.post(f"thought {number}")
    (listing.path / "num").write_text("0:0\n")  # of an old backup
    listing.post("thought 4")
    assert (listing.path / "num").read_text().startswith("4:")
    assert [f"thought {number}\n" in (listing.path / f"archive/0/0{number}").read_text() for number in range(1, 5)] == [
        True
    ] * 4
    os.unlink(listing.path / "num")
    listing.post("thought 5")
    assert listing.sent[-1][1].startswith("Fsos-return-5-@")
    # What a delivery that died has left is no message.
    (listing.path / "archive/0/06").write_text("half of a mess")
    listing.post("thought 6")
    assert "half" not in (listing.path / "archive/0/06").read_text()
    (listing.path / "num").write_text("nonsense\n")
    assert listing.code("ezmlm-send", text=b"Subject: x\n\n", sender="a@b") == 111
    (listing.path / "num").write_text("99:7\n")
    listing.post("thought 100")
    assert "thought 100\n" in (listing.path / "archive/1/00").read_text()


def test_where_the_queue_refuses_nothing_has_happened(listing: Listing) -> None:
    listing.post("one")
    before = listing.files()
    listing.keeper.path.write_text("#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; exit 53\n")
    done = listing.run("ezmlm-send", str(listing.path), text=b"Subject: two\n\n", sender="a@b")
    assert (done.returncode, done.stderr) == (111, b"ezmlm-send: fatal: qq write error or disk full (#4.3.0)\n")
    assert listing.files() == before
    listing.keeper.path.write_text("#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; exit 31\n")
    assert listing.code("ezmlm-send", text=b"Subject: two\n\n", sender="a@b") == 100


def test_a_number_is_used_up_where_nobody_knows_whether_the_queue_took_it(listing: Listing) -> None:
    listing.keeper.path.write_text("#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; kill -9 $$\n")
    assert listing.code("ezmlm-send", text=b"Subject: one\n\n", sender="a@b") == 111
    assert (listing.path / "num").read_text().startswith("1:")
    assert (listing.path / "archive/0/01").stat().st_mode & 0o100


def test_a_full_disk_leaves_the_list_as_it_was(listing: Listing) -> None:
    listing.post("one")
    before = listing.files()
    (listing.place / "large").write_bytes(b"Subject: two\n\n" + b"x" * 300_000)
    environment = {
            "PATH": f"{BIN}:/usr/bin:/bin", "QMAILQUEUE": str(listing.keeper.path), "QMAIL_HOME": str(listing.place),
            "SENDER": "a@b",
        }  # fmt: skip
    with open(listing.place / "large", "rb") as file:
        done = subprocess.run(
            [BIN / "ezmlm-send", listing.path], stdin=file, capture_output=True, env=environment, timeout=60,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
        )  # fmt: skip
    assert done.returncode == 111
    assert b"unable to write" in done.stderr and b"file too big" in done.stderr
    assert listing.files() == before
    assert len(listing.sent) == 1


@pytest.mark.parametrize(
    ("head", "sender", "words"),
    [
        ("", "", b"no sender"),
        ("", "#@[]", b"no sender"),
        ("Mailing-List: other\n", "a@b", b"Mailing-List"),
        ("Delivered-To: mailing list sos@x.example\n", "a@b", b"looping"),
    ],
)
def test_what_could_go_round_in_circles_is_refused(listing: Listing, head: str, sender: str, words: bytes) -> None:
    done = listing.run("ezmlm-send", str(listing.path), text=f"Subject: x\n{head}\nx\n".encode(), sender=sender)
    assert done.returncode == 100
    assert words in done.stderr
    assert listing.sent == [] and not (listing.path / "num").exists()


def test_a_message_of_a_person_at_the_keyboard_has_no_sender_to_be_asked(listing: Listing) -> None:
    assert listing.run("ezmlm-send", str(listing.path), text=b"Subject: x\n\n").returncode == 0


def test_a_header_without_end_is_refused(listing: Listing) -> None:
    text = b"X: " + b"y" * (17 * 1024 * 1024)
    assert listing.code("ezmlm-send", text=text, sender="a@b") == 100


def test_settings_change_what_is_sent_and_not_the_archive(listing: Listing) -> None:
    (listing.path / "prefix").write_text("[sos #]\n")
    (listing.path / "replytolist").write_text("")
    (listing.path / "headeradd").write_text("X-Number: <#n#> of <#l#>@<#h#>\n folded\n\nno field\n# comment\nX-B: 2\n")
    (listing.path / "headerremove").write_text("x-a\nReply-To:\n")
    (listing.path / "text/trailer").write_text("-- <#l#> <#n#>\n")
    listing.post("hello", head="X-A: 1\n 2\nReply-To: me\n")
    ((text, _),) = listing.sent
    message = email.message_from_string(text)
    assert message["Subject"] == "[sos 1] hello"
    assert message["Reply-To"] == "<sos@x.example>"
    assert message["X-Number"] == "1 of sos@x.example\n folded"
    assert message["X-B"] == "2"
    assert message["X-A"] is None
    assert "no field" not in text and "comment" not in text
    assert message.get_payload() == "words\n-- sos 1\n"
    copy = (listing.path / "archive/0/01").read_text()
    assert "\nSubject: hello\n" in copy
    assert copy.endswith("\n\nwords\n")


MULTI = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=bb\n"
PARTS = "--bb\n\nplain\n--bb\nContent-Type: text/html\n\n<p>\n--bb--\n"


def test_parts_go_and_a_trailer_comes(listing: Listing) -> None:
    (listing.path / "mimeremove").write_text("text/html\n")
    (listing.path / "text/trailer").write_text("bye\n")
    listing.post(body=PARTS, head=MULTI)
    message = email.message_from_string(listing.sent[0][0])
    assert [part.get_payload() for part in message.get_payload()] == ["plain", "bye"]  # type: ignore[union-attr]
    assert (listing.path / "archive/0/01").read_text().endswith("\n\n--bb\n\nplain\n--bb--\n")
    (listing.path / "mimekeep").write_text("image/png\n")
    done = listing.run("ezmlm-send", str(listing.path), text=f"Subject: x\n{MULTI}\n{PARTS}".encode(), sender="a@b")
    assert done.returncode == 100
    assert (listing.path / "num").read_text().startswith("1:")
    assert not (listing.path / "archive/0/02").exists()


@pytest.mark.parametrize(
    ("head", "end"),
    [
        ("Content-Transfer-Encoding: quoted-printable\n", "words\n=3D\n"),
        ("Content-Transfer-Encoding: base64\n", "words\n"),
        ("Content-Type: text/html\n", "words\n"),
        ("Content-Type: multipart/alternative; boundary=x\n", "words\n"),
    ],
)
def test_a_trailer_comes_where_it_can_be_read(listing: Listing, head: str, end: str) -> None:
    (listing.path / "text/trailer").write_text("=\n")
    body = "words\n" if "multipart" not in head else "--x\n\nwords\n"
    listing.post(body=body, head=head)
    assert listing.sent[0][0].endswith(end)


def test_a_sublist_takes_only_what_its_parent_sends(listing: Listing) -> None:
    (listing.path / "sublist").write_text("main@p.example\n")
    os.unlink(listing.path / "archived")
    text = b"Subject: x\nMailing-List: parent\n\nx\n"
    parent = "main-return-42-sos=x.example@p.example"
    assert listing.code("ezmlm-send", text=text, sender="main-return-42-x@evil.example") == 100
    assert listing.code("ezmlm-send", text=b"Subject: x\n\nx\n", sender=parent) == 100
    assert listing.run("ezmlm-send", str(listing.path), text=text, sender=parent).returncode == 0
    ((sent, envelope),) = listing.sent
    assert sent.count("Mailing-List:") == 1 and "Mailing-List: parent\n" in sent
    assert envelope.startswith("Fsos-return-42-@x.example-@[]|")
    assert (listing.path / "num").read_text().startswith("1:")
    again = listing.run(
        "ezmlm-send", "-h", "X-Loop: any", str(listing.path), text=b"Subject: x\nX-Loop: y\n\n", sender=parent
    )
    assert again.returncode == 0


def peak(listing: Listing) -> int:
    """The most memory that ezmlm-send needs for a message, in kilobytes."""
    measure = (
        "import os, resource, subprocess, sys; "
        "code = subprocess.run(sys.argv[1:]).returncode; "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    environment = {
            "PATH": f"{BIN}:/usr/bin:/bin", "QMAILQUEUE": str(listing.keeper.path), "QMAIL_HOME": str(listing.place),
            "SENDER": "a@b",
        }  # fmt: skip
    done = subprocess.run(
        ["python3", "-ISc", measure, BIN / "ezmlm-send", listing.path], input=b"Subject: x\n\nx\n", capture_output=True,
        env=environment, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_hundred_thousand_subscribers_need_no_more_memory_than_two(listing: Listing) -> None:
    before = peak(listing)
    files: dict[bytes, list[bytes]] = {}
    for number in range(100_000):
        address = b"subscriber-number-%d@some-host-with-a-name-%d.example" % (number, number % 100)
        files.setdefault(b"%c" % (64 + number % 53), []).append(address)
    for place, addresses in files.items():
        (listing.path / "subscribers" / place.decode()).write_bytes(subscriber.records(addresses))
    assert peak(listing) < before + 4000
    assert listing.sent[1][1].count("|T") == 100_000
