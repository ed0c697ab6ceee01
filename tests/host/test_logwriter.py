"""A log that never holds up its writer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qmail.host import logwriter
from qmail.host.logwriter import LogWriter


def test_a_file_gets_all_lines_in_one_write(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    log = LogWriter(descriptor)
    log.lines += [b"one\n", b"two\n"]
    assert log.waiting
    assert log.flush()
    assert not log.waiting
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    os.close(descriptor)


def test_a_full_pipe_is_left_alone_and_nothing_is_lost() -> None:
    reader, writer = os.pipe()
    log = LogWriter(writer)
    lines = [b"line %d\n" % number for number in range(50_000)]
    log.lines += lines
    assert not log.flush()
    assert os.get_blocking(writer), "others may share the flags"
    got = b""
    while not log.flush():
        got += os.read(reader, 65536)
    os.close(writer)
    while chunk := os.read(reader, 65536):
        got += chunk
    os.close(reader)
    assert got == b"".join(lines)


def test_beyond_the_limit_lines_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logwriter, "LIMIT", 100_000)
    reader, writer = os.pipe()
    log = LogWriter(writer)
    for _ in range(30):
        log.lines += [b"x" * 99 + b"\n"] * 100
        log.flush()
    assert log.waiting
    got = b""
    while log.waiting:
        log.flush()
        got += os.read(reader, 1 << 20)
    os.close(writer)
    os.close(reader)
    kept = got.count(b"x\n")
    assert got.endswith(b"alert: log was blocked: %d lines lost\n" % (3000 - kept))
    assert 0 < kept < 3000


def test_a_pipe_that_nobody_reads_takes_everything_in_silence() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = LogWriter(writer)
    log.lines.append(b"line\n")
    assert log.flush()
    os.close(writer)
