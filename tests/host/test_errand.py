"""Work in a child: its result, its failures, and what it must not hold."""

from __future__ import annotations

import os

from qmail.host.errand import LONGEST, Errand


def test_the_result_comes_back() -> None:
    errand = Errand(lambda: b"done by %d" % os.getpid())
    text = errand.result()
    assert text is not None and text.startswith(b"done by ")
    assert int(text.split()[-1]) != os.getpid()


def test_work_that_fails_has_no_result() -> None:
    def work() -> bytes:
        raise RuntimeError("no")

    assert Errand(work).result() is None


def test_too_long_a_result_is_none() -> None:
    assert Errand(lambda: b"x" * (LONGEST + 1)).result() is None


def test_the_child_holds_no_descriptor_of_ours() -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    errand = Errand(lambda: b" ".join(sorted(os.listdir(b"/proc/self/fd"))) + b" " + os.readlink(b"/proc/self/fd/1"))
    text = errand.result()
    os.close(writer)
    assert os.read(reader, 1) == b"", "nobody else has it"
    os.close(reader)
    assert text is not None
    *held, output = text.split()
    # 4 is the directory that is being listed.
    assert set(held) <= {b"0", b"1", b"2", b"3", b"4"}
    assert output == b"/dev/null"


def test_nothing_is_left_open_or_unwaited_for() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        Errand(lambda: b"").result()
    assert len(os.listdir("/proc/self/fd")) == before
