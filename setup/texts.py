"""What an installation has to read: boot/, man/ and doc/."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
DOCUMENTS = {"INSTALL": TOP / "INSTALL", "README.md": TOP / "README.md"} | {
    path.name: path for path in sorted((TOP / "docs").glob("*.md"))
}

sys.path.insert(0, str(TOP / "src"))


def manual(module: str) -> str:
    """The text at the top of a program; of one that is composed in services/, that of the program itself."""
    from qmail.services import catalogue

    path = (TOP / "src").joinpath(*module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text())
    text = ast.get_docstring(tree) or ""
    if "Usage:" in text:
        return text
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("qmail.programs."):
            for name in node.names:
                if name.name.replace("_", "-") in catalogue.programs():
                    return manual(f"{node.module}.{name.name}")
    return text


def write(home: Path) -> int:
    """Write them all, and give every installed file its owner. Returns how many texts there are."""
    from qmail.formats import bootscript, manpage
    from qmail.services.catalogue import programs
    from qmail.stores.installation import installed, settle

    texts = {home / "boot" / os.fsdecode(name): text for name, text in bootscript.scripts(os.fsencode(home))}
    for name, module in programs().items():
        texts[home / "man/man8" / f"{name}.8"] = manpage.page(name.encode(), manual(module))
    for name, path in DOCUMENTS.items():
        texts[home / "doc" / name] = path.read_bytes()
    for path, text in texts.items():
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_bytes(text)
        os.replace(temporary, path)
    settle(os.fsencode(home), installed(map(os.fsencode, programs()), map(os.fsencode, DOCUMENTS)))
    return len(texts)
