"""Every program has a page in the manual, the index names all of them, and troff has nothing to say against any."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from conftest import TOP

sys.path.insert(0, str(TOP / "setup"))

import manpages
from qmail.formats.manpage import Manual
from qmail.services.catalogue import programs

PAGES = manpages.pages()


SYSTEM = {"syslog(3)", "flock(2)", "services(5)", "crypt(3)"}  # pages that others have written


def test_every_page_that_is_referred_to_exists() -> None:
    assert (TOP / "docs/reference" / manpages.CONTROL).read_text() == manpages.control(), "make man writes it"
    there = {f"{place.split('/')[1][:-2]}({place[-1]})" for place in PAGES} | SYSTEM
    texts = {name: manpages.text(manpages.source(module)) for name, module in programs().items()}
    for name, text in (texts | manpages.formats()).items():
        assert set(re.findall(r"\b[a-z][a-z0-9-]+\([1-8]\)", text)) <= there, name
        for link in re.findall(r"\]\(([^)]+)\)", text):
            assert (TOP / "docs/reference" / link).exists(), f"{name}: {link}"


def test_the_index_names_every_program_and_every_file() -> None:
    text = (TOP / "docs/reference/README.md").read_text()
    assert text == manpages.index(), "make man writes it"
    assert sorted(re.findall(r"^\| \[([^]]+)\]", text, re.M)) == sorted(place.split("/")[1][:-2] for place in PAGES)
    assert {place.split("/")[1][:-2] for place in PAGES} >= set(programs())


@pytest.mark.parametrize("name", sorted(programs()))
def test_a_manual_has_all_its_parts(name: str) -> None:
    text = manpages.text(manpages.source(programs()[name]))
    manual = Manual(text)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 110, "a terminal is no wider"
    assert manual.usage and any(manual.how)
    assert {"Runs as", "Exit codes"} <= manual.exact.keys()
    for title, lines in manual.exact.items():
        assert any(lines), title


@pytest.mark.parametrize("name", sorted(programs()))
def test_a_manual_names_every_option_and_variable_that_its_program_reads(name: str) -> None:
    path = manpages.source(programs()[name])
    text, code = manpages.text(path), path.read_text().partition('\n"""\n')[2]
    letters = "".join(re.findall(r'options\([^,]+, b"([^"]+)"', code)).replace(":", "")
    assert [letter for letter in letters if not re.search(rf"-\w*{letter}", text)] == []
    read = re.findall(r'environ(?:\.get\(|\[)b"([A-Z]+)"', code) + re.findall(r'variable\(environ, b"([A-Z]+)"', code)
    assert [variable for variable in read if variable not in text] == []


@pytest.mark.skipif(not shutil.which("groff"), reason="needs Debian's groff-base")
@pytest.mark.parametrize("place", PAGES)
def test_troff_renders_a_page_without_a_warning(place: str) -> None:
    done = subprocess.run(["groff", "-man", "-Tascii", "-ww"], input=PAGES[place], capture_output=True, check=True)
    assert done.stderr == b""
    assert done.stdout
