"""Messages from the archive, and digests."""

from __future__ import annotations

import email
import re
import time
from pathlib import Path

import pytest

from listing import HOST, Listing

TEXT = b"Subject: x\n\nFor your\nreading.\n-- \nsignature\n"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Listing:
    """A list with five messages in three threads; the fourth has no copy."""
    listing = Listing(tmp_path_factory.mktemp("archive"))
    for subject in ("lunch", "tea", "Re: lunch", "lost", "AW: Re: LUNCH"):
        listing.post(subject, f"about {subject}\n", head="X-Odd: 1\n")
    (listing.path / "archive/0/04").chmod(0o644)
    return listing


def ask(
    listing: Listing, command: str, *options: str, sender: str = "joe@a.example", text: bytes = TEXT
) -> tuple[int, str]:
    """Write to sos-COMMAND: the exit code, and what is answered."""
    before = len(listing.sent)
    done = listing.run(
        "ezmlm-get",
        *options,
        str(listing.path),
        text=text,
        sender=sender,
        default=command,
        local=f"sos-{command}",
        host=HOST,
    )
    answers = listing.sent[before:]
    assert len(answers) <= 1
    return done.returncode, answers[0][0] if answers else ""


def bodies(text: str) -> list[str]:
    """Of the messages in an answer."""
    return re.findall(r"^about (.*)$", text, re.M)


@pytest.mark.parametrize(
    ("command", "subjects"),
    [
        ("get.2", ["tea"]),
        ("get.1_3", ["lunch", "Re: lunch", "tea"]),
        ("getn.1_3", ["lunch", "tea", "Re: lunch"]),
        ("get-3-9", ["Re: lunch", "AW: Re: LUNCH"]),
        ("get", ["lunch", "Re: lunch", "AW: Re: LUNCH", "tea"]),
        ("thread.3", ["lunch", "Re: lunch", "AW: Re: LUNCH"]),
        ("thread.2", ["tea"]),
        ("get.4", []),
        ("get.6", []),
        ("thread.99", []),
    ],
)
def test_messages_are_sent(archive: Listing, command: str, subjects: list[str]) -> None:
    code, text = ask(archive, command)
    assert code == 99
    assert bodies(text) == subjects
    assert ("There is no such message" in text) is (subjects == [])
    assert "Return-Path: <joe@a.example>\nSubject: x\n" in text
    assert archive.sent[-1][1] == "Fsos-return-@x.example|Tjoe@a.example||"


@pytest.mark.parametrize("form", ["m", "x", "v", "n"])
def test_a_mail_reader_finds_the_messages(archive: Listing, form: str) -> None:
    _, text = ask(archive, f"get{form}.1_3")
    message = email.message_from_string(text)
    assert message.get_content_type() == ("multipart/mixed" if form == "x" else "multipart/digest")
    first, *parts, last = message.get_payload()  # type: ignore[misc]  # parts, all of them
    assert ("Topics (messages 1 through 3):\n\nlunch\n\t1 by: Joe\n\t3 by: Joe\n\ntea\n" in str(first)) is (form != "n")
    assert len(parts) == 3
    for part in parts:
        inner = part.get_payload(0)  # type: ignore[union-attr]
        assert inner["From"] == "Joe <joe@a.example>"
        assert (inner["X-Odd"] is None) is (form in "mx")
    assert last.get_content_type() == "text/plain"  # type: ignore[union-attr]


def test_plain_text_is_for_plain_readers(archive: Listing) -> None:
    _, text = ask(archive, "getr.1_2")
    message = email.message_from_string(text)
    assert message.get_content_type() == "text/plain"
    assert "\n" + "-" * 30 + "\n\nDate:" not in text
    assert message.get_payload().count("\nFrom: Joe <joe@a.example>\nSubject: ") == 2


def test_the_index_is_sent(archive: Listing) -> None:
    code, text = ask(archive, "index.1")
    assert code == 99
    assert "\n3: Re: lunch\n\t1 Jan 2020 00:00:00 -0000 Joe\n" in text
    assert ask(archive, "index")[1].count(" Joe\n") == 5


def test_other_commands_are_for_other_programs(archive: Listing) -> None:
    assert ask(archive, "subscribe") == (0, "")
    assert ask(archive, "get.1", "-C") == (0, "")
    assert ask(archive, "get.1", sender="")[0] == 100
    assert ask(archive, "get.1", text=b"Mailing-List: x\n\n")[0] == 100


def test_the_archive_may_be_for_some(tmp_path: Path) -> None:
    listing = Listing(tmp_path)
    listing.post("lunch", "about lunch\n")
    listing.subscribe("digest", "sue@s.example")
    listing.subscribe("mod", "mia@m.example")

    def served(sender: str, *options: str) -> bool:
        code, text = ask(listing, "get.1", *options, sender=sender)
        assert code == (99 if text else 100)
        return bool(text)

    everybody = ("joe@a.example", "sue@s.example", "mia@m.example")
    assert [served(sender) for sender in everybody] == [True, True, True]
    assert [served(sender, "-s") for sender in everybody] == [False, True, True]
    assert [served(sender, "-P") for sender in everybody] == [False, False, True]
    (listing.path / "subgetonly").write_text("")
    assert [served(sender) for sender in everybody] == [False, True, True]
    assert served("joe@a.example", "-S")
    (listing.path / "modgetonly").write_text("")
    assert [served(sender) for sender in everybody] == [False, False, True]
    (listing.path / "subgetonly").unlink()
    (listing.path / "public").unlink()
    assert [served(sender, "-p") for sender in everybody] == [True, True, True]


def test_a_digest_holds_what_is_new(tmp_path: Path) -> None:
    listing = Listing(tmp_path, "-d")
    listing.subscribe("digest", "ann@b.example")
    for subject in ("lunch", "tea", "Re: lunch"):
        listing.post(subject, f"about {subject}\n")
    before = len(listing.sent)
    assert listing.code("ezmlm-tstdig") == 99
    assert listing.code("ezmlm-tstdig", "-m", "3") == 0
    assert listing.code("ezmlm-get", local="sos", host=HOST, sender="joe@a.example", text=TEXT) == 0
    ((text, envelope),) = listing.sent[before:]
    assert envelope == "Fsos-digest-return-1-@x.example-@[]|Tann@b.example||"
    assert bodies(text) == ["lunch", "Re: lunch", "tea"]
    message = email.message_from_string(text)
    assert re.fullmatch(r"sos Digest \d+ \w+ \d{4} \S+ -0000 Issue 1", message["Subject"])
    assert message["Reply-To"] == message["To"] == "sos@x.example"
    assert message["Precedence"] == "bulk"
    assert message["List-Unsubscribe"] == "<mailto:sos-digest-unsubscribe@x.example>"
    assert len(message.get_all("Mailing-List")) == len(message.get_all("List-Help")) == 1  # type: ignore[arg-type]
    assert "sos-digest-subscribe@x.example" in text
    last, _, seconds = (listing.path / "dignum").read_text().split(":")
    assert last == "3" and abs(int(seconds) - time.time()) < 1000
    # By hand: nothing is new; then one message is.
    assert listing.code("ezmlm-get") == 0
    assert len(listing.sent) == before + 1
    listing.post("more", "about more\n")
    assert listing.code("ezmlm-get") == 0
    assert bodies(listing.sent[-1][0]) == ["more"]
    assert (listing.path / "digissue").read_text() == "2\n"


def test_a_digest_is_begun_by_who_knows_the_code(tmp_path: Path) -> None:
    listing = Listing(tmp_path, "-d")
    listing.post("lunch", "about lunch\n")
    assert ask(listing, "dig.secret")[0] == 100  # there is no code
    (listing.path / "digestcode").write_text("Secret\n")
    assert ask(listing, "dig.guess")[0] == 100
    assert ask(listing, "dig.")[0] == 100
    code, text = ask(listing, "dig.sEcret")
    assert code == 99
    assert bodies(text) == ["lunch"]
    assert "Administrivia:\n\nFor your\nreading.\n" in text and "signature" not in text
    assert ask(listing, "dig.secret") == (99, "")


def test_a_digest_that_the_queue_refuses_comes_later(tmp_path: Path) -> None:
    listing = Listing(tmp_path, "-d")
    listing.post("lunch", "about lunch\n")
    working = listing.keeper.path.read_text()
    listing.keeper.path.write_text("#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; exit 53\n")
    assert listing.code("ezmlm-get") == 111
    assert (listing.path / "dignum").read_text().startswith("0:0:")
    listing.keeper.path.write_text(working)
    assert listing.code("ezmlm-get") == 0
    assert bodies(listing.sent[-1][0]) == ["lunch"]


def test_an_archive_of_ezmlm_idx_is_read(tmp_path: Path) -> None:
    """Files as ezmlm-idx 7 has written them."""
    listing = Listing(tmp_path)
    (listing.path / "archive/0").mkdir()
    for number, subject in ((1, "Parsing"), (2, "Re: Parsing")):
        path = listing.path / f"archive/0/0{number}"
        path.write_text(f"Return-Path: <a@b>\nSubject: {subject}\nFrom: Stan <a@b>\n\nabout {subject}\n")
        path.chmod(0o744)
    (listing.path / "archive/0/index").write_text(
        "1: loljcjcijaaiehejkmbl Parsing\n\t7 May 2017 21:55:05 -0000;fcedfbggkkpclhbocoon Stan\n"
        "2: loljcjcijaaiehejkmbl Re: Parsing\n\t7 May 2017 21:55:22 -0000;hjgpaallnfmgdfglhbkg Amie Wunsch\n"
    )
    (listing.path / "num").write_text("2:1\n")
    listing.post("AW: parsing", "about more\n")
    assert bodies(ask(listing, "thread.1")[1]) == ["Parsing", "Re: Parsing", "more"]
    assert (listing.path / "archive/0/index").read_text().count("loljcjcijaaiehejkmbl") == 2
