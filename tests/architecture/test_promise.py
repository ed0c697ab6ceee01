"""docs/promise.md has the figures that proofs recorded, where they belong, and nothing else of it is touched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import TOP

sys.path.insert(0, str(TOP / "setup"))

import promise

LINES = [
    {"proof": "acceptance", "model": "strict", "workload": "one_by_one", "total": 100, "run": 50, "lost": 0},
    {"proof": "acceptance", "model": "strict", "workload": "one_by_one", "total": 12345, "run": 678, "lost": 0},
    {"proof": "acceptance", "model": "ext4", "workload": "one_by_one", "total": 7, "run": 6, "seconds": 1.24},
    {"proof": "soak", "seconds": 614, "accepted": 40049, "duplicates": {"no answer": 2092, "a process was killed": 0}},
]


def test_the_last_of_equal_lines_counts_and_every_figure_has_its_column() -> None:
    text = promise.figures(LINES, 0.0)
    assert "| strict | one by one | 12,345 | 678 | 0 |  |" in text
    assert "| ext4 | one by one | 7 | 6 |  | 1.2 |" in text
    assert "100" not in text
    assert "| 40,049 | no answer 2,092 | 614 |" in text
    assert text.startswith("Recorded until 1970-01-01")


def test_only_what_stands_between_the_marks_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, document = tmp_path / "figures", tmp_path / "promise.md"
    figures.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    document.write_text((TOP / "docs/promise.md").read_text())
    monkeypatch.setattr(promise, "DOCUMENT", document)
    monkeypatch.setattr(sys, "argv", ["promise.py", str(figures)])
    assert promise.main() == 0
    before, after = (TOP / "docs/promise.md").read_text(), document.read_text()
    marks = re.compile(re.escape(promise.BEGIN) + ".*" + re.escape(promise.END), re.DOTALL)
    assert marks.sub("", before) == marks.sub("", after) != after
    assert "40,049" in after
    assert promise.main() == 0
    assert document.read_text() == after


def test_without_figures_nothing_is_written() -> None:
    done = subprocess.run([sys.executable, TOP / "setup/promise.py", "/nowhere"], capture_output=True, check=False)
    assert (done.returncode, b"make prove" in done.stderr) == (1, True)


def test_every_proof_that_is_named_in_the_promise_exists() -> None:
    text = (TOP / "docs/promise.md").read_text()
    for name in re.findall(r"`((?:tests/\w+/)?test_\w+\.py|tests/[\w/]+)`", text):
        assert list(TOP.glob(name)) or list(TOP.glob(f"tests/crash/{name}")), name
