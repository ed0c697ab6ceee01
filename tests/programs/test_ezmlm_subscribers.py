"""Who is on a list, by hand: ezmlm-sub, ezmlm-unsub, ezmlm-list, ezmlm-issubn, ezmlm-checksub."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from conftest import BIN
from listing import Listing


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    return Listing(tmp_path)


def log(listing: Listing) -> list[str]:
    return [line.split(" ", 1)[1] for line in (listing.path / "Log").read_text().splitlines()]


def test_addresses_come_and_go_once_whatever_their_case(listing: Listing) -> None:
    listing.subscribe("Joe@A.Example", "ann@b.example")
    listing.subscribe("joe@a.example")
    assert listing.subscribers() == {"Joe@a.example", "ann@b.example"}
    assert listing.run("ezmlm-list", "-n", str(listing.path)).stdout == b"2\n"
    for _ in range(2):
        assert listing.run("ezmlm-unsub", str(listing.path), "JOE@a.example").returncode == 0
    assert listing.subscribers() == {"ann@b.example"}
    assert log(listing) == ["+manual Joe@A.Example", "+manual ann@b.example", "-manual JOE@a.example"]


def test_addresses_are_read_from_lines_with_names(listing: Listing) -> None:
    text = b"# a comment\nann@b.example Ann B\t\x01\n\n  bob@c.example\nno address here\n"
    done = listing.run("ezmlm-sub", "-n", str(listing.path), text=text)
    assert (done.returncode, done.stderr) == (100, b"ezmlm-sub: warning: no address: no\n")
    assert listing.subscribers() == {"ann@b.example", "bob@c.example"}
    assert log(listing) == ["+manual ann@b.example Ann B ?", "+manual bob@c.example"]
    assert listing.run("ezmlm-sub", "-n", str(listing.path), "eve@d.example", "Eve").returncode == 0
    assert log(listing)[-1] == "+manual eve@d.example Eve"


@pytest.mark.parametrize("address", ["joe", "@b", "a\n@b", "a" * 400 + "@b"])
def test_what_is_no_address_is_refused_and_the_others_are_not(listing: Listing, address: str) -> None:
    done = listing.run("ezmlm-sub", str(listing.path), "x@y", address)
    assert done.returncode == 100
    assert done.stderr.count(b"\n") == 1
    assert listing.subscribers() == {"x@y"}


def test_other_databases_are_apart(listing: Listing) -> None:
    listing.subscribe("digest", "ann@b.example")
    listing.subscribe("mod", "joe@a.example")
    assert listing.run("ezmlm-sub", str(listing.path), "unknown", "eve@d.example").returncode == 111
    assert listing.subscribers() == set()
    assert listing.subscribers("digest") == {"ann@b.example"}
    # The directory of a database is a list of its own, as it has always been.
    assert listing.run("ezmlm-list", str(listing.path / "mod")).stdout == b"joe@a.example\n"


def test_files_of_other_versions_are_read_and_changed_in_place(listing: Listing) -> None:
    place = listing.path / "subscribers"
    (place / "L").write_bytes(b"TJoe.Doe@example.org\0Tother@x\0")  # by the case of letters, as ezmlm 0.53 had it
    (place / "H").write_bytes(b"Tjoe@example.org\0")  # by 32 bits
    listing.subscribe("Joe.Doe@EXAMPLE.org", "JOE@example.org")
    assert listing.subscribers() == {"Joe.Doe@example.org", "other@x", "joe@example.org"}
    assert sorted(os.listdir(place)) == ["H", "L"]
    assert listing.code("ezmlm-issubn", sender="Joe.Doe@example.org") == 0
    listing.run("ezmlm-unsub", str(listing.path), "Joe.Doe@example.org")
    assert (place / "L").read_bytes() == b"Tother@x\0"


def test_ten_thousand_addresses_are_few_files(listing: Listing) -> None:
    text = b"".join(b"user%d@host%d.example\n" % (number, number % 7) for number in range(10_500))
    assert listing.run("ezmlm-sub", str(listing.path), text=text).returncode == 0
    assert len(listing.subscribers()) == 10_500
    assert sorted(os.listdir(listing.path / "subscribers")) == sorted(map(chr, range(64, 117)))


@pytest.mark.parametrize("text", [b"Tann@b", b"ann@b\0", b"Tann@b\0\0"])
def test_a_damaged_file_holds_mail_back_and_stays(listing: Listing, text: bytes) -> None:
    path = listing.path / "subscribers" / "S"
    path.write_bytes(text)
    done = listing.run("ezmlm-sub", str(listing.path), "joe@example.org")
    assert done.returncode == 111
    assert b"is damaged" in done.stderr
    assert listing.code("ezmlm-send", text=b"Subject: x\n\n", sender="joe@example.org") == 111
    assert listing.sent == []
    assert path.read_bytes() == text


def test_no_list_is_no_list(tmp_path: Path) -> None:
    listing = Listing(tmp_path, make=False)
    for name in ("ezmlm-sub", "ezmlm-unsub", "ezmlm-list", "ezmlm-warn", "ezmlm-tstdig"):
        assert listing.run(name, str(tmp_path / "none"), *(["a@b"] if "sub" in name else [])).returncode == 100
        assert listing.run(name).returncode == 100
        assert listing.run(name, "-Y").returncode == 100
        assert listing.run(name, "-v").stderr.startswith(f"{name}: pyqmail ".encode())


def test_a_list_in_another_kind_of_database_is_not_served(listing: Listing) -> None:
    (listing.path / "subdb").write_text("mysql:host:port\n")
    assert listing.run("ezmlm-sub", str(listing.path), "a@b").returncode == 111


def test_a_terminal_is_not_steered(listing: Listing) -> None:
    (listing.path / "subscribers" / "@").write_bytes(b"T\x1b[2J@x\xc3\0")
    assert listing.run("ezmlm-list", str(listing.path)).stdout == b"?[2J@x\xc3\n"


def test_who_may_write_is_asked_of_several_databases(listing: Listing) -> None:
    listing.subscribe("ann@b.example")
    listing.subscribe("digest", "bob@c.example")
    listing.subscribe("deny", "@evil.example", "eve@d.example")

    def asked(name: str, sender: str, *words: str, before: str = "-N") -> int:
        return listing.run(name, before, str(listing.path), *words, sender=sender).returncode

    assert asked("ezmlm-issubn", "Ann@B.example") == 0
    assert asked("ezmlm-issubn", "bob@c.example") == 99
    assert asked("ezmlm-issubn", "bob@c.example", ".", "digest") == 0
    assert asked("ezmlm-issubn", "bob@c.example", ".", "digest", before="-n") == 99
    assert asked("ezmlm-checksub", "ann@b.example", ".", "digest") == 0
    assert asked("ezmlm-checksub", "x@b.example", ".", "digest") == 100
    assert asked("ezmlm-checksub", "", ".", "digest") == 100
    for sender, code in (
        ("x@Evil.example", 100),
        ("eve@d.example", 100),
        ("ann@b.example", 0),
        ("x@more.evil.example", 0),
    ):
        assert asked("ezmlm-checksub", sender, "deny", before="-n") == code
    assert listing.code("ezmlm-issubn") == 100  # without SENDER
    digest = str(listing.path / "digest")
    assert asked("ezmlm-issubn", "bob@c.example", digest) == asked("ezmlm-issubn", "ann@b.example", digest) == 0
    (listing.path / "subscribers" / "S").write_bytes(b"broken")
    assert asked("ezmlm-checksub", "joe@example.org") == 111


def test_a_kill_at_any_moment_leaves_whole_files(listing: Listing) -> None:
    listing.subscribe("ann@b.example")
    known = {b"user%d@x.example" % number for number in range(200)}
    text = b"\n".join(sorted(known)) + b"\n"
    message = listing.place / "addresses"
    message.write_bytes(text)
    for delay in (0.0, 0.03, 0.06, 0.09):
        with open(message, "rb") as file:
            process = subprocess.Popen([BIN / "ezmlm-sub", listing.path], stdin=file, stderr=subprocess.DEVNULL)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        found = {address.encode() for address in listing.subscribers()}
        assert b"ann@b.example" in found
        assert found <= known | {b"ann@b.example"}
    assert listing.run("ezmlm-sub", str(listing.path), text=text).returncode == 0
    assert len(listing.subscribers()) == 201


def test_those_who_write_at_once_wait_for_each_other(listing: Listing) -> None:
    known = set()
    running = []
    for writer in range(6):
        addresses = {f"user{number}@host{writer}.example" for number in range(60)}
        known |= addresses
        message = listing.place / f"addresses{writer}"
        message.write_text("\n".join(addresses))
        with open(message, "rb") as file:
            running.append(subprocess.Popen([BIN / "ezmlm-sub", listing.path], stdin=file))
    assert [process.wait(60) for process in running] == [0] * 6
    assert listing.subscribers() == known
