"""Where the home of a program is."""

from __future__ import annotations

import os
from pathlib import Path

from qmail.stores.home import DEFAULT, find


def test_the_environment_comes_first() -> None:
    assert find(b"/x/bin/y", {b"QMAIL_HOME": b"/h/"}).path == b"/h"


def test_else_it_is_around_the_program_or_where_a_link_leads(tmp_path: Path) -> None:
    for name in ("one/bin", "one/control", "two/bin", "two/control", "sbin", "three/bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "one/bin/sendmail").write_text("")
    (tmp_path / "sbin/sendmail").symlink_to(tmp_path / "one/bin/sendmail")
    (tmp_path / "two/bin/sendmail").symlink_to(tmp_path / "one/bin/sendmail")

    def home(path: str) -> bytes:
        return find(os.fsencode(tmp_path / path), {}).path

    assert home("one/bin/sendmail") == os.fsencode(tmp_path / "one")
    assert home("sbin/sendmail") == os.fsencode(tmp_path / "one")
    assert home("two/bin/sendmail") == os.fsencode(tmp_path / "two")
    assert home("three/bin/sendmail") == DEFAULT
    assert find(b"sendmail", {}).path == DEFAULT
