"""What comes back, from the first notice to the last message."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from conftest import BIN
from listing import Listing

NOTICE = b"From: MAILER-DAEMON\nSubject: failure notice\n\nHi. This is the qmail-send program at y.\n\n"


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    made = Listing(tmp_path)
    made.subscribe("joe@a.example", "ann@b.example")
    return made


def bounce(listing: Listing, address: str, text: bytes = NOTICE, database: str = "") -> int:
    """A notice comes to sos-return-ADDRESS."""
    local = f"sos{database}-return-{address}"
    done = listing.run("ezmlm-return", str(listing.path), text=text, sender="", default=address, local=local)
    assert done.returncode in (99, 100), done.stderr
    return done.returncode


def kept(listing: Listing, part: str = "d", database: str = ".") -> list[bytes]:
    """What is kept in bounce/d or bounce/h."""
    return [
        path.read_bytes() for path in sorted((listing.path / database / "bounce" / part).rglob("*")) if path.is_file()
    ]


def warn(listing: Listing, *options: str) -> list[tuple[str, str]]:
    """Look at once; what is sent."""
    before = len(listing.sent)
    done = listing.run("ezmlm-warn", *(options or ("-t", "0")), str(listing.path))
    assert done.returncode == 0, done.stderr
    return listing.sent[before:]


def returns_to(envelope: str) -> str:
    """What stands behind `return-` in an envelope sender."""
    found = re.match(r"Fsos(?:-digest)?-return-(.*)@x\.example\|T", envelope)
    assert found, envelope
    return found[1]


def test_an_address_that_bounces_for_long_is_taken_off(listing: Listing) -> None:
    for number in (3, 5, 8):
        assert bounce(listing, f"{number}-joe=a.example") == 99
    assert kept(listing, "h") == [b"   3\n   5\n   8\n"]
    assert kept(listing) == [b"joe@a.example\0Return-Path: <>\n" + NOTICE]
    assert warn(listing, "-l", "0") == []  # it is not old enough

    ((text, envelope),) = warn(listing)
    assert envelope.endswith("|Tjoe@a.example||")
    assert "\nSubject: ezmlm warning from sos@x.example\n" in text
    assert "\n   3\n   5\n   8\n" in text
    assert "\nSubject: failure notice\n" in text
    address = returns_to(envelope)
    assert re.fullmatch(r"warn-\d+\.[a-p]{20}-joe=a\.example", address)
    assert kept(listing) == kept(listing, "h") == []
    assert warn(listing) == []

    assert bounce(listing, address) == 99
    ((text, envelope),) = warn(listing)
    assert "\nSubject: ezmlm probe from sos@x.example\n" in text
    address = returns_to(envelope)
    assert listing.subscribers() == {"joe@a.example", "ann@b.example"}
    assert bounce(listing, address) == 99
    assert listing.subscribers() == {"ann@b.example"}
    assert (listing.path / "Log").read_text().endswith(" -probe joe@a.example\n")
    assert warn(listing) == []


def test_nobody_is_taken_off_by_a_forged_notice(listing: Listing) -> None:
    bounce(listing, "1-joe=a.example")
    ((_, envelope),) = warn(listing)
    address = returns_to(envelope)
    for forged in (
        address.replace("warn", "probe"),
        address.replace("joe=a", "ann=b"),
        f"probe-{int(time.time())}.aaaaaaaaaaaaaaaaaaaa-ann=b.example",
        "probe-1.a-ann=b.example",
        "probe-ann=b.example",
    ):
        assert bounce(listing, forged) == 99
        assert bounce(listing, forged, database="-digest") == 99
    assert listing.subscribers() == {"joe@a.example", "ann@b.example"}
    assert kept(listing) == []


def test_strangers_and_odd_addresses_leave_no_trace(listing: Listing) -> None:
    assert bounce(listing, "1-eve=evil.example") == 99
    assert bounce(listing, "") == 99
    assert bounce(listing, "nonsense") == 100
    assert bounce(listing, "1") == 100
    assert bounce(listing, "1-../../../x=y") == 99
    assert not (listing.path / "bounce/d").exists()


def test_a_notice_of_qmail_send_says_itself_whom_it_is_about(listing: Listing) -> None:
    listing.subscribe("bob@c.example")
    said = ((b"joe@a", b"no such user"), (b"eve@evil", b"x"), (b"ann@b", b"full"))
    text = NOTICE + b"".join(b"<%b.example>:\n%b\n\n" % each for each in said) + b"--- Below\n\n<bob@c.example>:\n"
    assert bounce(listing, "7-", text) == 99
    assert sorted(each.partition(b"\0")[0] for each in kept(listing)) == [b"ann@b.example", b"joe@a.example"]
    assert kept(listing, "h") == [b"   7\n", b"   7\n"]
    assert bounce(listing, "8-", b"Subject: hello\n\nI am not here.\n") == 99
    assert kept(listing, "h") == [b"   7\n", b"   7\n"]


def test_who_left_and_comes_back_is_warned_anew(listing: Listing) -> None:
    bounce(listing, "1-joe=a.example")
    listing.run("ezmlm-unsub", str(listing.path), "joe@a.example")
    assert warn(listing) == []
    listing.subscribe("joe@a.example")
    bounce(listing, "2-joe=a.example")
    assert len(warn(listing)) == 1


def test_the_digest_has_notices_of_its_own(listing: Listing) -> None:
    listing.subscribe("digest", "sue@s.example")
    bounce(listing, "4-sue=s.example")
    assert kept(listing) == []
    bounce(listing, "4-sue=s.example", database="-digest")
    assert len(kept(listing, database="digest")) == 1
    assert warn(listing, "-t", "0", "-D") == []
    ((text, envelope),) = warn(listing, "-t", "0", "-d")
    assert envelope.startswith("Fsos-digest-return-warn-")
    assert "numbers of digests" in text
    bounce(listing, returns_to(envelope), database="-digest")
    ((_, envelope),) = warn(listing)
    bounce(listing, returns_to(envelope), database="-digest")
    assert listing.subscribers("digest") == set()


def test_notices_are_looked_at_when_they_are_old(listing: Listing) -> None:
    day, now = 86400, int(time.time())
    for days in (9, 11, 13):
        directory = listing.path / f"bounce/d/{(now - days * day) // 10_000}"
        directory.mkdir(parents=True)
        (directory / f"d{days}.1").write_bytes(b"joe@a.example\0x\n\n")
        (directory / "junk").write_bytes(b"joe@a.example\0x\n\n")
    (listing.path / "bounce/d/_leftover").write_text("x")
    assert len(warn(listing, "-l", "0")) == 2
    assert len(os.listdir(listing.path / "bounce/d")) == 1
    # Within the next hours nothing is looked at.
    (listing.path / f"bounce/d/{(now - 30 * day) // 10_000}").mkdir()
    assert warn(listing, "-t", "10") == []
    assert len(os.listdir(listing.path / "bounce/d")) == 2
    assert int((listing.path / "bounce/lastd").read_text()) >= now


def test_warnings_may_be_switched_off(listing: Listing) -> None:
    bounce(listing, "1-joe=a.example")
    (listing.path / "nowarn").write_text("")
    assert warn(listing) == []
    assert len(kept(listing)) == 1


def test_a_queue_that_is_full_loses_no_notice(listing: Listing) -> None:
    bounce(listing, "1-joe=a.example")
    listing.keeper.path.write_text("#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; exit 53\n")
    assert listing.run("ezmlm-warn", "-t", "0", str(listing.path)).returncode == 111
    assert len(kept(listing)) == len(kept(listing, "h")) == 1


def test_huge_and_many_notices_are_kept_in_part(listing: Listing) -> None:
    bounce(listing, "1-joe=a.example", NOTICE + b"x" * 1_000_000)
    assert len(kept(listing)[0]) < 70_000
    (path,) = (path for path in (listing.path / "bounce/h").rglob("h*") if path.is_file())
    path.write_bytes(b"   1\n" * 20_000)
    bounce(listing, "2-joe=a.example")
    assert len(path.read_bytes()) == 100_000


def test_notices_that_come_together_are_all_kept(listing: Listing) -> None:
    names = [f"user{number}@x.example" for number in range(8)]
    listing.subscribe(*names)
    environment = {"PATH": f"{BIN}:/usr/bin:/bin", "SENDER": "", "LOCAL": ""}
    (listing.place / "notice").write_bytes(NOTICE)
    running = []
    for number, name in enumerate(names):
        environment["DEFAULT"] = f"{number}-{name.replace('@', '=')}"
        with open(listing.place / "notice", "rb") as file:
            running.append(
                subprocess.Popen([BIN / "ezmlm-return", "-D", listing.path], stdin=file, env=dict(environment))
            )
    assert [process.wait(60) for process in running] == [99] * 8
    assert len(kept(listing)) == len(kept(listing, "h")) == 8
