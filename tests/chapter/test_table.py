"""Every row of the table is there once, and every test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import TOP

TESTS = TOP / "tests"
ROW = re.compile(r"^\| ([SE]\d+) \| (.+?) \| (.+) \|$", re.M)
ROWS = ROW.findall(Path(__file__).with_name("table.md").read_text())


def exists(name: str) -> bool:
    """Is `FILE::TEST`, or `FILE::*`, there?"""
    file, _, test = name.partition("::")
    path = TESTS / file
    if not path.exists():
        return False
    return test == "*" or re.search(rf"^def {re.escape(test)}\(", path.read_text(), re.M) is not None


def test_every_row_is_there_once() -> None:
    assert [row for row, _, _ in ROWS] == [f"S{n}" for n in range(1, 170)] + [f"E{n}" for n in range(1, 33)]


def test_every_row_names_tests_that_exist_or_a_reason() -> None:
    wrong = []
    for row, _, shown in ROWS:
        if shown.startswith("not applicable: "):
            continue
        wrong += [f"{row}: {name}" for name in shown.split(", ") if not exists(name)]
    assert wrong == []


def test_few_rows_have_only_a_reason() -> None:
    assert sum(shown.startswith("not applicable: ") for _, _, shown in ROWS) <= 20
