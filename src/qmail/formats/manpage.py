"""A manual page in troff's man macros, from the text at the top of a program."""

from __future__ import annotations

SECTION = b"8"
SYNOPSIS = b"SYNOPSIS"
TITLES = {"Usage:": SYNOPSIS, "Runs as:": b"RUNS AS", "Faces:": b"FACES", "Exit codes:": b"EXIT CODES"}


def page(name: bytes, text: str) -> bytes:
    """The page of program `name` from its docstring: name and purpose, usage, then the words as they stand."""
    first, _, rest = text.strip().partition("\n")
    purpose = first.partition(": ")[2] or first
    lines = [b".TH " + name + b" " + SECTION + b' "" pyqmail']
    lines += [b".SH NAME", name + b" \\- " + _plain(purpose.rstrip("."))]
    section = b""
    for line in rest.strip("\n").split("\n"):
        begin = next((begin for begin in TITLES if line.startswith(begin)), "")
        title = TITLES.get(begin, b"")
        if line and not title and (not section or (section == SYNOPSIS and not line.startswith(" "))):
            title = b"DESCRIPTION"
        if title:
            lines += [b".fi"] * bool(section) + [b".SH " + title, b".nf"]
            section = title
        lines.append(_plain(line.removeprefix(begin).strip() if begin else line))
    return b"\n".join([*lines, b".fi"]) + b"\n"


def _plain(line: str) -> bytes:
    """One line that troff shows as it is."""
    shown = line.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return (("\\&" + shown) if shown.startswith((".", "\\(aq")) else shown).encode("ascii", "replace")
