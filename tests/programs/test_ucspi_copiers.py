"""recordio, fixcrio, addcr and delcr pass bytes on, and change or show what they are told to."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from conftest import BIN, Run

PATIENCE = 10.0


def shown(program: Run, *words: str, stdin: bytes = b"") -> list[str]:
    """The lines of recordio, the process ids as P, the two directions apart."""
    done = program("recordio", *words, stdin=stdin)
    lines = [re.sub(r"^\d+", "P", line) for line in done.stderr.decode().splitlines()]
    return sorted(lines, key=lambda line: line[2:3])


def test_recordio_shows_both_directions_and_changes_nothing(program: Run) -> None:
    assert shown(program, "sh", "-c", "read a; printf out; cat >/dev/null; echo", stdin=b"one\ntwo") == [
        *("P < one ", "P < two+", "P < [EOF]"),
        *("P > out+", "P >  ", "P > [EOF]"),
    ]
    done = program("recordio", "cat", stdin=b"a\r\nb\0c")
    assert done.stdout == b"a\r\nb\0c"


def test_recordio_cuts_what_is_longer_than_256_bytes(program: Run) -> None:
    lines = shown(program, "cat", stdin=b"ab\n" + b"c" * 300 + b"\n")
    half = ["ab ", "c" * 253 + "+", "c" * 47 + " ", "[EOF]"]
    assert lines == [f"P < {text}" for text in half] + [f"P > {text}" for text in half]


def test_the_program_keeps_its_process_and_exit_code(program: Run) -> None:
    for name in ("recordio", "fixcrio"):
        done = program(name, "sh", "-c", "echo $$ $PPID; exit 7")
        assert done.returncode == 7
        assert int(done.stdout.split()[1]) == os.getpid()


def test_the_copier_ends_with_the_output_of_the_program(tmp_path: Path) -> None:
    for name in ("recordio", "fixcrio"):
        reader, writer = os.pipe()
        begun = time.monotonic()
        with subprocess.Popen([BIN / name, "sh", "-c", "echo out"], stdin=reader, stdout=-1, stderr=-1) as process:
            out, _ = process.communicate(timeout=PATIENCE)  # to the end of the copier's output
        os.close(reader)
        os.close(writer)
        assert out.strip() == b"out"
        assert time.monotonic() - begun < PATIENCE


def test_a_megabyte_passes_both_ways(program: Run) -> None:
    data = b"0123456789abcde\n" * 65536
    assert program("recordio", "cat", stdin=data).stdout == data
    assert program("fixcrio", "cat", stdin=data).stdout == data.replace(b"\n", b"\r\n")


def test_fixcrio_completes_line_ends_in_both_directions(program: Run) -> None:
    done = program("fixcrio", "sh", "-c", "cat; echo bye", stdin=b"\nhi\r\nthere\r\r\n")
    assert done.stdout == b"\r\nhi\r\nthere\r\r\nbye\r\n"


@pytest.mark.parametrize("name", ["addcr", "delcr"])
def test_a_full_disk_is_temporary_and_silent(name: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BIN / name], input=b"a\n", stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (111, b"")


def test_argv0_gives_another_name(program: Run) -> None:
    assert program("argv0", "sh", "zero", "-c", "echo $0").stdout == b"zero\n"
    assert program("argv0", "/no/such", "x").returncode == 111
    assert program("argv0", "sh").returncode == 100
