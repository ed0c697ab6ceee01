"""What ships behaves as the reference was seen to behave, but where docs/differences.md says otherwise.

The recorded cases stand beside the checkout, in ../shared/vectors. A case that fails must be named in
docs/differences.md; the reason stands there.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, SHARED, TOP, needs_root

CASES = SHARED / "vectors" / "qmail" / "cases"
TOOLS = SHARED / "vectors" / "tools"
LOCK = Path("/tmp/vectors.lock")  # the runner puts the home of user alias aside: one at a time

pytestmark = [
    needs_root,
    pytest.mark.skipif(not CASES.exists(), reason="needs the recorded cases in ../shared/vectors"),
    pytest.mark.prove,
    pytest.mark.xdist_group("vectors"),
]


def named_differences() -> set[str]:
    """The cases that docs/differences.md names."""
    return set(re.findall(r"`([a-z0-9@-]+)`", (TOP / "docs" / "differences.md").read_text()))


def programs() -> list[str]:
    """The programs that there are cases for."""
    return sorted(path.stem for path in CASES.glob("*.json")) if CASES.exists() else []


@pytest.fixture(scope="session")
def installation() -> Iterator[Path]:
    """A real installation: owners, modes, programs in bin."""
    place = Path(f"/var/tmp/pyqmail-vectors-{os.getpid()}")
    subprocess.run(["make", "-s", "setup", f"QMAIL_HOME={place}"], cwd=TOP, check=True, stdout=subprocess.DEVNULL)
    # The cases use the home of user alias, wherever the account says it is.
    alias = pwd.getpwnam("alias")
    missing = [path for path in (Path(alias.pw_dir), *Path(alias.pw_dir).parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o755)
    os.chown(alias.pw_dir, alias.pw_uid, alias.pw_gid)
    yield place
    shutil.rmtree(place)
    for path in missing:
        shutil.rmtree(path)


def failed_cases(output: str) -> set[str]:
    """The cases that the runner says failed."""
    return set(re.findall(r"^(?: *FAIL|---) ([^:\s]+):", output, re.M))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", programs())
def test_qmail_behaves_as_recorded(name: str, installation: Path) -> None:
    with open(LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            ["sh", TOP / "tests/vectors/run.sh", installation, SHARED / "vectors/qmail/run.py", "--only", name],
            capture_output=True, text=True, errors="replace", timeout=280, check=False,
        )  # fmt: skip
    assert re.search(r"^total: \d+ passed, \d+ failed", done.stdout, re.M), done.stdout + done.stderr
    assert failed_cases(done.stdout) <= named_differences(), done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(path.stem for path in (TOOLS / "cases").glob("*.json")))
def test_the_tools_behave_as_recorded(name: str) -> None:
    done = subprocess.run(
        ["python3", TOOLS / "run.py", "--bin", BIN, "-j", "2", "--only", name],
        capture_output=True, text=True, errors="replace", timeout=280, check=False,
    )  # fmt: skip
    assert re.search(r"\d+ passed, \d+ failed", done.stdout), done.stdout + done.stderr
    unexplained = failed_cases(done.stdout) - named_differences()
    assert {case for case in unexplained if original_passes(name, case)} == set(), done.stdout


def original_passes(name: str, case: str) -> bool:
    """Does the original pass this case here? Where it does not either, it is this machine that differs."""
    done = subprocess.run(
        ["python3", TOOLS / "run.py", "--bin", "/usr/bin", "-q", "--only", name, "--case", case],
        capture_output=True, text=True, errors="replace", timeout=120, check=False,
    )  # fmt: skip
    return ", 0 failed" in done.stdout and "total: 0 passed" not in done.stdout
