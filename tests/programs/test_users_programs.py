"""qmail-newu and qmail-pw2u: from accounts to users/assign to users/cdb."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from conftest import BIN
from qmail.formats import cdb


@pytest.fixture
def homes(home: Path, tmp_path: Path) -> Path:
    """Homes that are ours, and one that is missing."""
    for name in ("joe", "ann", "alias"):
        (tmp_path / "h" / name).mkdir(parents=True)
    if os.geteuid() == 0:
        for path in (tmp_path / "h").iterdir():
            os.chown(path, 4242, 4242)
    return tmp_path / "h"


def pw2u(home: Path, homes: Path, *options: str, extra: str = "") -> subprocess.CompletedProcess[bytes]:
    uid = os.geteuid() or 4242
    lines = "".join(f"{name}:x:{uid}:7::{homes}/{name}:/x\n" for name in ("alias", "joe", "ann", "gone")) + extra
    environment = {"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin"}
    argv = [BIN / "qmail-pw2u", *options]
    return subprocess.run(argv, input=lines.encode(), env=environment, capture_output=True, timeout=60)


def keys(printed: bytes) -> list[str]:
    return [line.partition(":")[0] for line in printed.decode().splitlines()]


def test_each_account_has_its_addresses_and_alias_all_others(home: Path, homes: Path) -> None:
    done = pw2u(home, homes)
    assert keys(done.stdout) == ["+", "=alias", "+alias-", "=joe", "+joe-", "=ann", "+ann-", "."]
    (home / "users/assign").write_bytes(done.stdout)
    environment = {"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin"}
    assert subprocess.run([BIN / "qmail-newu"], env=environment, timeout=60).returncode == 0
    data = (home / "users/cdb").read_bytes()
    uid = os.geteuid() or 4242
    assert cdb.find(data, b"!joe\0") == f"joe\0{uid}\0007\0{homes}/joe\0\0".encode()
    assert cdb.find(data, b"") == b"-"
    assert (home / "users/cdb").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        (["-C"], ["+", "=alias", "=joe", "=ann", "."]),
        (["-c+"], ["+", "=alias", "+alias+", "=joe", "+joe+", "=ann", "+ann+", "."]),
        (["-CH"], ["+", "=alias", "=joe", "=ann", "=gone", "."]),
    ],
)
def test_options_change_what_is_printed(home: Path, homes: Path, options: list[str], printed: list[str]) -> None:
    assert keys(pw2u(home, homes, *options).stdout) == printed


def test_a_slash_keeps_dotqmail_files_in_a_directory(home: Path, homes: Path) -> None:
    assert f":{homes}/joe:-/::\n".encode() in pw2u(home, homes, "-/").stdout


def test_with_h_a_missing_home_ends_it(home: Path, homes: Path) -> None:
    done = pw2u(home, homes, "-h")
    assert done.returncode == 111
    assert done.stderr == f"qmail-pw2u: fatal: unable to stat {homes}/gone\n".encode()


def test_files_in_users_shape_the_result(home: Path, homes: Path) -> None:
    (home / "users/exclude").write_text("ann\n")
    (home / "users/mailnames").write_text("joe:joseph:jo\n")
    (home / "users/subusers").write_text("info:joe:i:\n")
    (home / "users/append").write_text("=extra:x:1:2:/x:::")
    done = pw2u(home, homes)
    assert keys(done.stdout)[3:] == ["=joseph", "+joseph-", "=jo", "+jo-", "=info", "+info-", "=extra", "."]
    assert b"/joe:-:i:\n" in done.stdout and b"/joe:-:i-:\n" in done.stdout


def test_a_bad_users_assign_changes_nothing(home: Path) -> None:
    (home / "users/cdb").write_text("as it was")
    (home / "users/assign").write_text("=joe:joe:1:2:/x:::\n")
    environment = {"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([BIN / "qmail-newu"], env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (111, b"qmail-newu: fatal: bad format in users/assign\n")
    assert (home / "users/cdb").read_text() == "as it was"
