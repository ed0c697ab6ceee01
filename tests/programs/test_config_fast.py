"""config-fast: the five control files."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Run


def files(home: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (home / "control").iterdir()}


def test_it_writes_the_five_files(home: Path, program: Run) -> None:
    done = program("config-fast", "mail.example.com", env={"QMAIL_HOME": str(home)})
    assert (done.returncode, done.stderr) == (0, b"")
    assert files(home) == {
        "me": "mail.example.com\n",
        "defaultdomain": "example.com\n",
        "plusdomain": "example.com\n",
        "locals": "mail.example.com\n",
        "rcpthosts": "mail.example.com\n",
    }


def test_a_second_run_changes_nothing_and_keeps_what_was_added(home: Path, program: Run) -> None:
    env = {"QMAIL_HOME": str(home)}
    program("config-fast", "mail.example.com", env=env)
    (home / "control/locals").write_text("other.example\nMail.Example.COM")
    (home / "control/smtproutes").write_text(":relay.example\n")
    before = files(home)
    assert program("config-fast", "mail.example.com", env=env).returncode == 0
    assert files(home) == before


def test_another_name_is_added_to_locals_and_rcpthosts(home: Path, program: Run) -> None:
    env = {"QMAIL_HOME": str(home)}
    program("config-fast", "old.example.com", env=env)
    program("config-fast", "new.example.org", env=env)
    assert files(home)["me"] == "new.example.org\n"
    assert files(home)["locals"] == files(home)["rcpthosts"] == "old.example.com\nnew.example.org\n"


@pytest.mark.parametrize(
    ("name", "default", "plus"),
    [("a.b.c.d.org", "b.c.d.org", "d.org"), ("a.b", "a.b", "a.b"), ("example", "example", "example")],
)
def test_the_domains_are_made_from_the_name(home: Path, program: Run, name: str, default: str, plus: str) -> None:
    program("config-fast", name, env={"QMAIL_HOME": str(home)})
    assert (files(home)["defaultdomain"], files(home)["plusdomain"]) == (f"{default}\n", f"{plus}\n")


@pytest.mark.parametrize("name", ["", "a b.example", "a..b", "x/y", "a\nb", "a" * 64 + ".example", "é.example", "a."])
def test_what_is_no_host_name_is_refused(home: Path, program: Run, name: str) -> None:
    done = program("config-fast", name, env={"QMAIL_HOME": str(home)})
    assert done.returncode == 100
    assert done.stderr.count(b"\n") == 1
    assert files(home) == {}


def test_an_unreadable_file_is_no_empty_file(home: Path, program: Run) -> None:
    (home / "control/locals").mkdir()
    done = program("config-fast", "mail.example.com", env={"QMAIL_HOME": str(home)})
    assert done.returncode == 111
    assert not (home / "control/me").exists()
