"""Those who want to come, go, or know something, and those who only say so."""

from __future__ import annotations

import email
import re
import time
from pathlib import Path

import pytest

from listing import Listing, reply_to
from qmail.formats import listcookie

TEXT = b"From: Joe D <joe@a.example>\nSubject: let me\n\nline one\nline two\n"


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    return Listing(tmp_path)


def aged(listing: Listing, purpose: str, address: str, seconds: int, database: str = "") -> str:
    """A cookie as the list would have made it so many seconds ago."""
    key = (listing.path / "key").read_bytes() + b"\0" + database.encode()
    made = listcookie.make(key, purpose.encode(), int(time.time()) - seconds, address.encode())
    return made.text.decode()


def test_who_confirms_is_put_on_the_list_and_can_leave(listing: Listing) -> None:
    ((text, envelope),) = listing.command("subscribe", text=TEXT)
    assert envelope == "Fsos-return-@x.example|Tjoe@a.example||"
    message = email.message_from_string(text)
    assert message["Subject"] == "confirm subscribe to sos@x.example"
    assert message["From"] == "sos-help@x.example"
    assert message["To"] == "joe@a.example"
    assert message["Mailing-List"] == "contact sos-help@x.example; run by ezmlm"
    assert message["Auto-Submitted"] == "auto-replied"
    body = message.get_payload()
    assert "    joe@a.example\n" in body and f"    {message['Reply-To']}\n" in body
    assert "\nReturn-Path: <joe@a.example>\nFrom: Joe D <joe@a.example>\nSubject: let me\n" in body
    assert "line one" not in body
    assert listing.subscribers() == set()
    address = reply_to(text)
    assert re.fullmatch(r"sc\.\d+\.[a-p]{20}-joe=a\.example", address)

    ((text, envelope),) = listing.command(address, "elsewhere@a.example", text=TEXT)
    assert listing.subscribers() == {"joe@a.example"}
    assert envelope == "Fsos-return-@x.example|Tjoe@a.example||"
    message = email.message_from_string(text)
    assert message["Subject"] == "WELCOME to sos@x.example"
    assert message["List-Unsubscribe"] == "<mailto:sos-unsubscribe-joe=a.example@x.example>"
    ((text, _),) = listing.command(address)
    assert "Subject: ezmlm response from sos@x.example" in text

    ((text, _),) = listing.command("unsubscribe-Joe=A.Example", "joe@other.example")
    ((text, envelope),) = listing.command(reply_to(text), "joe@other.example")
    assert "Subject: GOODBYE from" in text
    assert envelope.endswith("|TJoe@a.example||")
    assert listing.subscribers() == set()
    log = [line.split(" ", 1)[1] for line in (listing.path / "Log").read_text().splitlines()]
    assert log == ["+ joe@a.example Joe D <joe@a.example>", "- Joe@a.example"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("joe=", "eve="),
        ("sc.", "uc."),
        ("sc.", "tc."),
        ("sc.", "rc."),
        ("=a.", "=b."),
        ("sc.1", "sc.2"),
        ("sc.", "digest-sc."),
    ],
)
def test_a_cookie_is_good_for_nothing_else(listing: Listing, old: str, new: str) -> None:
    listing.subscribe("joe@a.example")
    ((text, _),) = listing.command("subscribe-joe=a.example")
    forged = reply_to(text).replace(old, new, 1)
    answers = listing.command(forged, "eve@evil.example")
    assert listing.subscribers() == {"joe@a.example"}
    assert listing.subscribers("digest") == listing.subscribers("mod") == set()
    assert all("Subject: confirm" in text for text, _ in answers)
    assert all("eve@evil" not in envelope for _, envelope in answers)


def test_a_guess_is_answered_with_a_new_cookie_for_whom_it_is(listing: Listing) -> None:
    ((text, envelope),) = listing.command("sc.1.aaaaaaaaaaaaaaaaaaaa-joe=a.example", "eve@evil.example")
    assert envelope.endswith("|Tjoe@a.example||")
    assert "confirmation is wrong" in text
    listing.command(reply_to(text))
    assert listing.subscribers() == {"joe@a.example"}


def test_a_cookie_grows_old(listing: Listing) -> None:
    listing.command(aged(listing, "sc", "joe@a.example", 1_000_010))
    assert listing.subscribers() == set()
    listing.command(aged(listing, "sc", "joe@a.example", -100))  # from the future
    assert listing.subscribers() == set()
    listing.command(aged(listing, "sc", "joe@a.example", 999_000))
    assert listing.subscribers() == {"joe@a.example"}


@pytest.mark.parametrize("key", [b"", b"short"])
def test_without_a_secret_nothing_is_confirmed(listing: Listing, key: bytes) -> None:
    (listing.path / "key").write_bytes(key)
    done = listing.run("ezmlm-manage", str(listing.path), text=TEXT, sender="joe@a.example", default="subscribe")
    assert done.returncode == 111
    assert listing.sent == []


@pytest.mark.parametrize(
    ("sender", "head"), [("", b""), ("#@[]", b""), ("MAILER-DAEMON", b""), ("joe@a.example", b"Mailing-list: other\n")]
)
@pytest.mark.parametrize("command", ["subscribe", "help", "get.1"])
def test_programs_and_lists_are_not_answered(listing: Listing, sender: str, head: bytes, command: str) -> None:
    assert listing.command(command, sender, text=head + TEXT) == []
    assert listing.code("ezmlm-get", text=head + TEXT, sender=sender, default=command) in (
        (100,) if command == "get.1" else (0,)
    )


@pytest.mark.parametrize(
    "target", ["a\nb=c.example", "a\tb=c.example", "noaddress", "=c.example", "x=" + "y" * 400, "a=b\r\nBcc: x"]
)
def test_what_is_no_address_is_refused(listing: Listing, target: str) -> None:
    assert listing.command(f"subscribe-{target}") == []
    assert listing.command(f"query-{target}") == []


def test_odd_addresses_are_quoted_in_headers(listing: Listing) -> None:
    ((text, envelope),) = listing.command('subscribe-a b,"c=d.example')
    assert envelope.endswith('|Ta b,"c@d.example||')
    assert '\nTo: "a b,\\"c"@d.example\n' in text
    ((text, _),) = listing.command(reply_to(text))
    assert listing.subscribers() == {'a b,"c@d.example'}
    assert "\nList-Unsubscribe: <mailto:sos-unsubscribe-a%20b%2C%22c=d.example@x.example>\n" in text


def test_eight_bit_addresses_come_and_go(listing: Listing) -> None:
    sender = b"j\xc3\xb6e@a.example".decode("utf-8")
    ((text, _),) = listing.command("subscribe", sender)
    listing.command(reply_to(text.encode("latin-1").decode()), sender)
    assert listing.subscribers() == {sender.encode().decode("latin-1")}


def test_other_questions_are_answered(listing: Listing) -> None:
    (listing.path / "text/info").write_text("All about <#l#>.\n")
    (listing.path / "copylines").write_text("1\n")
    listing.subscribe("ann@b.example")
    ((text, _),) = listing.command("info", text=TEXT)
    assert "All about sos.\n" in text
    assert "line one\n" in text and "line two" not in text
    ((text, _),) = listing.command("query-ann=b.example")
    assert "ann@b.example is a subscriber" in text
    ((text, _),) = listing.command("query")
    assert "joe@a.example is not a subscriber" in text
    for command in ("help", "", "nonsense", "digest", "sc.nonsense", "list", "subscribe.x"):
        answers = listing.command(command)
        if command == "list":
            assert answers == []
            continue
        assert len(answers) == 1
    ((text, _),) = listing.command("help")
    assert "\nFrom: sos-return-@x.example\n" in text
    ((text, _),) = listing.command("faq", "joe@a.example", "-B")
    assert "What the list understands" not in text and "Return-Path" not in text


def test_the_digest_has_its_own_subscribers(listing: Listing) -> None:
    ((text, envelope),) = listing.command("digest-subscribe")
    assert envelope.startswith("Fsos-digest-return-@x.example|")
    assert "confirm subscribe to sos-digest@x.example" in text
    listing.command(reply_to(text))
    assert listing.subscribers("digest") == {"joe@a.example"}
    assert listing.subscribers() == set()
    assert (listing.path / "digest/Log").read_text().endswith("+ joe@a.example\n")


def test_a_closed_list_only_helps(tmp_path: Path) -> None:
    listing = Listing(tmp_path, "-P")
    assert listing.command("subscribe") == []
    assert listing.command("query") == []
    assert listing.command(aged(listing, "sc", "joe@a.example", 5)) == []
    assert listing.subscribers() == set()
    assert len(listing.command("help")) == 1


def test_confirmation_may_be_left_out(listing: Listing) -> None:
    ((text, _),) = listing.command("subscribe", "joe@a.example", "-S")
    assert "Subject: WELCOME" in text
    (listing.path / "nounsubconfirm").write_text("")
    assert listing.command("unsubscribe", "joe@a.example", "-N") == []
    assert listing.subscribers() == set()


def test_moderators_decide_who_comes(tmp_path: Path) -> None:
    listing = Listing(tmp_path, "-s")
    ((text, _),) = listing.command("subscribe")
    ((text, envelope),) = listing.command(reply_to(text))  # nobody moderates yet: the owner is asked
    assert envelope.endswith("|Tsos-owner@x.example||")
    listing.subscribe("mod", "mia@m.example", "max@m.example")
    ((text, _),) = listing.command("subscribe")
    ((text, envelope),) = listing.command(reply_to(text))
    assert envelope.count("|T") == 2
    assert "\nSubject: CONFIRM subscribe to sos@x.example\n" in text and "\nTo: sos-owner@x.example\n" in text
    assert listing.subscribers() == set()
    address = reply_to(text)
    assert address.startswith("tc.")
    ((text, envelope),) = listing.command(address, "mia@m.example", text=b"From: mia@m.example\n\nyes\n")
    assert listing.subscribers() == {"joe@a.example"}
    assert envelope.endswith("|Tjoe@a.example||")
    assert "mia@" not in text
    assert listing.command(address, "max@m.example") == []  # it was no news
    assert listing.command(address.replace("joe", "eve"), "eve@evil.example") == []
    ((text, _),) = listing.command(address.replace("joe", "eve"), "max@m.example")
    assert "confirmation is wrong" in text
    # Who wants to go only confirms it, unless moderators decide that too.
    ((text, _),) = listing.command("unsubscribe", "joe@a.example", "-m")
    ((text, _),) = listing.command(reply_to(text), "joe@a.example", "-m")
    assert listing.subscribers() == {"joe@a.example"}
    listing.command(reply_to(text), "max@m.example", "-m")
    assert listing.subscribers() == set()


def test_moderators_act_for_others(tmp_path: Path) -> None:
    listing = Listing(tmp_path, "-Prl")
    listing.subscribe("mod", "mia@m.example")
    assert listing.command("subscribe-joe=a.example", "eve@evil.example") == []
    ((text, envelope),) = listing.command("subscribe-joe=a.example", "Mia@m.example")
    assert envelope.endswith("|TMia@m.example||")
    ((text, envelope),) = listing.command(reply_to(text), "mia@m.example")
    assert envelope.endswith("|Tjoe@a.example||")
    assert listing.subscribers() == {"joe@a.example"}
    assert "+mod joe@a.example" in (listing.path / "Log").read_text()

    ((text, _),) = listing.command("list", "mia@m.example")
    assert "\njoe@a.example\n" in text
    ((text, _),) = listing.command("listn", "mia@m.example")
    assert "\n1 subscribers\n" in text
    ((text, _),) = listing.command("log", "mia@m.example")
    assert "+mod joe@a.example" in text
    assert listing.command("list", "joe@a.example") == []
    ((text, _),) = listing.command("help", "mia@m.example")
    assert "You are a moderator" in text

    ((text, _),) = listing.command("deny-subscribe-eve=evil.example", "mia@m.example")
    assert listing.command(reply_to(text), "mia@m.example") != []
    assert listing.subscribers("deny") == {"eve@evil.example"}
    ((text, _),) = listing.command("unsubscribe-jo=a.example", "mia@m.example")
    ((text, envelope),) = listing.command(reply_to(text), "mia@m.example")
    assert "jo@a.example is not a subscriber" in text
    assert envelope.endswith("|Tmia@m.example||")


def test_nobody_denies_others_on_an_open_list(listing: Listing) -> None:
    assert listing.command("deny-subscribe-ann=b.example", "eve@evil.example") == []
    assert listing.command("deny-" + aged(listing, "sc", "ann@b.example", 5, "deny"), "eve@evil.example") == []
    assert listing.subscribers("deny") == set()


def test_the_owner_hears_of_who_comes_and_goes(listing: Listing) -> None:
    answers = listing.command(aged(listing, "sc", "joe@a.example", 5), "joe@a.example", "-QQ")
    assert [envelope.split("|T")[1] for _, envelope in answers] == ["sos-owner@x.example||", "joe@a.example||"]
    assert len(listing.command(aged(listing, "uc", "jo@a.example", 5), "joe@a.example", "-Q")) == 2
    assert len(listing.command(aged(listing, "uc", "joe@a.example", 5), "joe@a.example", "-Q")) == 1


def test_answers_have_the_list_s_character_set(listing: Listing) -> None:
    (listing.path / "text/info").write_bytes("Grüße = all\n".encode())
    for charset, encoding in (("utf-8:Q", "quoted-printable"), ("utf-8:b", "base64"), ("utf-8", None)):
        (listing.path / "charset").write_text(charset + "\n")
        ((text, _),) = listing.command("info")
        message = email.message_from_bytes(text.encode("latin-1"))
        assert message.get_content_charset() == "utf-8"
        assert message["Content-Transfer-Encoding"] == encoding
        assert "Grüße = all\n" in message.get_payload(decode=True).decode()  # type: ignore[union-attr]


def test_a_message_of_the_archive_is_part_of_an_answer(listing: Listing) -> None:
    listing.post("one", "from the archive\n")
    (listing.path / "archive/0/02").write_text("unfinished\n")
    ((text, _),) = listing.command("get.1")
    assert "\n> from the archive\n" in text
    for command in ("get.2", "get.3", "get.0", "get.x", "get", "get.1_2", "get." + "9" * 30):
        ((text, _),) = listing.command(command)
        assert "There is no such message" in text, command
    ((text, _),) = listing.command("get.1", "joe@a.example", "-C")
    assert "There is no such message" in text
    (listing.path / "subgetonly").write_text("")
    assert listing.command("get.1") == []


def test_a_huge_request_is_answered_in_short(listing: Listing) -> None:
    (listing.path / "copylines").write_text("1000000\n")
    ((text, _),) = listing.command("help", text=b"Subject: x\n\n" + b"long line\n" * 30_000)
    assert len(text) < 80_000
    ((text, _),) = listing.command("help", text=b"X: y\n" * 50_000)
    assert len(text) < 80_000
    assert listing.command("help", text=b"X" * (17 * 1024 * 1024)) == []


def test_what_the_queue_says_is_said(listing: Listing) -> None:
    listing.keeper.path.write_text("#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; exit 53\n")
    done = listing.run("ezmlm-manage", str(listing.path), text=TEXT, sender="joe@a.example", default="help")
    assert done.returncode == 111
    # Who was put on the list just before is told so when the message is tried again.
    cookie = aged(listing, "sc", "joe@a.example", 5)
    assert listing.code("ezmlm-manage", text=TEXT, sender="joe@a.example", default=cookie) == 111
    assert listing.subscribers() == {"joe@a.example"}
