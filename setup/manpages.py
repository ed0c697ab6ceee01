"""The manual: `manpages.py` writes man/ and the index docs/reference/README.md, from the texts of the programs.

Every program's page is made from the text at its top, which `--help` prints too; the pages of file formats
are docs/reference/*.md. Section 1 is for what people run, 5 for files, 8 for what runs by itself.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
REFERENCE = TOP / "docs/reference"
FOR_PEOPLE = {"commands", "inject", "ucspi", "daemontools", "services"}  # folders of programs
ALSO_FOR_PEOPLE = {"maildirmake", "maildir2mbox"}
DAEMONS = {"multilog", "rblsmtpd", "readproctitle", "supervise", "svscan", "svscanboot", "tcpserver"}

sys.path.insert(0, str(TOP / "src"))


def source(module: str) -> Path:
    """The file whose text is the manual. A program that services/ composes says `__doc__ = PROGRAM.__doc__`."""
    path = (TOP / "src").joinpath(*module.split(".")).with_suffix(".py")
    found = re.search(r"^__doc__ = (\w+)\.__doc__", path.read_text(), re.M)
    if found is None:
        return path
    return next((TOP / "src/qmail/programs").rglob(f"{found[1]}.py"))


def text(path: Path) -> str:
    """The manual in a program's file."""
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def section(name: str, path: Path) -> int:
    """The section of a program."""
    return 1 if name in ALSO_FOR_PEOPLE or (path.parent.name in FOR_PEOPLE and name not in DAEMONS) else 8


def pages() -> dict[str, bytes]:
    """Every page, by its place below man/: `man8/qmail-send.8`."""
    from qmail.formats import manpage
    from qmail.services.catalogue import programs

    made = {}
    for name, module in programs().items():
        path = source(module)
        at = section(name, path)
        made[f"man{at}/{name}.{at}"] = manpage.page(name, at, text(path))
    for path in formats():
        made[f"man5/{path.stem}.5"] = manpage.page_from_markdown(path.stem, 5, path.read_text())
    return made


def formats() -> list[Path]:
    """The pages of file formats."""
    return sorted(path for path in REFERENCE.glob("*.md") if path.name != "README.md")


def index() -> str:
    """The text of docs/reference/README.md."""
    from qmail.formats import manpage
    from qmail.services.catalogue import programs

    rows: dict[int, list[str]] = {1: [], 8: []}
    for name, module in sorted(programs().items()):
        path = source(module)
        link = f"../../{path.relative_to(TOP)}"
        rows[section(name, path)].append(f"| [{name}]({link}) | {_cell(manpage.Manual(text(path)).purpose)} |")
    files = []
    for path in formats():
        purpose = path.read_text().partition("\n")[0].partition(": ")[2]
        files.append(f"| [{path.stem}]({path.name}) | {_cell(purpose)} |")
    parts = ["# All programs and files", INTRODUCTION]
    for title, lines in (("1: what people run", rows[1]), ("5: files", files), ("8: what runs by itself", rows[8])):
        parts.append("\n".join([f"## Section {title}", "", "| name | what it is |", "| --- | --- |", *lines]))
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
A program's manual is the text at its top: `NAME --help` prints it, `make man` makes a page of it in ./man
(`man -M man NAME`), and `make setup` one in QMAIL_HOME/man. Each says what the program is, how to use it, and
how exactly it behaves. This index is written by `make man`."""


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def main() -> int:
    """Write all pages and the index."""
    for place, content in pages().items():
        path = TOP / "man" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    REFERENCE.mkdir(exist_ok=True)
    (REFERENCE / "README.md").write_text(index())
    return 0


if __name__ == "__main__":
    sys.exit(main())
