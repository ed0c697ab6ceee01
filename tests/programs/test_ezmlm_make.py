"""A new mailing list, and what becomes of an existing one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import BIN
from listing import Listing


def test_a_list_has_all_that_its_programs_need(tmp_path: Path) -> None:
    listing = Listing(tmp_path)
    assert {
        name: os.readlink(tmp_path / f".qmail-sos{name}") for name in ("", "-owner", "-default", "-return-default")
    } == {
        "": str(listing.path / "editor"),
        "-owner": str(listing.path / "owner"),
        "-default": str(listing.path / "manager"),
        "-return-default": str(listing.path / "bouncer"),
    }
    files = listing.files()
    assert files["outlocal"] == files["inlocal"] == b"sos\n"
    assert files["outhost"] == b"x.example\n"
    assert len(files["key"]) == 64
    assert (listing.path / "key").stat().st_mode & 0o077 == 0
    assert {"public", "archived", "indexed", "lock", "text/sub-confirm"} <= files.keys()
    assert not {"digested", "prefix", "modsub", "remote", "text/trailer"} & files.keys()
    for name in ("editor", "manager", "bouncer", "owner"):
        for line in files[name].decode().splitlines():
            program = line.lstrip("|").split()[0]
            assert line.startswith(f"{listing.path}/Mailbox") or Path(program).name.startswith("ezmlm-")
    assert not list(tmp_path.glob("*.making"))


def test_options_are_files(tmp_path: Path) -> None:
    listing = Listing(tmp_path, "-AdfgPrstux", "-5", "&ann@b.example", "-0", "main@c.example", "-9", "/mods")
    files = listing.files()
    assert {"digested", "dignum", "subgetonly", "modsub", "addtrailer", "text/trailer", "mimeremove"} <= files.keys()
    assert not {"archived", "indexed", "public"} & files.keys()
    assert files["prefix"] == b"[sos]\n"
    assert files["owner"].startswith(b"&ann@b.example\n")
    assert files["sublist"] == b"main@c.example\n"
    assert files["remote"] == b"/mods\n"
    assert b"ezmlm-get" not in files["manager"]
    assert b"ezmlm-checksub '" in files["editor"]
    assert (tmp_path / ".qmail-sos-digest-return-default").is_symlink()


def test_an_existing_list_or_file_is_left_alone(tmp_path: Path) -> None:
    listing = Listing(tmp_path)
    before = listing.files()
    again = listing.run("ezmlm-make", str(listing.path), str(listing.dot), "sos", "x.example")
    assert (again.returncode, again.stderr) == (100, b"ezmlm-make: fatal: %b is there already\n" % bytes(listing.path))
    other = listing.run("ezmlm-make", str(tmp_path / "other"), str(listing.dot), "sos", "x.example")
    assert other.returncode == 100
    assert not (tmp_path / "other").exists()
    assert listing.files() == before


def test_editing_keeps_what_people_wrote_and_what_is_not_said(tmp_path: Path) -> None:
    listing = Listing(tmp_path, "-df")
    listing.subscribe("ann@b.example")
    (listing.path / "text/info").write_text("About us.\n")
    (listing.path / "num").write_text("7:9\n")
    before = listing.files()
    assert listing.code("ezmlm-make", "-+r") == 0
    assert listing.files() == before | {"remote": b""}
    assert listing.code("ezmlm-make", "-e") == 0
    assert not {"remote", "prefix", "digested"} & listing.files().keys()
    assert listing.files()["text/info"] == b"About us.\n"
    assert listing.code("ezmlm-make", "-ee") == 0
    assert listing.files()["text/info"] != b"About us.\n"
    assert listing.subscribers() == {"ann@b.example"}
    assert listing.files()["num"] == b"7:9\n"


def test_editing_keeps_the_owner_s_address_and_an_editor_who_is_a_person(tmp_path: Path) -> None:
    listing = Listing(tmp_path, "-5", "&ann@b.example")
    (listing.path / "owner").write_text("&ann@b.example\n|/usr/local/bin/ezmlm/ezmlm-warn DIR || exit 0\n")
    (listing.path / "editor").write_text("# every message goes to joe first\n&joe@a.example\n")
    done = listing.run("ezmlm-make", "-+f", str(listing.path))
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1)
    assert listing.files()["owner"].startswith(b"&ann@b.example\n|" + os.fsencode(BIN) + b"/ezmlm-warn ")
    assert listing.files()["editor"] == b"# every message goes to joe first\n&joe@a.example\n"


def test_adding_an_option_changes_no_other_setting(tmp_path: Path) -> None:
    """A list as ezmlm-idx leaves it, without a record of its options."""
    listing = Listing(tmp_path, "-d")
    (listing.path / "msgsize").write_text("99000:1\n")
    (listing.path / "prefix").write_text("[our own]\n")
    (listing.path / "text/trailer").write_text("bye\n")
    (listing.path / "archived").unlink()
    before = listing.files()
    assert listing.code("ezmlm-make", "-+u") == 0
    after = listing.files()
    assert after.pop("subpostonly") == b""
    changed = {name for name in before if before[name] != after.pop(name)}
    assert changed == {"editor", "manager"} and after == {}
    assert b"ezmlm-tstdig" in listing.files()["editor"]


def test_a_moderated_list_of_another_version_does_not_become_an_open_one(tmp_path: Path) -> None:
    listing = Listing(tmp_path)
    (listing.path / "modpost").write_text("")
    done = listing.run("ezmlm-make", "-+", str(listing.path))
    assert done.returncode == 100
    assert b"-m is not possible" in done.stderr
    assert listing.code("ezmlm-make", "-+M") == 0
    assert not (listing.path / "modpost").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["relative", "/x/.qmail-a", "a", "b"],
        ["/x/a", "/x/.qmail-a"],
        ["/x/a", "/x/.qmail-a", "a"],
        ["/x/a", "relative", "a", "b"],
        ["/x/a'b", "/x/.qmail-a", "a", "b"],
        ["-m", "/x/a", "/x/.qmail-a", "a", "b"],
        ["-y", "/x/a", "/x/.qmail-a", "a", "b"],
        ["-c", "/x/a", "/x/.qmail-a", "a", "b"],
        ["-6", "mysql", "/x/a", "/x/.qmail-a", "a", "b"],
        ["-e", "/x/a"],
        ["-1", "/x/a", "/x/.qmail-a", "a", "b"],
    ],
)
def test_what_cannot_be_had_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    words = [word.replace("/x/", f"{tmp_path}/") for word in arguments]
    listing = Listing(tmp_path, make=False)
    assert listing.run("ezmlm-make", *words).returncode == 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keeper", "kept", "message"]


def test_a_list_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "sos.making").mkdir()
    (tmp_path / "sos.making" / "leftover").write_text("of a death\n")
    listing = Listing(tmp_path)
    assert "leftover" not in listing.files()
    assert not (tmp_path / "sos.making").exists()
