"""The library of an installation: a copy that runs by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from qmail.stores import library

ASK = """
import sys
sys.path.insert(0, sys.argv[1])
import dns.name, qmail
from argon2.low_level import Type, hash_secret, verify_secret
print(verify_secret(hash_secret(b"secret", b"saltsalt", 1, 8, 1, 16, Type.ID), b"secret", Type.ID))
"""


def test_what_is_compiled_comes_along_and_goes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_compile", lambda _directory: None)
    (tmp_path / "lib").mkdir()
    (tmp_path / "src/qmail").mkdir(parents=True)
    (tmp_path / "src/qmail/__init__.py").touch()
    source = library.Source(str(tmp_path / "src"), sysconfig.get_path("purelib"), sys.executable)
    for _ in range(2):  # the second time it takes the place of the first
        library.install(os.fsencode(tmp_path), source)
    asked = subprocess.run([sys.executable, "-IS", "-c", ASK, tmp_path / "lib"], capture_output=True, timeout=60)
    assert (asked.stdout, asked.stderr) == (b"True\n", b"")
    library.uninstall(os.fsencode(tmp_path))
    assert list((tmp_path / "lib").iterdir()) == []
    library.install(os.fsencode(tmp_path), source, compiled=False)
    assert {path.name for path in (tmp_path / "lib").iterdir()} == {"qmail", "dns", "idna"}
    assert list((tmp_path / "lib").rglob("*.so")) == []
