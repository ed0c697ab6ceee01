"""multilog; the original judges where it writes what."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import BIN, Run, needs_root, wait_until
from servicing import ORIGINALS, has, text_of

MULTILOG = BIN / "multilog"


def files(directory: Path) -> list[tuple[str, int, bytes]]:
    """Name, mode and text of every file; the labels in names are left out."""
    found = []
    for path in sorted(directory.iterdir()):
        name = "@" + path.suffix if path.name.startswith("@") else path.name
        found.append((name, path.stat().st_mode & 0o777, path.read_bytes()))
    return found


def lines_of(directory: Path) -> list[bytes]:
    """All lines of a log in order."""
    logs = [*sorted(directory.glob("@*")), directory / "current"]
    return [line for path in logs if path.exists() for line in path.read_bytes().splitlines(keepends=True)]


def start(directory: Path, *words: str) -> subprocess.Popen[bytes]:
    """A multilog that reads a pipe."""
    process = subprocess.Popen(
        [str(MULTILOG), *words], cwd=directory, stdin=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None
    return process


def feed(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)


def end(process: subprocess.Popen[bytes]) -> bytes:
    """Close its input; what it said."""
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    return said


SCRIPTS = {
    "small": ["s4096", "./d"],
    "two logs": ["s5000", "n3", "-xx*", "./d", "+*x", "s4096", "n100", "./e"],
    "status and alert": ["-*", "+xxx*", "e", "=status", "./d"],
    "processor": ["!tr x y; echo done >&5; cat <&4 >/dev/null", "s4096", "./d"],
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("seed", range(3))
def test_every_file_is_as_the_original_writes_it(tmp_path: Path, script: list[str], seed: int) -> None:
    chance = random.Random(seed)
    lengths = (0, 1, 5, 63, 64, 100, 200, 511, 512, 513, 900, 999, 1000, 1001, 1100, 3000, 9000)
    text = b"".join(b"x" * chance.choice(lengths) + b"\n" for _ in range(chance.randrange(10, 90))) + b"the end"
    seen = []
    for directory in (ORIGINALS, BIN):
        place = tmp_path / directory.parent.name
        place.mkdir()
        done = subprocess.run(
            [str(directory / "multilog"), *script], cwd=place, input=text, capture_output=True, timeout=30, check=False
        )
        logs = {path.name: files(path) for path in place.iterdir() if path.is_dir()}
        seen.append((done.returncode, done.stderr, logs, text_of(place / "status")))
    assert seen[0] == seen[1]


LEFT = [
    {"current": 0o644}, {"current": 0o744}, {"previous": 0o644}, {"previous": 0o744, "current": 0o644},
    {"processed": 0o744, "previous": 0o744, "current": 0o644}, {"processed": 0o644, "previous": 0o744},
    {"state": 0o644, "newstate": 0o644, "current": 0o744}, {"state": 0o644, "newstate": 0o644, "current": 0o644},
]  # fmt: skip


@pytest.mark.parametrize("left", LEFT, ids=str)
def test_what_a_crash_has_left_is_put_right_as_the_original_does(tmp_path: Path, left: dict[str, int]) -> None:
    seen = []
    for directory in (ORIGINALS, BIN):
        place = tmp_path / directory.parent.name
        (place / "d").mkdir(parents=True)
        for name, mode in left.items():
            (place / "d" / name).write_text(f"{name}\n")
            (place / "d" / name).chmod(mode)
        subprocess.run([str(directory / "multilog"), "./d"], cwd=place, input=b"new\n", check=True, timeout=30)
        seen.append(files(place / "d"))
    assert seen[0] == seen[1]


def test_stamps_grow_and_name_the_moment(tmp_path: Path) -> None:
    from qmail.formats import tai64n

    before = time.time_ns()
    process = start(tmp_path, "t", "./d")
    for line in (b"one\n", b"two\n", b"three"):
        feed(process, line)
    end(process)
    stamps = [tai64n.leading(line) for line in lines_of(tmp_path / "d")]
    moments = [seconds * 1_000_000_000 + rest for seconds, rest in filter(None, stamps)]
    assert len(moments) == 3
    order = [before, *moments, time.time_ns()]
    assert order == sorted(order)


def test_killed_at_any_moment_it_loses_no_line(tmp_path: Path) -> None:
    count, chance = 30_000, random.Random(7)
    reader, writer = os.pipe()
    talker = os.fork()
    if not talker:
        os.close(reader)
        pending = b""
        for number in range(count):
            pending += b"%06d %b\n" % (number, b"x" * (number % 150))
            if len(pending) > 50_000 or number % 1000 < 5:
                os.write(writer, pending)
                pending = b""
        os.write(writer, pending)
        os._exit(0)
    os.close(writer)
    kills = 0
    while True:
        process = subprocess.Popen([str(MULTILOG), "s20000", "n100000", "./d"], cwd=tmp_path, stdin=reader)
        try:
            assert process.wait(0.03 + chance.random() / 25) == 0
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        assert kills < 500
    os.close(reader)
    os.waitpid(talker, 0)
    expected = [b"%06d %b\n" % (number, b"x" * (number % 150)) for number in range(count)]
    # A write that a kill has cut short ends a file, and is done again in the next one.
    written = [line for line in lines_of(tmp_path / "d") if line.endswith(b"\n")]
    assert kills > 0
    assert sorted(set(written)) == expected
    # What is written twice was on its way when the kill came.
    assert len(written) - count < kills * 8192


def test_half_a_line_waits_for_its_end_and_only_term_does_not_take_the_next(tmp_path: Path) -> None:
    process = start(tmp_path, "./d")
    feed(process, b"one\ntw")
    wait_until(has(tmp_path / "d/current", "one\n"))
    process.terminate()
    time.sleep(0.2)  # it has seen the signal, and waits for the rest
    assert text_of(tmp_path / "d/current") == "one\n"
    assert process.poll() is None
    feed(process, b"o\nthree\n")
    assert process.wait(10) == 0
    assert process.stdin is not None
    assert process.stdout is None
    assert files(tmp_path / "d")[0] == ("current", 0o744, b"one\ntwo\n")


def test_alrm_turns_a_log_that_is_not_empty(tmp_path: Path) -> None:
    process = start(tmp_path, "./d")
    wait_until(lambda: (tmp_path / "d/current").exists())
    process.send_signal(signal.SIGALRM)
    time.sleep(0.2)  # it has seen the signal, and has nothing to turn
    feed(process, b"one\n")
    wait_until(has(tmp_path / "d/current", "one"))
    process.send_signal(signal.SIGALRM)
    wait_until(lambda: text_of(tmp_path / "d/current") == "")
    feed(process, b"two\n")
    end(process)
    assert [(name, text) for name, _, text in files(tmp_path / "d") if text] == [
        ("@.s", b"one\n"), ("current", b"two\n"),
    ]  # fmt: skip


def test_a_log_that_is_taken_away_begins_again(tmp_path: Path) -> None:
    process = start(tmp_path, "./d", "./e")
    feed(process, b"one\n")
    wait_until(has(tmp_path / "e/current", "one"))
    (tmp_path / "d/current").unlink()
    for path in (tmp_path / "e").iterdir():
        path.unlink()
    (tmp_path / "e").rmdir()
    feed(process, b"two\n")
    wait_until(has(tmp_path / "e/current", "two\n"))
    said = end(process)
    assert said == b"".join(
        b"multilog: warning: ./%b/current has gone, making a new one\n" % name for name in (b"d", b"e")
    )
    assert lines_of(tmp_path / "d") == lines_of(tmp_path / "e") == [b"two\n"]


def test_without_a_place_for_its_log_it_ends_with_a_line_that_says_which(tmp_path: Path, program: Run) -> None:
    (tmp_path / "file").touch()
    for words, line in (
        (["./no/such"], b"unable to open directory ./no/such: file does not exist"),
        (["./file"], b"unable to open directory ./file: not a directory"),
        (["=no/such"], b"unable to create no/such: file does not exist"),
        (["./d", "./d"], b"unable to lock directory ./d: temporary failure"),
    ):
        done = program("multilog", *words, stdin=b"precious\n")
        assert (done.returncode, done.stderr) == (111, b"multilog: fatal: " + line + b"\n")


def test_two_multilogs_do_not_write_one_log(tmp_path: Path, program: Run) -> None:
    process = start(tmp_path, "./d")
    feed(process, b"one\n")
    wait_until(has(tmp_path / "d/current", "one"))
    assert program("multilog", "./d", stdin=b"two\n").returncode == 111
    end(process)
    assert lines_of(tmp_path / "d") == [b"one\n"]


def test_a_previous_that_a_crash_left_beside_a_whole_current_is_kept(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/previous").write_text("left\n")
    (tmp_path / "d/current").write_text("x" * 99 + "\n")
    (tmp_path / "d/current").chmod(0o744)
    text = (b"y" * 99 + b"\n") * 30
    subprocess.run([str(MULTILOG), "s4096", "./d"], cwd=tmp_path, input=text, check=True, timeout=30)
    assert b"left\n" in lines_of(tmp_path / "d")


@pytest.mark.prove
@needs_root
def test_a_full_disk_makes_it_wait_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path / "d"], check=True)
    try:
        (tmp_path / "d/ballast").write_bytes(bytes(30_000))
        process = start(tmp_path, "t", "s16000000", "./d")
        for number in range(400):
            feed(process, b"%04d %b\n" % (number, b"x" * 60))
        assert process.stderr is not None
        assert process.stderr.readline() == (
            b"multilog: warning: unable to write to ./d/current, pausing: out of disk space\n"
        )
        (tmp_path / "d/ballast").unlink()
        end(process)
        assert [line[26:30] for line in lines_of(tmp_path / "d")] == [b"%04d" % number for number in range(400)]
    finally:
        subprocess.run(["umount", "-l", tmp_path / "d"], check=True)


@pytest.mark.prove
def test_a_processor_that_fails_runs_again(tmp_path: Path) -> None:
    script = "test -e ../again || { touch ../again; echo half; exit 1; }; cat"
    process = start(tmp_path, f"!{script}", "s4096", "./d")
    feed(process, (b"x" * 99 + b"\n") * 26)
    assert end(process) == b"multilog: warning: processor failed in ./d, pausing\n"
    assert len(lines_of(tmp_path / "d")) == 26


CALLS = [
    "tee",
    "read",
    "write",
    "fsync",
    "close",
    "rename",
    "openat",
    "fchmod",
    "chmod",
    "link,linkat",
    "unlink",
    "flock",
]


@pytest.mark.prove
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_any_call_it_loses_no_line(tmp_path: Path, call: str) -> None:
    expected = {b"%03d %b\n" % (number, b"x" * 95) for number in range(120)}
    number = 0
    while True:
        number += 1
        assert number < 200, "the loop ends where every call was visited"
        place = tmp_path / str(number)
        place.mkdir()
        reader, writer = os.pipe()
        os.write(writer, b"".join(sorted(expected)))
        os.close(writer)
        inject = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}"]
        words = [str(MULTILOG), "s4096", "n100", "./d"]
        first = subprocess.run([*inject, *words], cwd=place, stdin=reader, check=False, timeout=30)
        if first.returncode == 0:
            os.close(reader)
            break
        subprocess.run(words, cwd=place, stdin=reader, check=True, timeout=30)
        os.close(reader)
        assert expected <= set(lines_of(place / "d")), f"lost at {call} number {number}"
    print(f"{call}: {number - 1} kills")
