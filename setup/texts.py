"""What an installation has to read: boot/, man/ and doc/."""

from __future__ import annotations

import os
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
DOCUMENTS = {"INSTALL": TOP / "INSTALL", "README.md": TOP / "README.md"} | {
    path.name: path for path in sorted((TOP / "docs").glob("*.md"))
}

sys.path.insert(0, str(TOP / "src"))


def write(home: Path) -> int:
    """Write them all, and give every installed file its owner. Returns how many texts there are."""
    import manpages
    from qmail.formats import bootscript
    from qmail.services.catalogue import programs
    from qmail.stores.installation import installed, settle

    texts = {home / "boot" / os.fsdecode(name): text for name, text in bootscript.scripts(os.fsencode(home))}
    pages = manpages.pages()
    for place, page in pages.items():
        texts[home / "man" / place] = page
    for name, path in DOCUMENTS.items():
        texts[home / "doc" / name] = path.read_bytes()
    for path, text in texts.items():
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_bytes(text)
        os.replace(temporary, path)
    settle(os.fsencode(home), installed(*(map(os.fsencode, each) for each in (programs(), pages, DOCUMENTS))))
    return len(texts)
