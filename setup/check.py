"""Compare an installation with the table of its pieces: `check.py HOME`.

Each fault is a line of its own that begins with the path. Exit code: 0 all is as it should be, 1 it is not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import manpages
from texts import DOCUMENTS


def faults(home: bytes) -> Iterator[bytes]:
    """Every fault of the installation in `home`."""
    from qmail.services.catalogue import programs
    from qmail.stores import installation

    names = (programs(), manpages.pages(), DOCUMENTS)
    files = list(installation.installed(*(map(os.fsencode, each) for each in names)))
    yield from installation.faults(home, [*installation.pieces(), *files])
    yield from installation.library_faults(home)
    yield from _interpreter(Path(os.fsdecode(home)))


def _interpreter(home: Path) -> Iterator[bytes]:
    """Every user of qmail runs the interpreter that the programs name."""
    try:
        first = (home / "bin/qmail-queue").read_text().partition("\n")[0]
    except OSError:
        return  # said already
    interpreter = Path(first.removeprefix("#!").split()[0])
    for path in (interpreter, *interpreter.parents):
        if not path.exists() or not path.stat().st_mode & 0o001:
            yield os.fsencode(f"{path}: other users cannot run {interpreter}; make setup PYTHON=/usr/bin/python3")


def main() -> int:
    """Print the faults."""
    home = os.fsencode(sys.argv[1]).rstrip(b"/") or b"/"
    found = list(faults(home))
    for fault in found:
        sys.stdout.buffer.write(fault.replace(b"\n", b" ") + b"\n")
    sys.stdout.buffer.flush()
    print(f"make check: {len(found)} faults" if found else f"make check: {os.fsdecode(home)} is as it should be")
    return 1 if found else 0


if __name__ == "__main__":
    from qmail.host.program import ended

    sys.exit(ended(b"check", main))
