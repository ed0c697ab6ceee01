"""The originals' own regression suites say the same of our programs as of the originals.

The suites come from the source packages of the distribution at test time. Each runs twice, side by side,
as nobody in a network of its own: once with the originals first in PATH, once with our programs. A part
that comes out otherwise must be named in docs/differences.md, as `suite: TITLE`, TITLE as the suite prints it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import BIN, PLACE, TOP, needs_root
from reference_suites import sources

ORIGINALS = Path("/usr/bin")
ISOLATED = Path(__file__).with_name("isolated.py")
SUITES = {"daemontools": "admin/daemontools-0.76/src/rts.tests", "ucspi-tcp": "ucspi-tcp-0.88/rts.tests"}
# The suite of daemontools wants a program that only its sources have: does a line match a pattern of multilog?
MATCHTEST = """#!/bin/sh
printf '[%s] [%s]: ' "$1" "$2"
printf '%s\\n' "$2" | multilog '-*' "+$1" e 2>&1 | grep -q '^' && echo yes || echo no
"""
# Three clients of the last part leave at once: whether tcpserver's program still reaches them, and what it says
# of it where it does not, is chance; so is which of them meet. The kinds of lines must be the same, and the callers.
LOG = "tcpserver -1v prints proper messages"
CHANCE = re.compile(r"\.\./print: |tcpserver: (status: [12]/2|end x status)")

pytestmark = [
    needs_root,
    pytest.mark.skipif(not (ORIGINALS / "svc").exists(), reason="needs Debian's daemontools"),
    pytest.mark.skipif(not (ORIGINALS / "tcpserver").exists(), reason="needs Debian's ucspi-tcp"),
    pytest.mark.prove,
    pytest.mark.xdist_group("suites"),
]


@contextmanager
def directory() -> Iterator[Path]:
    """A directory that stays open to other users: pytest closes its own whenever it starts once more."""
    with tempfile.TemporaryDirectory(dir=PLACE) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture(scope="module")
def fetched() -> Iterator[dict[str, Path]]:
    """The suites of both packages."""
    with directory() as path:
        try:
            found = sources.fetch(path, SUITES)
        except sources.Unobtainable as why:
            pytest.skip(f"needs source packages from apt: {why}")
        yield found


def stage(place: Path, programs: Path, suite: Path) -> Path:
    """A directory for nobody with the suite, and one side's programs beside it."""
    place.mkdir()
    (place / "suite").write_bytes(suite.read_bytes())
    for path in BIN.iterdir():
        if (ORIGINALS / path.name).exists():
            (place / path.name).symlink_to(programs / path.name)
    (place / "matchtest").write_text(MATCHTEST)
    (place / "matchtest").chmod(0o755)
    place.chmod(0o777)
    return place


def start(directory: Path) -> subprocess.Popen[bytes]:
    """Begin one side; its output goes to `directory`/output. All of its processes end with the one that is returned."""
    alone = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*alone, sys.executable, str(ISOLATED), str(directory), "suite", f"{directory}:/usr/bin:/bin"]
    with open(directory / "output", "wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


def parts(output: str) -> dict[str, str]:
    """Title to what was printed below it."""
    found = {}
    for part in re.split(r"^--- ", output, flags=re.M)[1:]:
        title, _, text = part.partition("\n")
        found[title.strip()] = text
    if LOG in found:
        lines = [line for line in found[LOG].splitlines() if not CHANCE.match(line)]
        callers = sum(" from " in line for line in lines)
        found[LOG] = "\n".join([*sorted(set(lines)), f"{callers} callers\n"])
    return found


def named_differences() -> set[str]:
    """The parts that docs/differences.md names."""
    return set(re.findall(r"`suite: ([^`]+)`", (TOP / "docs/differences.md").read_text()))


@pytest.mark.parametrize("package", SUITES)
def test_a_suite_of_the_originals_says_the_same_of_our_programs(
    package: str, fetched: dict[str, Path], place: Path
) -> None:
    sides = {"originals": ORIGINALS, "ours": BIN}
    running = {name: start(stage(place / name, sides[name], fetched[package])) for name in sides}
    outputs = {}
    for name, process in running.items():
        code = process.wait(90)
        outputs[name] = (place / name / "output").read_text("latin-1")
        assert code == 0, f"{name}: {code}\n{outputs[name][-3000:]}"
    originals, ours = parts(outputs["originals"]), parts(outputs["ours"])
    assert len(originals) > 50 and originals.keys() == ours.keys()
    differing = {title for title in originals if originals[title] != ours[title]}
    assert differing <= named_differences(), "\n".join(
        f"--- {title}\n{originals[title]}+++\n{ours[title]}" for title in sorted(differing)
    )


def test_every_named_difference_is_a_part_of_a_suite(fetched: dict[str, Path]) -> None:
    known = {title for suite in fetched.values() for title in re.findall(r"echo '--- ([^']+)'", suite.read_text())}
    assert named_differences() <= {title.strip() for title in known}
