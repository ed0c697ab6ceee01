"""What the kernel holds for the disks."""

from __future__ import annotations

import os
import tempfile

import pytest

from qmail.host import dirty


def test_what_was_just_written_counts() -> None:
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        for _ in range(5):  # the kernel writes when it likes
            os.sync()
            before = dirty.size()
            os.pwrite(file.fileno(), b"x" * (32 << 20), 0)
            if dirty.size() > before + (8 << 20):
                return
    pytest.fail(f"{before} bytes before, {dirty.size()} behind")


def test_what_cannot_be_read_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirty, "_LINE", b"\nNothing of the kind:")
    assert dirty.size() == 0
