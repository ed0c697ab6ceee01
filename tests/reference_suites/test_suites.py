"""The originals' own regression suites say the same of our programs as of the originals.

The suites come from the source packages of the distribution at test time. Each runs twice, side by side,
as nobody in a network of its own: once with the originals first in PATH, once with our programs. A part
that comes out otherwise must be named in docs/differences.md, as `suite: TITLE`, TITLE as the suite prints it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import BIN, TOP, needs_root, open_to_others
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


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The suites of both packages."""
    place = open_to_others(tmp_path_factory.mktemp("suites"))
    try:
        return sources.fetch(place, SUITES)
    except sources.Unobtainable as why:
        pytest.skip(f"needs source packages from apt: {why}")


def stage(place: Path, programs: Path) -> Path:
    """A directory for nobody with one side's programs, and nothing of the other side under the same names."""
    place.mkdir()
    for path in BIN.iterdir():
        if (ORIGINALS / path.name).exists():
            (place / path.name).symlink_to(programs / path.name)
    (place / "matchtest").write_text(MATCHTEST)
    (place / "matchtest").chmod(0o755)
    place.chmod(0o777)
    return place


def start(directory: Path, suite: Path) -> subprocess.Popen[bytes]:
    """Begin one side; its output goes to `directory`/output. All of its processes end with the one that is returned."""
    alone = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*alone, sys.executable, str(ISOLATED), str(directory), str(suite), f"{directory}:/usr/bin:/bin"]
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
    package: str, fetched: dict[str, Path], tmp_path: Path
) -> None:
    sides = {"originals": ORIGINALS, "ours": BIN}
    running = {name: start(stage(tmp_path / name, sides[name]), fetched[package]) for name in sides}
    outputs = {}
    for name, process in running.items():
        code = process.wait(90)
        outputs[name] = (tmp_path / name / "output").read_text("latin-1")
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
