"""qmail: a command of one word or two is the program of that name; what is no command lists those that begin so."""

from __future__ import annotations

import pytest

from conftest import Run


@pytest.mark.parametrize(
    ("words", "listed", "hidden"), [([], b"queue check", b"qmail-queue "), (["queue"], b"queue repair", b"showctl")]
)
def test_the_commands_are_listed(program: Run, words: list[str], listed: bytes, hidden: bytes) -> None:
    for more in ([], ["--help"]):
        done = program("qmail", *words, *more)
        assert done.returncode == 0
        assert (listed in done.stdout, hidden in done.stdout) == (True, False) or not words


@pytest.mark.parametrize(
    ("words", "name"),
    [(["showctl"], b"qmail-showctl"), (["queue", "check"], b"qmail-queue-check"), (["dns"], b"qmail-dns-records")],
)
def test_the_manual_of_a_command_is_that_of_its_program(program: Run, words: list[str], name: bytes) -> None:
    done = program("qmail", *words, "--help")
    assert (done.returncode, done.stdout.partition(b":")[0]) == (0, name)
    assert done.stdout == program(name, "--help").stdout


@pytest.mark.parametrize("words", [["queue", "nothing"], ["nothing"], ["send"], ["queue-"]])
def test_what_is_no_command_is_said(program: Run, words: list[str]) -> None:
    done = program("qmail", *words)
    assert (done.returncode, done.stdout) == (100, b"")
    assert b"there is no command " + " ".join(words).encode() in done.stderr
