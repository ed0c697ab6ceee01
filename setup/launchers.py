"""Write a launcher for every program: `launchers.py BIN LIB INTERPRETER SITE`.

A launcher is a script of five lines: the interpreter, isolated from the user's environment and
without site-packages, finds our library and runs one `main`. SITE holds the libraries of others
and comes last.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

TEMPLATE = """#!{interpreter} -IS
# pyqmail {name}
import sys
sys.path.insert(0, {lib!r})
sys.path.append({site!r})
from {module} import main
from qmail.host.program import run
run(main)
"""


def write(directory: Path, lib: str, interpreter: str, site: str) -> int:
    """Fill `directory`; each launcher appears whole or not at all. Returns how many."""
    sys.path.insert(0, lib)
    from qmail.services.catalogue import programs

    directory.mkdir(parents=True, exist_ok=True)
    for name, module in programs().items():
        text = TEMPLATE.format(interpreter=interpreter, name=name, lib=lib, site=site, module=module)
        path = directory / name
        if not path.is_symlink() and path.exists() and path.read_text() == text and path.stat().st_mode & 0o111:
            continue
        temporary = directory / f".{name}.new"
        temporary.write_text(text)
        temporary.chmod(0o755)
        os.replace(temporary, path)
    return len(programs())


if __name__ == "__main__":
    print(f"{write(Path(sys.argv[1]), *sys.argv[2:5])} programs in {sys.argv[1]}")
