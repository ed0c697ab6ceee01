"""The recorded cases of qmail-local, played through qmail-lspawn's workers: results must be those of the program.

A case's user, home and extension become an assignment, its environment that of qmail-lspawn, its message a
file of the queue. What qmail-local would write to descriptors 1 and 2, and its exit code, are one report.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

MESSAGE = "queue/mess/6/1000000"
LETTERS = {0: "K", 100: "D", 111: "Z"}
# The case's own words stand on descriptor 1 or 2; a report has them in the order they were written.
Case = dict[str, Any]


def engine(shared: Path) -> ModuleType:
    """The player of recorded cases."""
    spec = importlib.util.spec_from_file_location("engine", shared / "vectors/qmail/engine.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["engine"] = module
    spec.loader.exec_module(module)
    return module


def through_lspawn(case: Case) -> Case | None:
    """The same case for qmail-lspawn; None where only a person runs qmail-local so (-n, usage)."""
    words = case["argv"][1:]
    if words[0] == "--":
        words = words[1:]
    if len(words) != 8 or not words[1].startswith("@T@/") or words[0].startswith("-"):
        return None
    user, home, local, dash, ext, host, sender, default = words
    uid = case["user"]
    files = [*case.get("files", []), {"path": MESSAGE, "text": case.get("stdin", ""), "owner": "qmailq"}]
    return {
        **case,
        "argv": ["qmail-lspawn", default],
        "user": "root",
        "stdin": f"\0006/1000000\0{sender}\0{local}@{host}\0",
        "users": {"assign": f"={local}:{user}:{uid}:{uid}:{home}:{dash}:{ext}:\n.\n"},
        "setup": [*case.get("setup", []), {"argv": ["qmail-newu"]}],
        "files": files,
    }


def as_report(expect: Case) -> Case:
    """What qmail-lspawn must say where qmail-local ends like this."""
    return {**expect, "exit": 0, "stderr": "", "stdout": (LETTERS[expect["exit"]], words(expect))}


def words(seen: Case) -> list[str]:
    """The lines of both descriptors, in no order."""
    return sorted((seen["stdout"] + seen["stderr"]).splitlines())


def folded(seen: Case) -> Case:
    """A result of qmail-lspawn, its one report taken apart."""
    begin, _, report = seen["stdout"].partition("\0")
    assert begin == "x" and report.endswith("\0"), seen
    return {**seen, "stdout": (report[:1], sorted(report[1:-1].splitlines()))}


def without_names(result: Any) -> Any:
    """A result in which fresh names in Maildirs, which differ from the reference's on purpose, are all the same."""
    if isinstance(result, dict):
        path = result.get("path")
        if isinstance(path, str) and "/new/" in path:
            return {**result, "path": os.path.dirname(path) + "/NAME"}
        return {key: without_names(value) for key, value in result.items()}
    return [without_names(each) for each in result] if isinstance(result, list) else result
