"""Who answers for a local part: users/cdb as it is now, and the accounts of the system."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from qmail.formats import cdb
from qmail.formats.usersassign import records
from qmail.stores import users
from qmail.stores.home import Home


@pytest.fixture
def place(tmp_path: Path) -> Home:
    (tmp_path / "users").mkdir()
    (tmp_path / "queue").mkdir()
    return Home(os.fsencode(tmp_path))


def write(home: Home, text: bytes) -> None:
    path = Path(os.fsdecode(home.file(b"users/cdb")))
    new = path.with_name("new")
    new.write_bytes(cdb.make(records(text)))
    new.replace(path)


def test_fault_092_a_new_file_counts_from_the_next_look(place: Home) -> None:
    known = users.Assignments(place)
    assert not known.changed() and known.find(b"joe") is None
    write(place, b"=joe:joe:1:2:/joe:::\n.\n")
    assert known.find(b"joe") is None
    assert known.changed() and not known.changed()
    found = known.find(b"joe")
    assert found is not None and found.user == b"joe"
    write(place, b"=joe:other:1:2:/joe:::\n.\n")
    assert known.changed()
    found = known.find(b"joe")
    assert found is not None and found.user == b"other"
    os.unlink(place.file(b"users/cdb"))
    assert known.changed() and known.find(b"joe") is None


@pytest.mark.parametrize("cut", [0, 1, 100, 2047, 2048, 2060, -1])
def test_fault_092_a_damaged_file_is_trouble_and_never_nobody(place: Home, cut: int) -> None:
    write(place, b"=joe:joe:1:2:/joe:::\n+x:x:1:2:/x:::\n.\n")
    path = Path(os.fsdecode(place.file(b"users/cdb")))
    path.write_bytes(path.read_bytes()[:cut])
    known = users.Assignments(place)
    known.changed()
    with pytest.raises(users.Trouble):
        known.find(b"joe")
        known.find(b"nobody")


def test_fault_092_garbage_is_trouble(place: Home) -> None:
    Path(os.fsdecode(place.file(b"users/cdb"))).write_bytes(bytes(range(256)) * 100)
    known = users.Assignments(place)
    known.changed()
    with pytest.raises(users.Trouble):
        known.find(b"joe")


def test_a_directory_in_its_place_is_trouble(place: Home) -> None:
    Path(os.fsdecode(place.file(b"users/cdb"))).mkdir()
    known = users.Assignments(place)
    for _ in range(2):
        with pytest.raises(users.Trouble):
            known.changed()


def entry(name: str, uid: int, home: Path) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, 100, "", str(home), "/bin/sh"))


@pytest.fixture
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, pwd.struct_passwd]:
    """Accounts of this test alone; the homes are ours."""
    ours = os.geteuid() or 0
    (tmp_path / "h").mkdir()
    if not ours:
        os.chown(tmp_path / "h", 4242, 4242)
        ours = 4242
    known = {
        "joe": entry("joe", ours, tmp_path / "h"),
        "joe-x": entry("joe-x", ours, tmp_path / "h"),
        "zero": entry("zero", 0, tmp_path / "h"),
        "gone": entry("gone", ours, tmp_path / "none"),
        "other": entry("other", ours + 1, tmp_path / "h"),
        "alias": entry("alias", 777, Path("/alias")),
        "u" * 32: entry("u" * 32, ours, tmp_path / "h"),
    }
    monkeypatch.setattr(pwd, "getpwnam", lambda name: known[name])
    monkeypatch.setattr(Home, "single", False)
    return known


@pytest.mark.parametrize(
    ("local", "user", "dash", "ext"),
    [
        (b"joe", b"joe", b"", b""),
        (b"JOE", b"joe", b"", b""),
        (b"joe-", b"joe", b"-", b""),
        (b"joe-A-b", b"joe", b"-", b"A-b"),
        (b"joe-x-y", b"joe-x", b"-", b"y"),
        (b"joex", b"alias", b"-", b"joex"),
        (b"zero", b"alias", b"-", b"zero"),
        (b"gone-x", b"alias", b"-", b"gone-x"),
        (b"other", b"alias", b"-", b"other"),
        (b"alias-x", b"alias", b"-", b"alias-x"),
        (b"u" * 32, b"alias", b"-", b"u" * 32),
        (b"", b"alias", b"-", b""),
        (b"\xff\0x", b"alias", b"-", b"\xff\0x"),
        (b"x" * 100_000 + b"-y", b"alias", b"-", b"x" * 100_000 + b"-y"),
    ],
)
def test_fault_066_the_longest_account_name_before_a_hyphen_answers_else_alias(
    place: Home, accounts: object, local: bytes, user: bytes, dash: bytes, ext: bytes
) -> None:
    found = users.of_system(place, local)
    assert (found.user, found.dash, found.ext) == (user, dash, ext)


def test_without_alias_nobody_answers(place: Home, accounts: dict[str, pwd.struct_passwd]) -> None:
    del accounts["alias"]
    with pytest.raises(users.Unassigned):
        users.of_system(place, b"nobody")
