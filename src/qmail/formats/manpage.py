"""Manual pages in troff's man macros, from the text at the top of a program or from a page in Markdown.

The text of a program is made for a terminal, and has three parts whose headings are fixed:

    NAME: what it is, in a few words
    (blank line)
    more of what it is
    Usage: NAME [OPTION...] ARGUMENT
    how to use it
    Behaviour: (which may be left out)
    and after it, in any order: Environment: Files: Signals: Runs as: Faces: Exit codes: See also:

Indented lines are shown as they stand. Of Markdown there are `#` headings, paragraphs, lists with `-`,
indented blocks, `code` and [links](TARGET), of which the words stay.
"""

from __future__ import annotations

import re

EXACT = ("Behaviour", "Environment", "Files", "Signals", "Runs as", "Faces", "Exit codes", "See also")
_HEADING = re.compile(rf"(Usage|{'|'.join(EXACT)}):(?: +|$)(.*)")
_CODE = re.compile(r"(?:\d+(?: to \d+)?(?:, \d+(?: to \d+)?)*|else)\b")
_SPECIAL = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga"}


class Manual:
    """What one text says: `purpose` is its first line without the name; the others are lines."""

    __slots__ = ("exact", "how", "purpose", "usage", "what")

    def __init__(self, text: str) -> None:
        first, _, rest = text.strip().partition("\n")
        self.purpose = (first.partition(": ")[2] or first).rstrip(".")
        self.usage: list[str] = []
        self.what: list[str] = []
        self.how: list[str] = []
        self.exact: dict[str, list[str]] = {}
        current = self.what
        for line in rest.split("\n"):
            found = _HEADING.match(line)
            if found and found[1] == "Usage":
                current = self.usage
            elif found:
                current = self.exact.setdefault(found[1], [])
            elif current is self.usage and not line.startswith(" "):
                current = self.how
            if not found:
                current.append(line)
            elif found[2]:
                current.append(found[2])


def page(name: str, section: int, text: str) -> bytes:
    """The page of a program from its text."""
    manual = Manual(text)
    lines = [*_head(name, section, manual.purpose), ".SH SYNOPSIS", *_as_is(manual.usage)]
    lines += [".SH WHAT IT IS", *_body([manual.purpose[:1].upper() + manual.purpose[1:] + ".", *manual.what])]
    lines += [".SH HOW TO USE IT", *_body(manual.how)] if any(manual.how) else []
    lines += [".SH EXACT BEHAVIOUR", *_body(manual.exact.get("Behaviour", []))]
    for title in EXACT[1:]:
        if title in manual.exact:
            part = manual.exact[title]
            lines += [f".SS {title}", *(_codes(part) if title == "Exit codes" else _body(part))]
    return _bytes(lines)


def page_from_markdown(text: str) -> bytes:
    """The page of something that is no program; the text is a `title` and what it says."""
    name, section, purpose = title(text)
    lines = _head(name, section, purpose)
    rest = text.strip().partition("\n")[2]
    block: list[str] = []
    for line in [*rest.split("\n"), "## "]:
        if not line.startswith("#"):
            block.append(re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", line))
            continue
        if any(block):
            lines += ([] if any(each.startswith(".SH") for each in lines[2:]) else [".SH DESCRIPTION"]) + _body(block)
        words = line.lstrip("#").strip()
        if words:
            lines.append((".SS " if line.startswith("###") else ".SH ") + _inline(words))
        block = []
    return _bytes(lines)


def title(text: str) -> tuple[str, int, str]:
    """Name, section and purpose from the first line, `# NAME(SECTION): PURPOSE`."""
    found = re.match(r"# ([\w@-]+)\((\d)\): (.+)", text.strip())
    return (found[1], int(found[2]), found[3]) if found else ("untitled", 7, "a text without a title")


def _head(name: str, section: int, purpose: str) -> list[str]:
    return [f'.TH "{name}" "{section}" "" "pyqmail" "pyqmail"', ".SH NAME", f"{_plain(name)} \\- {_inline(purpose)}"]


def _body(lines: list[str]) -> list[str]:
    """Paragraphs, lists and blocks that are shown as they stand."""
    out: list[str] = []
    for block in "\n".join(lines).strip("\n").split("\n\n"):
        part: list[str] = []
        for line in [each for each in block.split("\n") if each.strip()]:
            if part and (line.startswith("- ") or line.startswith("   ") != part[0].startswith("   ")):
                out += _part(part)
                part = []
            part.append(line)
        out += _part(part)
    return out


def _part(lines: list[str]) -> list[str]:
    # One paragraph, item of a list, or block.
    if not lines:
        return []
    if lines[0].startswith("   "):
        return [".PP", *_as_is(lines)]
    item = lines[0].startswith("- ")
    text = "\n".join([lines[0][2:] if item else lines[0], *(line.strip() for line in lines[1:])])
    return [".IP \\(bu 2" if item else ".PP", *map(_guard, _inline(text).split("\n"))]


def _as_is(lines: list[str]) -> list[str]:
    return [".nf", *(_guard(_plain(line)) for line in lines), ".fi"]


def _codes(lines: list[str]) -> list[str]:
    """Codes with `;` between them, each with its meaning; or words."""
    pieces: list[str] = []
    for piece in " ".join(line.strip() for line in lines if line.strip()).rstrip(".").split("; "):
        if _CODE.match(piece) or not pieces:
            pieces.append(piece)
        else:
            pieces[-1] += "; " + piece
    out = []
    for piece in pieces:
        found = _CODE.match(piece)
        if found is None or found[0] == "else":
            out += [".PP", _inline(piece[:1].upper() + piece[1:] + ".")]
        else:
            out += [".TP", f".B {found[0]}", _inline(piece[found.end() :].strip(" ,:") or "success")]
    return out


def _inline(text: str) -> str:
    """A line of running text; what stands between backquotes is bold."""
    parts = re.split(r"`([^`]+)`", text)
    return _guard("".join(_plain(part) if at % 2 == 0 else f"\\fB{_plain(part)}\\fR" for at, part in enumerate(parts)))


def _plain(text: str) -> str:
    """Text that troff shows as it is."""
    return "".join(_SPECIAL.get(char, char) for char in text)


def _guard(line: str) -> str:
    """A line that troff does not take for a request."""
    return "\\&" + line if line.startswith(".") else line


def _bytes(lines: list[str]) -> bytes:
    return "\n".join(lines).encode("ascii", "replace") + b"\n"
