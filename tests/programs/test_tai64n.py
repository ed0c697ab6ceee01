"""tai64n and tai64nlocal."""

from __future__ import annotations

import subprocess
import time

import pytest

from conftest import BIN, Run
from qmail.formats import tai64n
from servicing import ORIGINALS

STAMP = b"@4000000037c219bf2ef02e94"


def test_every_line_gets_the_time_at_which_it_came(program: Run) -> None:
    before = time.time_ns()
    done = program("tai64n", stdin=b"one\n\nno end")
    lines = done.stdout.split(b"\n")
    assert [line[25:] for line in lines] == [b" one", b" ", b" no end"]
    moments = [seconds * 1_000_000_000 + rest for seconds, rest in filter(None, map(tai64n.leading, lines))]
    assert len(moments) == 3
    assert before <= moments[0] <= moments[1] <= moments[2] <= time.time_ns()


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "XXX-5:30", ""])
@pytest.mark.parametrize(
    "text",
    [
        b"", b"x", b"x\n", STAMP + b" x\n", b" " + STAMP + b" x\n", STAMP + b"\n" + STAMP + b" y\n", STAMP,
        STAMP + b" ", b"@4000000037c219", STAMP + STAMP + b"\n", b"@400000ffffffffff3b9ac9ff x\n",
        b"@3fffffff00000000000000ff x\n", STAMP + b"\xe9\0\n", b"\n\n",
    ],
)  # fmt: skip
def test_stamps_become_local_time_as_in_the_original(text: bytes, zone: str) -> None:
    theirs, ours = (
        subprocess.run([directory / "tai64nlocal"], input=text, capture_output=True, env={"TZ": zone}, check=True)
        for directory in (ORIGINALS, BIN)
    )
    assert ours.stdout == theirs.stdout


@pytest.mark.parametrize(
    "text", [b"@\n", b"@xyz\n", b"@4000000037C219BF2EF02E94 x\n", b"@@" + STAMP, b"@" + b"f" * 24 + b" x\n"]
)
def test_what_is_no_stamp_passes_unchanged(program: Run, text: bytes) -> None:
    done = program("tai64nlocal", stdin=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, text, b"")


@pytest.mark.parametrize("name", ["tai64n", "tai64nlocal"])
def test_what_comes_in_pieces_goes_on_in_pieces(name: str) -> None:
    process = subprocess.Popen(
        [BIN / name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env={"TZ": "UTC"}
    )
    assert process.stdin is not None
    assert process.stdout is not None
    seen = b""
    for piece, wanted in ((b"par", b"par"), (b"t\n@400000003", b"part\n"), (b"7c219bf2ef02e94 y", b" y")):
        process.stdin.write(piece)
        while wanted not in seen:
            seen += process.stdout.read(100)
    if name == "tai64nlocal":
        assert seen == b"part\n1999-08-24 04:04:05.787492500 y"
    process.stdin.close()
    assert process.wait(10) == 0


@pytest.mark.parametrize("name", ["tai64n", "tai64nlocal"])
def test_output_that_cannot_be_written_is_111(name: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BIN / name], input=b"x\n", stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (111, b"")
