"""users/passwords: one hash for every question, and changes that are whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qmail.formats import scram
from qmail.formats.passwordfile import Login
from qmail.host import libcrypt
from qmail.stores import hashing
from qmail.stores.home import Home
from qmail.stores.passwords import PasswordFile, Trouble

MD5 = b"$1$salt$ez2vlPGdaLYkJam5pWs/Y1"  # of `secret`; cheap


@pytest.fixture
def place(tmp_path: Path) -> Home:
    (tmp_path / "users").mkdir()
    return Home(os.fsencode(tmp_path))


def write(place: Home, text: bytes) -> PasswordFile:
    path = Path(os.fsdecode(place.file(b"users/passwords")))
    path.write_bytes(text)
    path.chmod(0o600)
    return PasswordFile(place)


Counted = Callable[[Callable[[], object]], list[bytes]]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """The settings of the hashes that were computed by a call."""
    real, seen = libcrypt.crypt, []

    def crypt(password: bytes, setting: bytes) -> bytes | None:
        seen.append(setting)
        return real(password, setting)

    monkeypatch.setattr(libcrypt, "crypt", crypt)

    def count(call: Callable[[], object]) -> list[bytes]:
        seen.clear()
        call()
        return list(seen)

    return count


def test_the_hash_in_these_tests_is_right() -> None:
    assert libcrypt.crypt(b"secret", MD5) == MD5


def test_a_password_lets_its_login_in_and_no_other(place: Home) -> None:
    file = write(place, b"joe:" + MD5 + b":vmail:j\nann:!" + MD5 + b"\neve:\n")
    found = file.check(b"joe", b"secret")
    assert found is not None and (found.account, found.home) == (b"vmail", b"j")
    refused = [(b"joe", b"Secret"), (b"joe", b""), (b"ann", b"secret"), (b"eve", b""), (b"jo", b"secret"), (b"", b"")]
    assert [file.check(*each) for each in refused] == [None] * len(refused)


def test_fault_054_every_name_costs_the_work_of_one_hash(place: Home, counted: Counted) -> None:
    file = write(place, b"joe:" + MD5 + b"\nann:!" + MD5 + b"\neve:*\n")
    for name in (b"joe", b"ann", b"eve", b"nobody", b"", b"x" * 400):
        for password in (b"secret", b"wrong", b""):
            assert counted(lambda n=name, p=password: file.check(n, p)) == [MD5], (name, password)  # type: ignore[misc]


def test_fault_054_an_unknown_name_is_like_some_known_one_and_always_the_same(place: Home, counted: Counted) -> None:
    kinds = {b"$1$s%d$" % at + b"x" * 22 for at in range(8)}
    file = write(place, b":c2VlZA==\n" + b"".join(b"u%d:%b\n" % pair for pair in enumerate(sorted(kinds))))
    work = {name: counted(lambda n=name: file.check(n, b"p")) for name in (b"n%d" % at for at in range(40))}  # type: ignore[misc]
    assert all(len(each) == 1 and each[0] in kinds for each in work.values())
    assert len({each[0] for each in work.values()}) > 3
    assert work == {name: counted(lambda n=name: PasswordFile(place).check(n, b"q")) for name in work}  # type: ignore[misc]


def test_fault_054_an_empty_file_does_the_work_too(place: Home, counted: Counted) -> None:
    file = write(place, b"# nobody yet\n")
    assert len(counted(lambda: file.check(b"joe", b"x"))) == 1


def test_all_kinds_of_hashes_are_checked(place: Home) -> None:
    made = {b"argon": hashing.fresh(b"secret")}
    made |= {b"a%d" % at: _argon(kind) for at, kind in enumerate((0, 1, 2))}
    for at, setting in enumerate(
        (b"$1$ab$", b"$5$rounds=1000$ab$", b"$6$rounds=1000$ab$", b"$y$j75$ALdLrxy1mt6vKGA9Rp42p1", b"ab")
    ):
        hashed = libcrypt.crypt(b"secret", setting)
        assert hashed is not None, setting
        made[b"c%d" % at] = hashed
    made[b"b"] = libcrypt.crypt(b"secret", b"$2b$04$" + b"a" * 22) or b""
    file = write(place, b"".join(name + b":" + hashed + b"\n" for name, hashed in made.items()))
    assert [name for name in made if file.check(name, b"secret") is None] == []
    assert [name for name in made if file.check(name, b"Secret") is not None] == []
    assert made[b"argon"].startswith(b"$argon2id$")


def _argon(kind: int) -> bytes:
    from argon2.low_level import Type, hash_secret

    return hash_secret(b"secret", b"saltsalt", 1, 8, 1, 16, Type(kind))


def test_without_argon2_cffi_passwords_are_hashed_by_the_system(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    file = write(place, b"joe:" + _argon(2) + b"\n")
    monkeypatch.setitem(sys.modules, "argon2", None)
    monkeypatch.setitem(sys.modules, "argon2.low_level", None)
    with pytest.raises(Trouble, match="argon2-cffi is not installed"):
        file.check(b"joe", b"secret")
    made = hashing.fresh(b"secret")
    assert not made.startswith(b"$argon2") and hashing.agrees(made, b"secret")


@pytest.mark.parametrize("hashed", [b"$nosuch$kind$x", b"$argon2id$broken", b"$argon2x$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA"])
def test_a_hash_that_cannot_be_computed_is_trouble_and_no_refusal(place: Home, hashed: bytes) -> None:
    file = write(place, b"joe:" + hashed + b"\n")
    with pytest.raises(Trouble):
        file.check(b"joe", b"secret")


def test_a_file_that_is_missing_or_not_to_be_trusted_is_trouble(place: Home) -> None:
    with pytest.raises(Trouble, match="No such file"):
        PasswordFile(place).check(b"joe", b"secret")
    file = write(place, b"joe:" + MD5 + b"\n")
    os.chmod(file.path, 0o620)
    with pytest.raises(Trouble, match="its owner alone"):
        file.check(b"joe", b"secret")
    os.unlink(file.path)
    os.mkfifo(file.path, 0o600)
    with pytest.raises(Trouble, match="its owner alone"):
        file.check(b"joe", b"secret")


def test_a_change_counts_at_once(place: Home) -> None:
    file = write(place, b"joe:" + MD5 + b"\n")
    assert file.check(b"joe", b"secret")
    PasswordFile(place).set(Login(b"joe", b""), b"other")
    assert file.check(b"joe", b"secret") is None
    assert file.check(b"joe", b"other")
    file.remove(b"joe")
    assert file.check(b"joe", b"other") is None


def test_a_password_that_is_set_also_has_keys_for_scram(place: Home) -> None:
    from formats.test_scram import proof

    file = PasswordFile(place)
    file.set(Login(b"joe", b"", b"vmail"), b"secret")
    keys = file.keys(b"joe")
    assert keys.iterations == scram.ITERATIONS
    assert keys.proved_by(b"m", proof(b"secret", keys, b"m"))
    text = Path(os.fsdecode(file.path)).read_bytes()
    assert b"secret" not in text
    assert os.stat(file.path).st_mode & 0o777 == 0o600


def test_nobody_can_tell_by_scram_who_is_there(place: Home) -> None:
    file = PasswordFile(place)
    file.set(Login(b"joe", b""), b"secret")
    text = Path(os.fsdecode(file.path)).read_bytes()
    write(place, text + b"locked:!x:::" + text.split(b":", 6)[6] + b"old:" + MD5 + b"\n")
    real = file.keys(b"joe")
    made_up = {name: file.keys(name) for name in (b"nobody", b"locked", b"old", b"")}
    for name, keys in made_up.items():
        assert (keys.iterations, len(keys.salt)) == (real.iterations, len(real.salt))
        assert keys.text() == PasswordFile(place).keys(name).text(), "always the same"
    assert len({keys.salt for keys in (*made_up.values(), real)}) == 5
    before = made_up[b"nobody"].salt
    file.set(Login(b"another", b""), b"secret")
    assert file.keys(b"nobody").salt == before, "also when the file has changed"


def test_two_who_set_passwords_at_one_time_lose_none(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "fresh", lambda _password: MD5)
    monkeypatch.setattr(scram, "ITERATIONS", 1)
    names = [b"u%d" % at for at in range(12)]
    children = []
    for half in (names[::2], names[1::2]):
        pid = os.fork()
        if not pid:
            try:
                for name in half:
                    PasswordFile(place).set(Login(name, b""), b"secret")
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0]
    assert all(PasswordFile(place).find(name) for name in names)


def test_a_change_that_fails_leaves_the_file(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(place, b"joe:" + MD5 + b"\n")
    os.mkdir(file.path + b".tmp")
    with pytest.raises(Trouble):
        file.set(Login(b"ann", b""), b"x")
    assert Path(os.fsdecode(file.path)).read_bytes() == b"joe:" + MD5 + b"\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_file_keeps_its_owner(place: Home) -> None:
    file = write(place, b"joe:" + MD5 + b"\n")
    os.chown(file.path, 4242, 4243)
    file.remove(b"joe")
    status = os.stat(file.path)
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (4242, 4243, 0o600)
