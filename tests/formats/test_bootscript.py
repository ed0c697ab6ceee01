"""The scripts of boot/: what a shell makes of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qmail.formats import bootscript

SCRIPTS = dict(bootscript.scripts(b"/var/qmail"))
NAMES = [b"home", b"home+df", b"proc", b"proc+df", b"binm1", b"binm1+df", b"binm2", b"binm2+df", b"binm3", b"binm3+df"]


def test_there_are_ten() -> None:
    assert list(SCRIPTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_qmail_start_gets_the_delivery_the_logger_and_an_environment_of_path_alone(name: bytes, tmp_path: Path) -> None:
    start = tmp_path / "bin" / "qmail-start"
    start.parent.mkdir()
    start.write_text('#!/bin/sh\nprintf "%s|" "$@"; env\n')
    start.chmod(0o755)
    script = dict(bootscript.scripts(bytes(tmp_path)))[name]
    done = subprocess.run(["/bin/sh"], input=script, env={"PATH": "/usr/bin:/bin", "SECRET": "x"}, capture_output=True)
    delivery, logger, label, environment = done.stdout.rsplit(b"|", 3)
    assert (logger, label) == (b"splogger", b"qmail")
    assert (b"|dot-forward .forward\n" in delivery) == name.endswith(b"+df")
    assert b"SECRET" not in environment
    assert b"PATH=" + bytes(tmp_path) + b"/bin:/usr/bin:/bin" in environment


def test_the_simplest_is_the_one_of_the_book() -> None:
    assert SCRIPTS[b"home"].endswith(
        b'exec env - PATH="/var/qmail/bin:$PATH" \\\nqmail-start ./Mailbox splogger qmail\n'
    )
    assert b"qmail-start '|dot-forward .forward\n./Mailbox' splogger qmail\n" in SCRIPTS[b"home+df"]
