"""tcprules compiles or refuses, whole; tcprulescheck says what the server would do, and why."""

from __future__ import annotations

import os
import pty
from pathlib import Path

import pytest

from conftest import BIN, Run

CHAPTER = """\
192.168.1.2:deny
192.168.1.:allow,RELAYCLIENT=""
=www.example.com:allow,RELAYCLIENT=""
=:allow
:deny
"""


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ({"TCPREMOTEIP": "192.168.1.2"}, "rule 192.168.1.2:\ndeny connection\n"),
        (
            {"TCPREMOTEIP": "192.168.1.9"},
            "rule 192.168.1.:\nset environment variable RELAYCLIENT=\nallow connection\n",
        ),
        (
            {"TCPREMOTEIP": "1.2.3.4", "TCPREMOTEHOST": "www.example.com"},
            "rule =www.example.com:\nset environment variable RELAYCLIENT=\nallow connection\n",
        ),
        ({"TCPREMOTEIP": "1.2.3.4", "TCPREMOTEHOST": "x"}, "rule =:\nallow connection\n"),
        ({"TCPREMOTEIP": "1.2.3.4"}, "rule :\ndeny connection\n"),
    ],
)
def test_the_rules_of_the_chapter_do_what_it_says(program: Run, client: dict[str, str], said: str) -> None:
    done = program("tcprules", "r.cdb", "r.tmp", stdin=CHAPTER.encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = program("tcprulescheck", "r.cdb", env=client)
    assert (done.returncode, done.stdout.decode()) == (0, said)


def test_a_line_that_is_overruled_by_a_later_one_is_a_warning(program: Run) -> None:
    done = program("tcprules", "r.cdb", "r.tmp", stdin=b"1.2.3.:deny\n1.2.3.4:allow\n")
    assert done.returncode == 0
    assert done.stderr == (
        b"tcprules: warning: line 2, 1.2.3.4:allow, decides although line 1, 1.2.3.:deny, stands before it and "
        b"fits too: the most specific address wins, whatever the order\n"
    )
    assert b"allow" in program("tcprulescheck", "r.cdb", env={"TCPREMOTEIP": "1.2.3.4"}).stdout


def test_a_client_without_an_address_is_0_0_0_0(program: Run) -> None:
    program("tcprules", "r.cdb", "r.tmp", stdin=b"0.0.0.0:allow\n0.0.:deny\n:deny\n")
    assert program("tcprulescheck", "r.cdb", env={}).stdout == b"rule 0.0.0.0:\nallow connection\n"
    assert program("tcprulescheck", "r.cdb", env={"TCPREMOTEIP": ""}).stdout == b"rule :\ndeny connection\n"


def test_a_bad_line_leaves_the_rules_as_they_were(program: Run, tmp_path: Path) -> None:
    program("tcprules", "r.cdb", "r.tmp", stdin=b":deny\n")
    before = (tmp_path / "r.cdb").read_bytes()
    done = program("tcprules", "r.cdb", "r.tmp", stdin=b"1.:allow\n2.:permit\n")
    assert done.returncode == 100
    assert done.stderr == b"tcprules: fatal: unable to parse this line: 2.:permit\n"
    assert (tmp_path / "r.cdb").read_bytes() == before


def test_a_person_is_told_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("1.:allow\n2.:permit\n")
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(tmp_path)
        os.dup2(os.open("rules", os.O_RDONLY), 0)
        os.execv(BIN / "tcprules", ["tcprules", "r.cdb", "r.tmp"])
    said = b""
    try:
        while piece := os.read(terminal, 1000):
            said += piece
    except OSError:
        pass  # how a terminal ends
    os.close(terminal)
    os.waitpid(pid, 0)
    assert b"tcprules: line 2: expected allow or deny behind the colon" in said


@pytest.mark.parametrize(
    ("rules", "client", "why"),
    [
        ("1.2.:deny", {"TCPREMOTEIP": "1.2.3.4"}, "the rule for 1.2. decides: there is none for 1.2.3.4, 1.2.3."),
        ("1.2.3.4:deny", {"TCPREMOTEIP": "1.2.3.4"}, "the rule for 1.2.3.4 decides: nothing is looked up before it"),
        (
            ":deny",
            {"TCPREMOTEIP": "::1", "TCPREMOTEHOST": "a.b"},
            "the rule for the empty address decides: there is none for [::1], =a.b, =.b, =",
        ),
        (
            "[2001:db8::/32]:deny\n[2001:db8::/48]:deny",
            {"TCPREMOTEIP": "::1"},
            "no rule fits, and then tcpserver allows; there is none for [::1], [::/48], [::/32], the empty address",
        ),
    ],
)
def test_v_says_in_words_which_rule_decided(program: Run, rules: str, client: dict[str, str], why: str) -> None:
    program("tcprules", "r.cdb", "r.tmp", stdin=rules.encode())
    assert program("tcprulescheck", "-v", "r.cdb", env=client).stdout.decode().splitlines()[-1] == why


def test_no_input_is_no_rules(program: Run) -> None:
    assert program("tcprules", "r.cdb", "r.tmp").returncode == 0
    assert program("tcprulescheck", "r.cdb").stdout == b"default:\nallow connection\n"
