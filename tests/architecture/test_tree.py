"""The house keeps its rules: one launcher a program, no drawer modules, no module that grew too long."""

from __future__ import annotations

import ast
import subprocess
import sys
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


HEAVY = ("typing", "re", "enum", "base64", "hashlib", "json", "ssl")
MAY_BE_HEAVY = {  # one of each on a machine, for what these modules do; or run by a person
    "qmail-authd", "qmail-dns", "qmail-tlsd", "checkpassword", "checkpwfile", "qmail-password", "qmail-doctor",
    "qmail-setup", "qmail-unsetup", "qmail-takeover", "qmail-giveback", "qmail-queue-export", "qmail-queue-import",
    "qmail-dns-records", "ezmlm-make", "qmail", "qmail-tlsrpt",
}  # fmt: skip
LOADED = """
import importlib, os, sys
sys.path.insert(0, sys.argv[1])
heavy = sys.argv[2].split()
for name in sys.argv[3:]:
    if not os.fork():
        importlib.import_module(name)
        print(name, *(module for module in heavy if module in sys.modules), flush=True)
        os._exit(0)
    os.wait()
"""


def test_what_stays_or_runs_for_each_message_loads_little() -> None:
    """Each of these costs a resident process up to 1.7 MiB, and a short one up to 20 ms."""
    modules = {module for name, module in programs().items() if name not in MAY_BE_HEAVY}
    done = subprocess.run(
        [sys.executable, "-IS", "-c", LOADED, str(SOURCE.parent), " ".join(HEAVY), *sorted(modules)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines} == modules, done.stderr
    assert not [line for line in lines if " " in line]
