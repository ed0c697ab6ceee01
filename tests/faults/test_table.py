"""README.md names, for every fault, the tests that make it, and says nothing that is not so.

A test carries its numbers in its name (`test_fault_011_012_...`), in the id of a parameter
(`fault_034`) or in the name of a talk (`fault-013-end-in-pieces.txt`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import TOP

TESTS = TOP / "tests"
ROW = re.compile(r"^\| (\d{3}|[QN]\d\d) \| (.+?) \| (.+) \|$", re.M)
ROWS = {name: cell.split(", ") for name, _, cell in ROW.findall(Path(__file__).with_name("README.md").read_text())}
NUMBERS = [f"{number:03}" for number in range(1, 103)]
QUEUE = [f"Q{number:02}" for number in range(1, 18)]
HELPERS = [f"N{number:02}" for number in range(1, 21)]
LATER = "not built: "
OTHERS = {"SRS", "DKIM", "ARC"}


def names_in(path: Path) -> Iterator[str]:
    """The names of the tests in a file, and the ids of their parameters."""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "id" and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def everything() -> dict[str, set[str]]:
    """The tests of every file, by its path below tests/; a talk is one test."""
    found = {str(path.relative_to(TESTS)): set(names_in(path)) for path in TESTS.rglob("test_*.py")}
    return found | {f"talks/{path.name}": {path.stem.replace("-", "_")} for path in (TESTS / "talks").glob("*.txt")}


ALL = everything()


def numbered() -> dict[str, set[str]]:
    """The files with tests that carry a number, by number."""
    found: dict[str, set[str]] = {number: set() for number in NUMBERS}
    for file, names in ALL.items():
        for name in names:
            match = re.match(r"(?:test_)?fault((?:_\d{3})+)", name)
            for number in match[1].split("_")[1:] if match else ():
                found[number].add(file)
    return found


def test_every_fault_has_its_row() -> None:
    assert list(ROWS) == NUMBERS + QUEUE + HELPERS


@pytest.mark.parametrize("name", NUMBERS + QUEUE + HELPERS)
def test_a_row_names_tests_that_exist_or_what_they_wait_for(name: str) -> None:
    cells = [cell for cell in ROWS[name] if not cell.startswith(LATER)]
    for cell in cells:
        file, _, test = cell.partition("::")
        assert file in ALL, cell
        assert not test or test in ALL[file], cell
    assert {cell for cell in cells if "::" not in cell} == (numbered()[name] if name in NUMBERS else set())
    assert cells or len(ROWS[name]) == 1


def is_built(feature: str) -> bool:
    """Is it, by now? Then the rows that wait for it are to name tests."""
    word = feature.lower().replace("-", "")
    return any(re.match(rf"{word}(?!h)", path.stem) for path in (TOP / "src/qmail").rglob("*.py"))


def test_what_a_row_waits_for_is_not_built() -> None:
    waited = {cell.removeprefix(LATER) for cells in ROWS.values() for cell in cells if cell.startswith(LATER)}
    assert waited == OTHERS
    assert {feature for feature in waited if is_built(feature)} == set()
    assert is_built("SMTPCHUNKS"), "what is built is told from what is not"
