"""Every program has a page in the manual, the index names all of them, and troff has nothing to say against any."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import TOP

sys.path.insert(0, str(TOP / "setup"))

import manpages
from qmail.formats import bounce, cdb, tai64n, tcprules
from qmail.formats.controlfile import TABLE
from qmail.formats.manpage import Manual
from qmail.formats.netstring import Input
from qmail.protocols import qmtp
from qmail.rules import supervision
from qmail.services.catalogue import programs

PAGES = manpages.pages()


SYSTEM = {"syslog(3)", "flock(2)", "services(5)", "crypt(3)"}  # pages that others have written


def test_every_page_that_is_referred_to_exists() -> None:
    for page, made in manpages.generated().items():
        assert (TOP / "docs/reference" / page).read_text() == made, "make man writes it"
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


def letters_of(code: str) -> str:
    """The letters of all options that a program takes: second arguments of `options`, constants or sums of them."""
    tree = ast.parse(code)
    named = {
        each.targets[0].id: each.value
        for each in tree.body
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name)
    }

    def value(node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return value(named[node.id]) if node.id in named else ""
        if isinstance(node, ast.BinOp):
            return value(node.left) + value(node.right)
        return node.value.decode() if isinstance(node, ast.Constant) and isinstance(node.value, bytes) else ""

    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 2]
    return "".join(
        value(call.args[1]) for call in calls if isinstance(call.func, ast.Name) and call.func.id == "options"
    ).replace(":", "")


@pytest.mark.parametrize("name", sorted(programs()))
def test_a_manual_names_every_option_and_variable_that_its_program_reads(name: str) -> None:
    path = manpages.source(programs()[name])
    text, code = manpages.text(path), path.read_text().partition('\n"""\n')[2]
    assert [letter for letter in letters_of(code) if not re.search(rf"-\w*{letter}", text)] == []
    read = re.findall(r'environ(?:\.get\(|\[)b"([A-Z]+)"', code) + re.findall(r'variable\(environ, b"([A-Z]+)"', code)
    assert [variable for variable in read if variable not in text] == []


@pytest.mark.skipif(not shutil.which("groff"), reason="needs Debian's groff-base")
def test_troff_renders_every_page_without_a_warning(tmp_path: Path) -> None:
    for place, content in PAGES.items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(content)
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-ww", *PAGES], cwd=tmp_path, capture_output=True, check=True, timeout=120
    )
    assert done.stderr == b""
    assert done.stdout.replace(b"\b", b"").count(b"NNAAMMEE") >= len(PAGES)  # in bold: each letter twice


MAKERS = {"config", "config-fast"}  # of control files: they say what they make


def files_named(text: str) -> set[str]:
    """The control files that a manual's Files part names; of qmail-control(5) itself: all that the table gives it."""
    found = re.search(r"^Files: (.*?)(?=^[A-Z][a-z ]+:|\Z)", text, re.M | re.S)
    part = " ".join(found[1].split()) if found else ""
    names = {
        name for each in re.findall(r"control/: ([^;]*?)(?:;|\. |\.$|$)", part) for name in re.split(", | and ", each)
    }
    return names | set(re.findall(r"control/([a-z]+(?:\.cdb)?)", part))


@pytest.mark.parametrize("name", sorted(programs().keys() - MAKERS))
def test_a_manual_names_the_control_files_that_the_table_says_its_program_reads(name: str) -> None:
    table = {file.name.decode() for file in TABLE if name.encode() in file.used_by}
    named = files_named(manpages.text(manpages.source(programs()[name])))
    if "see qmail-control(5)" not in named:
        assert named & {file.name.decode() for file in TABLE} - {"me"} - {f"{each}.cdb" for each in named} == table - {
            "me"
        }


def test_the_table_of_control_files_names_programs_that_exist() -> None:
    assert {name.decode() for file in TABLE for name in file.used_by} <= {*programs(), "all programs"}


def block(page: str, beginning: str) -> str:
    """The indented block of a page that begins so."""
    lines = (TOP / "docs/reference" / page).read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("    " + beginning))
    found = []
    for line in lines[start:]:
        if line and not line.startswith("    "):
            break
        found.append(line[4:])
    return "\n".join(found).rstrip("\n") + "\n"


def test_the_packages_in_netstring_5_are_what_it_says() -> None:
    text = block("netstring.md", "10:").strip().replace("(LF)", "\n").encode()
    stream = iter([text])
    source = Input(lambda: next(stream, b""))
    assert b"".join(qmtp.lines(source, source.length())) == b"Hi there!"
    source.comma()
    assert qmtp.address(source) == b"joe@a.example"
    source.begin()
    assert source.text(99) == b"sue@b.example"
    source.finish()
    stream = iter([block("netstring.md", "46:").strip().encode()])
    source = Input(lambda: next(stream, b""))
    source.begin()
    assert [source.text(99) for _ in range(3)] == [b"Hi there!", b"joe@a.example", b"sue@b.example"]
    source.finish()


def test_the_rules_in_tcprules_5_do_what_it_says() -> None:
    lines = block("tcprules.md", "# mail").encode().splitlines()
    found = dict(reversed(list(tcprules.records(tcprules.rules(lines)))))
    assert tcprules.decide(found.get, b"10.3.2.1", None, None).variables == [b"RELAYCLIENT="]
    assert tcprules.decide(found.get, b"192.0.2.5", None, None).denied
    assert tcprules.decide(found.get, b"198.51.100.1", b"mx.example.org", None).key == b"=.example.org"
    assert tcprules.decide(found.get, b"2001:db8::7", None, None).key == b"[2001:db8::/32]"
    for address in re.findall(r"^    (\S+)  ", (TOP / "docs/reference/tcprules.md").read_text(), re.M):
        if not address.isdigit() and address != "(nothing)":
            assert next(tcprules.rules([address.encode() + b":allow"])).keys


def test_the_bounce_in_qsbmf_5_is_one_of_ours() -> None:
    shown = block("qsbmf.md", "Date:").encode()
    report = b"192.0.2.5 does not like recipient.\nRemote host said: 550 no such user\nGiving up on 192.0.2.5.\n"
    told = bounce.Bounce(b"joe@example.org", b"")
    head = told.head(b"19 Nov 1996 05:06:07 -0000", b"MAILER-DAEMON", b"silverton.example")
    whole = head + bounce.paragraph(b"sue@example.com", report) + told.middle() + b"Received: ...\n"
    assert shown == whole


def test_the_numbers_in_the_pages_of_formats_are_those_of_the_code() -> None:
    assert f"{tai64n.EPOCH:x}" in (TOP / "docs/reference/tai64n.md").read_text()
    orders = re.search(
        r"each byte is an order.*?svc\(1\)", (TOP / "docs/reference/service-directory.md").read_text(), re.S | re.I
    )
    assert orders is not None
    assert set(re.findall(r"`([a-z])`", orders[0])) == {byte.decode() for byte in supervision.COMMANDS}
    cdb_page = (TOP / "docs/reference/cdb.md").read_text()
    assert f"{cdb.HEADER} bytes" in cdb_page and str(cdb.hash_of(b"")) in cdb_page
