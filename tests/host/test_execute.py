"""Programs start with the descriptors, the environment and the signals that they expect."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qmail.host import execute


@pytest.fixture(params=["at once", "by a copy of ourselves"])
def directory(request: pytest.FixtureRequest) -> bytes | None:
    """The two ways: a program that is to have another working directory needs the second."""
    return None if request.param == "at once" else b"/"


def end(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_descriptors_may_change_places(directory: bytes | None) -> None:
    one, two = os.pipe(), os.pipe()
    os.write(one[1], b"in")
    os.close(one[1])
    script = b"for i in 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$i ] || echo $i >&0; done; exec 5<&1 6>&0; cat <&5 >&6"
    # The reader becomes 1 and the writer 0, whatever they are called here, and nothing else is handed on.
    assert (
        end(
            execute.spawn(
                [b"/bin/sh", b"-c", script], {b"PATH": b"/bin:/usr/bin"}, {1: one[0], 0: two[1]}, directory=directory
            )
        )
        == 0
    )
    os.close(two[1])
    assert os.read(two[0], 100) == b"in"
    os.close(one[0])
    os.close(two[0])


def test_the_environment_is_the_one_given_and_signals_are_at_their_defaults(directory: bytes | None) -> None:
    reader, writer = os.pipe()
    script = [b"/bin/sh", b"-c", b'echo "$A${HOME-none}"; grep SigIgn /proc/$$/status']
    assert end(execute.spawn(script, {b"A": b"\xff", b"PATH": b"/bin:/usr/bin"}, {1: writer}, directory=directory)) == 0
    os.close(writer)
    words = os.read(reader, 1000).split()
    os.close(reader)
    assert words[0] == b"\xffnone"
    assert int(words[2], 16) & (1 << 12 | 1 << 24) == 0, "PIPE and XFSZ are not ignored"


def test_what_cannot_be_run_exits_as_asked(tmp_path: Path, directory: bytes | None) -> None:
    text = tmp_path / "text"
    text.write_text("no program\n")
    for path in (text, tmp_path / "none"):
        name = os.fsencode(path)
        assert end(execute.spawn([name], {}, {}, directory=directory)) == 100
        assert end(execute.spawn([name], {}, {}, directory=directory, unable=120)) == 120
