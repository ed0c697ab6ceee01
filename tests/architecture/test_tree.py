"""The house keeps its rules: one launcher a program, no drawer modules, no module that grew too long."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from conftest import BIN, TOP

SOURCE = TOP / "src" / "qmail"
MODULES = sorted(SOURCE.rglob("*.py"))
DRAWERS = {"util", "utils", "common", "misc", "helpers", "base", "core", "types", "constants", "manager"}
DURABLE = {"link", "rename", "replace", "unlink", "fsync", "fdatasync", "remove"}


def test_no_module_is_a_drawer() -> None:
    assert not [path for path in MODULES if path.stem in DRAWERS]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_says_what_it_is_and_stays_readable(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "every module begins with what it is"
    assert text.count("\n") <= 320, "about 300 lines are enough for one thing"


def programs() -> dict[str, str]:
    from qmail.services.catalogue import programs

    return programs()


@pytest.mark.parametrize(("name", "module"), sorted(programs().items()))
def test_every_program_has_a_launcher_and_explains_itself(name: str, module: str, program: object) -> None:
    text = (BIN / name).read_text()
    assert f"from {module} import main" in text
    done = program(name, "--help")  # type: ignore[operator]
    assert done.returncode == 0
    assert b"Usage:" in done.stdout
    assert b"Exit codes:" in done.stdout


def test_durable_changes_stand_in_one_module() -> None:
    """Queue and mailbox names change only through host/durable.py."""
    guilty = []
    for path in MODULES:
        if path.name == "durable.py" or ("stores" not in path.parts and "queue" not in path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in DURABLE
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "os"
            ):
                guilty.append(f"{path.relative_to(SOURCE)}:{node.lineno} os.{node.func.attr}")
    assert not guilty


def test_nothing_is_setuid_or_setgid() -> None:
    assert not [path for path in BIN.iterdir() if path.stat().st_mode & 0o6000]
