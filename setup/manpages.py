"""The manual: `manpages.py` writes man/ and the index docs/reference/README.md, from the texts of the programs.

Every program's page is made from the text at its top, which `--help` prints too; the pages of file formats
are docs/reference/*.md. Section 1 is for what people run, 5 for files, 8 for what runs by itself, 7 for the rest.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
REFERENCE = TOP / "docs/reference"
FOR_PEOPLE = {"commands", "inject", "lists", "ucspi", "daemontools", "services"}  # folders of programs
ALSO_FOR_PEOPLE = {
    "maildirmake", "maildir2mbox", "maildirwatch",
    "maildirserial", "maildirsmtp", "maildirqmtp", "serialsmtp", "serialqmtp",
    "newaliases", "newinclude", "printforward", "printmaillist", "setforward", "setmaillist",
}  # fmt: skip
DAEMONS = {"multilog", "qmail-lmtpd", "rblsmtpd", "readproctitle", "supervise", "svscan", "svscanboot", "tcpserver"}

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
    for content in formats().values():
        name, at, _ = manpage.title(content)
        made[f"man{at}/{name}.{at}"] = manpage.page_from_markdown(content)
    return made


def formats() -> dict[str, str]:
    """The pages of what is no program, by the names of their files."""
    written = {path.name: path.read_text() for path in sorted(REFERENCE.glob("*.md")) if path.name != "README.md"}
    return dict(sorted((written | generated()).items()))


def generated() -> dict[str, str]:
    """Those that are made from tables."""
    import limits

    return {CONTROL: control(), LIMITS: limits.page(), OVERVIEW: overview()}


def overview() -> str:
    """The page that names everything, from the folders of the programs and the pages beside it."""
    from qmail.formats import manpage
    from qmail.services.catalogue import programs

    folders: dict[str, list[str]] = {}
    for name, module in sorted(programs().items()):
        path = source(module)
        line = f"- `{name}({section(name, path)})`: {manpage.Manual(text(path)).purpose}."
        folders.setdefault(path.parent.name, []).append(line)
    parts = [OVERVIEW_INTRODUCTION]
    for folder in (*FOLDERS, *sorted(folders.keys() - set(FOLDERS))):
        what = (
            "One command for people."
            if folder == "services"
            else text(TOP / "src/qmail/programs" / folder / "__init__.py")
        )
        parts.append("\n".join([f"## {what.rstrip('.')}", "", *folders[folder]]))
    written = [manpage.title(path.read_text()) for path in sorted(REFERENCE.glob("*.md")) if path.name != "README.md"]
    pages = [f"- `{name}({at})`: {purpose}." for name, at, purpose in written if (name, at) != ("qmail", 7)]
    return "\n\n".join([*parts, "\n".join(["## Files, protocols, and the rest", "", *sorted(pages)])]) + "\n"


def control() -> str:
    """The page of control files, from their table."""
    from qmail.formats import controlfile, controlkinds

    parts = [CONTROL_INTRODUCTION]
    for file in controlfile.TABLE:
        lines = [f"## {file.name.decode()}", file.about]
        if isinstance(file, controlkinds.Line):
            default = (file.default or b"none").decode()
            said = "the first line of me" if file.default is controlkinds.ME else default
            lines.append(f"One line. Default: {said}.")
        elif isinstance(file, controlkinds.Lines):
            lines.append("Any number of lines.")
        elif isinstance(file, controlkinds.Compiled):
            lines.append(f"Compiled from {file.source.decode()}.")
        lines.append("Read by " + ", ".join(each.decode() for each in file.used_by) + ".")
        parts.append("\n\n".join([lines[0], "\n".join(lines[1:])]))
    return "\n\n".join(parts) + "\n"


def index() -> str:
    """The text of docs/reference/README.md."""
    from qmail.formats import manpage
    from qmail.services.catalogue import programs

    rows: dict[int, list[str]] = {1: [], 5: [], 7: [], 8: []}
    for name, module in sorted(programs().items()):
        path = source(module)
        link = f"../../{path.relative_to(TOP)}"
        rows[section(name, path)].append(f"| [{name}]({link}) | {_cell(manpage.Manual(text(path)).purpose)} |")
    for file, content in formats().items():
        name, at, purpose = manpage.title(content)
        rows[at].append(f"| [{name}]({file}) | {_cell(purpose)} |")
    parts = ["# All programs and files", INTRODUCTION]
    for at, lines in rows.items():
        head = [f"## Section {at}: {SECTIONS[at]}", "", "| name | what it is |", "| --- | --- |"]
        parts.append("\n".join([*head, *sorted(lines)]))
    return "\n\n".join(parts) + "\n"


SECTIONS = {1: "what people run", 5: "files and protocols", 7: "about all of it", 8: "what runs by itself"}
CONTROL, LIMITS, OVERVIEW = "qmail-control.md", "qmail-limits.md", "qmail.md"
FOLDERS = (
    "inject",
    "receive",
    "queue",
    "deliver",
    "commands",
    "retrieve",
    "lists",
    "administer",
    "services",
    "ucspi",
    "daemontools",
)
OVERVIEW_INTRODUCTION = """\
# qmail(7): the whole system on one page

A mail server made of small programs, each with one task and, where it matters, a user of its own, joined by pipes,
sockets, environment variables, and a queue on disk. A message that was accepted once is delivered, or its sender told.

    network -> tcpserver -> qmail-smtpd --> qmail-queued -> queue/ -> qmail-send
     person -> qmail-inject ------------'

    qmail-send -> qmail-lspawn -> qmail-local  -> Maildir, mbox, program, forward
               -> qmail-rspawn -> qmail-remote -> other hosts

Who wants to control his own mail begins with dot-qmail(5); who runs a host, with qmail-control(5), qmail-setup(8),
qmail-doctor(8), qmail-qread(8) and the log, qmail-log(5); who writes a program that sends mail, with qmail-inject(1)
or sendmail(1); who knows qmail, with docs/differences.md. Every program tells its manual when it is given `--help`
alone.

This page is made by `make man` from the manuals themselves."""
CONTROL_INTRODUCTION = """\
# qmail-control(5): the files that say how this host does mail

They stand in QMAIL_HOME/control, one setting each. `qmail-showctl` shows all of them in words, with what holds where
they are missing. This page is made from the table in src/qmail/formats/controlfile.py by `make man`.

    echo 20000000 > /var/qmail/control/databytes

Blanks and tabs at the end of a line do not count. In files of many lines, empty ones and those that begin with `#` are
ignored; hosts are compared without regard to case. A file that is missing has a default; one that cannot be read stops
the program that asks, or makes it answer that it cannot work now: it never becomes the default. A file may have 64 MiB.

Servers read their files at the start of each session. qmail-send reads them when it starts, and locals and
virtualdomains again on HUP: after any other change it must be started again."""

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
    for name, made in generated().items():
        (REFERENCE / name).write_text(made)
    (REFERENCE / "README.md").write_text(index())
    return 0


if __name__ == "__main__":
    sys.exit(main())
