"""What was seen of a stream and what was taken from it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmail.host.sources import Peeked, Taken, source


class Pipe:
    """A pipe with a source at its end, and an alarm."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.bell, self.ring = os.pipe()
        made = source(self.reader, self.bell)
        assert isinstance(made, Peeked)
        self.source = made

    def close(self) -> None:
        for descriptor in (self.reader, self.writer, self.bell, self.ring):
            try:
                os.close(descriptor)
            except OSError:
                pass  # closed by the test


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_what_was_read_stays_in_the_pipe_until_it_may_go(pipe: Pipe) -> None:
    os.write(pipe.writer, b"one\ntw")
    assert not pipe.source.wait()
    assert pipe.source.read(100) == b"one\ntw"
    pipe.source.keep(2)
    assert pipe.source.read(100) is None
    os.write(pipe.writer, b"o\n")
    assert not pipe.source.wait()
    assert pipe.source.read(100) == b"o\n"
    assert os.read(pipe.reader, 100) == b"two\n"


def test_the_end_comes_when_the_last_writer_has_gone(pipe: Pipe) -> None:
    os.write(pipe.writer, b"half")
    pipe.source.wait()
    assert pipe.source.read(100) == b"half"
    pipe.source.keep(4)
    os.close(pipe.writer)
    seen: bytes | None = None
    while seen is None:
        pipe.source.wait()
        seen = pipe.source.read(100)
    assert seen == b""


def test_no_more_than_wanted_is_read(pipe: Pipe) -> None:
    os.write(pipe.writer, b"abcdef")
    pipe.source.wait()
    assert [pipe.source.read(1), pipe.source.read(2), pipe.source.read(10)] == [b"a", b"bc", b"def"]
    pipe.source.keep(0)
    assert pipe.source.read(10) is None


def test_an_alarm_ends_waiting(pipe: Pipe) -> None:
    os.write(pipe.ring, b"!")
    assert pipe.source.wait()
    assert pipe.source.read(10) is None


def test_a_long_write_goes_through_although_the_start_of_a_line_is_kept(pipe: Pipe) -> None:
    text = b"".join(b"%06d %b\n" % (number, b"x" * (number % 300)) for number in range(5000))
    writer = threading.Thread(target=lambda: [os.write(pipe.writer, text), os.close(pipe.writer)])
    writer.start()
    seen, kept = bytearray(), 0
    end = time.monotonic() + 20
    while time.monotonic() < end:
        pipe.source.wait()
        data = pipe.source.read(8192)
        if data == b"":
            break
        if data:
            seen += data
            kept = len(seen) - 1 - seen.rfind(b"\n")
            pipe.source.keep(kept)
    writer.join()
    assert bytes(seen) == text


def test_bytes_that_stay_alone_for_long_are_taken(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qmail.host.sources.LAST_LOOK", 0.05)
    os.write(pipe.writer, b"half")
    pipe.source.wait()
    assert pipe.source.read(100) == b"half"
    pipe.source.keep(4)
    os.set_blocking(pipe.reader, False)
    for _ in range(8):  # 1, 2, 4 ... milliseconds
        pipe.source.wait()
        assert pipe.source.read(100) is None
        if not pipe.source.seen:
            break
    with pytest.raises(BlockingIOError):
        os.read(pipe.reader, 100)
    os.write(pipe.writer, b" a line\n")
    pipe.source.wait()
    assert pipe.source.read(100) == b" a line\n"


def test_from_a_file_reading_is_taking(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one\ntwo\n")
    bell = os.pipe()
    with open(tmp_path / "file", "rb", buffering=0) as file:
        taken = source(file.fileno(), bell[0])
        assert isinstance(taken, Taken)
        assert not taken.wait()
        assert [taken.read(4), taken.read(100), taken.read(100)] == [b"one\n", b"two\n", b""]
    os.close(bell[0])
    os.close(bell[1])
