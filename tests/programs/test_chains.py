"""Programs that prepare something and run another one; the originals judge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import BIN, Run, needs_root, wait_until
from servicing import ORIGINALS

BEFORE = {
    "setuidgid": ["nobody"], "envuidgid": ["nobody"], "softlimit": ["-o", "50"], "setlock": ["lock"],
    "envdir": ["variables"], "pgrphack": [], "fghack": [],
}  # fmt: skip


def both(place: Path, name: str, *words: str, **environ: str) -> tuple[tuple[int, bytes, bytes], ...]:
    """(exit code, output, what it said) of the original and of ours."""
    seen = []
    for directory in (ORIGINALS, BIN):
        done = subprocess.run(
            [str(directory / name), *words], cwd=place, stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
            env={"PATH": "/usr/bin:/bin", **environ}, check=False,
        )  # fmt: skip
        seen.append((done.returncode, done.stdout, done.stderr))
    return tuple(seen)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "variables").mkdir()
    (tmp_path / "one").mkdir()
    for name, text, mode in (
        ("tool", "#!/bin/sh\necho tool\nexit 7\n", 0o755),
        ("text", "echo no interpreter\n", 0o755),
        ("lost", "#!/no/such\n", 0o755),
        ("closed", "#!/bin/sh\n", 0o644),
        ("one/tool", "not to be run", 0o644),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    return tmp_path


@needs_root
@pytest.mark.parametrize("name", BEFORE)
def test_the_program_is_found_run_or_refused_as_by_the_original(place: Path, name: str) -> None:
    for words, path in (
        (["./tool"], "/bin"), (["tool"], ":/bin"), (["tool"], f"{place}/one:{place}"), (["tool"], f"{place}/one"),
        (["sh", "-c", "kill -9 $$"], "/bin"), (["./text"], "/bin"), (["./lost"], "/bin"), (["./closed"], "/bin"),
        (["./one"], "/bin"), (["tool/x"], "/bin"), (["nosuch"], "/bin"), ([""], "/bin"),
        (["tool"], f"{place}/text:{place}"), (["printf", "[%s]", "", "a b", "--"], "/bin:/usr/bin"),
    ):  # fmt: skip
        theirs, ours = both(place, name, *BEFORE[name], *words, PATH=path)
        assert ours == theirs, words


@needs_root
@pytest.mark.parametrize("name", BEFORE)
def test_wrong_arguments_are_told_as_by_the_original(place: Path, name: str) -> None:
    for words in ([], ["x"], ["--", "x"], ["-z", "x"]):
        theirs, ours = both(place, name, *words)
        assert ours == theirs, words


@needs_root
@pytest.mark.parametrize("name", BEFORE)
def test_nothing_but_what_was_asked_for_changes(place: Path, name: str) -> None:
    script = "env | sort | grep -v ^_; umask; ls /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)' /proc/self/status"
    theirs, ours = both(place, name, *BEFORE[name], "sh", "-c", script, A="b c\n", B="", UID="7")
    assert ours == theirs


@pytest.mark.parametrize("name", ["envuidgid", "setlock", "pgrphack"])
def test_signals_that_were_ignored_stay_ignored(place: Path, name: str) -> None:
    words = " ".join([str(BIN / name), *BEFORE[name]])
    script = f"trap '' HUP INT USR1; exec {words} grep ^SigIgn /proc/self/status"
    done = subprocess.run(["sh", "-c", script], cwd=place, capture_output=True, check=True)
    ordinary = (1 << 31) - 1  # whoever runs the tests may ignore signals of the library's own
    assert int(done.stdout.split()[1], 16) & ordinary == 0x203


VALUES = [
    b"", b"\n", b"x", b"x \t\n", b" x\n", b"1\n2\n", b"a\0b\0 \n", b"\0\n", b"a\r\n", b"x" * 70000, b"x" * 140000,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value[:8]))
def test_envdir_takes_the_first_line_of_a_file(place: Path, value: bytes) -> None:
    (place / "variables/A").write_bytes(value)
    theirs, ours = both(place, "envdir", "variables", "env", A="old", B="stays")
    assert ours == theirs


def test_envdir_takes_names_as_they_come(place: Path) -> None:
    for name in ("A=B", "a b", ".hidden", "1"):
        (place / "variables" / name).write_text("value\n")
    theirs, ours = (set(out.splitlines()) for _, out, _ in both(place, "envdir", "variables", "env"))
    assert ours == theirs == {b"PATH=/usr/bin:/bin", b"A=B=value", b"a b=value", b"1=value"}


def test_a_link_to_nowhere_takes_the_variable_away(place: Path) -> None:
    (place / "variables/LOST").symlink_to("none")
    theirs, ours = both(place, "envdir", "variables", "env", LOST="here")
    assert ours == theirs == (0, b"PATH=/usr/bin:/bin\n", b"")


def test_envdir_refuses_what_it_cannot_read_and_runs_nothing(place: Path) -> None:
    for make, line in (
        (lambda path: path.mkdir(), b"unable to read variables/A: is a directory"),
        (lambda path: path.symlink_to("A"), b"unable to read variables/A: symbolic link loop"),
    ):
        make(place / "variables/A")
        theirs, ours = both(place, "envdir", "variables", "echo", "run")
        assert ours == theirs == (111, b"", b"envdir: fatal: " + line + b"\n")
        (place / "variables/A").rename(place / line.decode().rpartition(" ")[2])
    for directory, reason in (
        ("none", b"file does not exist"),
        ("tool", b"not a directory"),
        ("", b"file does not exist"),
    ):
        theirs, ours = both(place, "envdir", directory, "echo", "run")
        assert ours == theirs
        assert ours[2] == b"envdir: fatal: unable to switch to directory %b: %b\n" % (directory.encode(), reason)


LIMITS = "import resource as r; print([r.getrlimit(getattr(r, 'RLIMIT_' + n)) for n in 'AS CORE CPU DATA FSIZE MEMLOCK NOFILE NPROC RSS STACK'.split()])"  # noqa: E501


@pytest.mark.parametrize("letter", "acdflmoprst")
@pytest.mark.parametrize("value", ["=", "500000000", "18446744073709551615"])
def test_softlimit_sets_the_limits_that_the_original_sets(place: Path, letter: str, value: str) -> None:
    theirs, ours = both(place, "softlimit", f"-{letter}", value, sys.executable, "-c", LIMITS)
    assert ours == theirs
    assert ours[0] == 0


@pytest.mark.parametrize("words", [["-o", "0"], ["-a1000"], ["-f0"], ["-o4", "-o", "6"], ["-o", ""]], ids=str)
def test_softlimit_with_little_or_nothing_left_ends_as_the_original(place: Path, words: list[str]) -> None:
    theirs, ours = both(place, "softlimit", *words, "sh", "-c", "echo here")
    assert ours == theirs


@pytest.mark.parametrize("value", ["-1", "+5", "5x", "abc", "=="])
def test_softlimit_takes_numbers_only(program: Run, value: str) -> None:
    done = program("softlimit", "-o", value, "true")
    assert done.returncode == 100
    assert done.stderr.startswith(b"softlimit: usage: softlimit [-a allbytes] ")


@needs_root
def test_setuidgid_gives_everything_up(program: Run) -> None:
    done = program("setuidgid", "games", "sh", "-c", "id -u; id -g; id -G; grep ^CapEff /proc/self/status")
    assert done.stdout == b"5\n60\n60\nCapEff:\t0000000000000000\n"
    done = program("setuidgid", "games", "sh", "-c", f"{BIN}/setuidgid root id")
    assert (done.returncode, done.stderr) == (111, b"setuidgid: fatal: unable to setgid: permission denied\n")


def test_an_unknown_account_is_named(program: Run) -> None:
    for name in ("setuidgid", "envuidgid"):
        done = program(name, "nosuch", "true")
        assert (done.returncode, done.stderr) == (111, f"{name}: fatal: unknown account nosuch\n".encode())


def test_setlock_waits_refuses_or_keeps_silent(place: Path, program: Run) -> None:
    held = subprocess.Popen(
        [BIN / "setlock", "lock", "sh", "-c", "echo held; read line"], cwd=place, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert held.stdin is not None
    assert held.stdout is not None
    assert held.stdout.readline() == b"held\n"
    done = program("setlock", "-n", "lock", "echo", "in", cwd=place)
    assert (done.returncode, done.stderr) == (111, b"setlock: fatal: unable to lock lock: temporary failure\n")
    done = program("setlock", "-nx", "lock", "echo", "in", cwd=place)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    waits = subprocess.Popen([BIN / "setlock", "lock", "echo", "in"], cwd=place, stdout=subprocess.PIPE)
    waiting = [b"->", str(waits.pid).encode()]
    wait_until(lambda: any(set(waiting) <= set(line.split()) for line in Path("/proc/locks").read_bytes().splitlines()))
    assert waits.poll() is None
    held.stdin.close()
    assert waits.communicate(timeout=20)[0] == b"in\n"
    held.wait(20)
    assert (place / "lock").stat().st_mode & 0o777 == 0o600


def test_fghack_waits_for_what_went_into_the_background(place: Path) -> None:
    script = "(sleep 0.3; echo late) & echo early; exit 3"
    theirs, ours = both(place, "fghack", "sh", "-c", script)
    assert ours == theirs == (3, b"early\nlate\n", b"")


def test_pgrphack_leads_a_group_of_its_own(place: Path) -> None:
    script = "import os; print(os.getpgrp() == os.getsid(0) == os.getpid())"
    theirs, ours = both(place, "pgrphack", sys.executable, "-c", script)
    assert ours == theirs == (0, b"True\n", b"")
