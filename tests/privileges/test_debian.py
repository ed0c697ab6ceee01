"""The Debian package: built from this tree without a network, unpacked, configured, run, and taken away."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import TOP, needs_root, open_to_others
from qmail import __version__
from qmail.services.catalogue import programs

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("deb")
    alone = ["unshare", "-n"] if os.geteuid() == 0 else []  # without a network
    done = subprocess.run(
        [*alone, sys.executable, TOP / "setup/deb.py", place], capture_output=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert [path.name for path in place.iterdir()] == [f"pyqmail_{__version__}_all.deb"]
    return next(place.iterdir())


def test_its_description_is_one_that_dpkg_reads(package: Path) -> None:
    fields = ("Package", "Version", "Architecture", "Depends", "Provides", "Conflicts")
    done = subprocess.run(["dpkg-deb", "-f", package, *fields], capture_output=True, check=True, text=True)
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert (told["Package"], told["Version"], told["Architecture"]) == ("pyqmail", __version__, "all")
    assert "python3 (>= 3.11)" in told["Depends"]
    assert "mail-transport-agent" in told["Provides"]
    assert told["Conflicts"] == "mail-transport-agent"


def test_it_holds_every_program_and_nothing_that_is_setuid_or_compiled(package: Path) -> None:
    done = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, check=True, text=True)
    lines = [line.split(None, 5) for line in done.stdout.splitlines()]
    names = {line[5].split(" -> ")[0].removeprefix("./"): line for line in lines}
    assert {f"var/qmail/bin/{name}" for name in programs()} <= names.keys()
    assert "usr/lib/systemd/system/qmail.target" in names
    assert any(re.fullmatch(r"usr/share/man/man8/qmail-send\.8\.gz", name) for name in names)
    for name, (mode, owner, *_) in names.items():
        assert owner == "root/root", name
        assert "s" not in mode[1:].lower(), name
        assert mode[0] == "l" or (mode[5], mode[8]) == ("-", "-"), name
        assert not name.endswith((".pyc", "__pycache__/")), name
    done = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True)
    assert os.fsencode(TOP) not in done.stdout, "nothing points to where it was built"


@pytest.fixture
def root(package: Path, tmp_path: Path) -> Iterator[Path]:
    """A root directory that it is installed in."""
    root = tmp_path / "root"
    for name in ("info", "updates"):
        (root / "var/lib/dpkg" / name).mkdir(parents=True)
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).touch()
    dpkg(root, "--install", package)
    yield open_to_others(root)


def dpkg(root: Path, *words: str | Path) -> None:
    options = [f"--root={root}", "--force-script-chrootless", "--force-depends", f"--log={root}/log"]
    done = subprocess.run(["dpkg", *options, *words], capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()


@needs_root
@pytest.mark.skipif(not shutil.which("dpkg"), reason="needs dpkg")
def test_installed_it_is_a_home_as_make_check_wants_it_and_purged_it_is_gone(root: Path) -> None:
    home = root / "var/qmail"
    done = subprocess.run(
        [sys.executable, TOP / "setup/check.py", home], capture_output=True, timeout=60, check=False, text=True
    )
    assert done.stdout.splitlines() == [f"make check: {home} is as it should be"]
    assert (home / "control/me").read_text().strip()
    assert os.readlink(root / "usr/sbin/sendmail") == "/var/qmail/bin/sendmail"
    script = f"mount --bind {root}/var /var && exec /var/qmail/bin/qmail-showctl"
    shown = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, timeout=30, check=True)
    assert b"qmail home directory: /var/qmail." in shown.stdout
    dpkg(root, "--purge", "pyqmail")
    assert not home.exists()


@needs_root
@pytest.mark.skipif(not shutil.which("dpkg"), reason="needs dpkg")
def test_mail_that_is_queued_survives_a_purge(root: Path) -> None:
    message = root / "var/qmail/queue/mess/0/23"
    message.write_text("Subject: not yet\n\n")
    dpkg(root, "--purge", "pyqmail")
    assert message.read_text() == "Subject: not yet\n\n"
    assert not (root / "var/qmail/bin").exists()
