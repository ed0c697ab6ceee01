"""qmail-password: at a terminal, and from a pipe."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, Run, needs_root
from qmail.formats import passwordfile
from qmail.stores.home import Home
from qmail.stores.passwords import PasswordFile

ACCOUNT = ["-a", "nobody"]


def typed(home: Path, answers: list[bytes], *words: str) -> tuple[int, bytes]:
    """Run it at a terminal, and answer each question; what stood on the screen."""
    pid, terminal = pty.fork()
    if not pid:
        os.environ["QMAIL_HOME"] = str(home)
        os.execv(BIN / "qmail", ["qmail", "password", *words])
    screen, waiting = b"", list(answers)
    while select.select([terminal], [], [], 30)[0]:
        try:
            piece = os.read(terminal, 1024)
        except OSError:  # Linux says so when the other side has gone
            break
        if not piece:
            break
        screen += piece
        if waiting and screen.endswith(b": "):
            os.write(terminal, waiting.pop(0) + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen.replace(b"\r\n", b"\n")


def file_of(home: Path) -> PasswordFile:
    return PasswordFile(Home(os.fsencode(home)))


def text_of(home: Path) -> bytes:
    path = home / "users/passwords"
    return path.read_bytes() if path.exists() else b""


def test_a_person_is_asked_twice_and_nothing_is_seen(home: Path) -> None:
    code, screen = typed(home, [b"my secret", b"my secret"], *ACCOUNT, "-d", "/tmp", "joe")
    assert (code, screen) == (0, b"Password for joe: \nThe same again: \n")
    login = file_of(home).check(b"joe", b"my secret")
    assert login is not None and (login.account, login.home) == (b"nobody", b"/tmp")
    assert b"my secret" not in text_of(home)
    assert (home / "users/passwords").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("answers", [[b"one", b"two"], [b"", b""], [b"x" * 256, b"x" * 256], [b"a\0b", b"a\0b"]])
def test_what_is_no_password_changes_nothing(home: Path, answers: list[bytes]) -> None:
    code, screen = typed(home, answers, *ACCOUNT, "joe")
    assert code == 100 and screen.endswith(b"nothing has changed\n")
    assert text_of(home) == b""


def test_the_terminal_shows_what_is_typed_again_after_an_interruption(home: Path) -> None:
    main, side = pty.openpty()
    env = {"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(
        [BIN / "qmail-password", *ACCOUNT, "joe"], stdin=side, stdout=side, stderr=side, env=env, start_new_session=True
    )
    screen = b""
    while not screen.endswith(b": "):
        screen += os.read(main, 100)
    os.write(main, b"\x04")  # the end of the file
    while b"again" not in screen:
        screen += os.read(main, 100)
    os.write(main, b"\x04")
    assert process.wait(30) == 100
    import termios

    assert termios.tcgetattr(side)[3] & termios.ECHO
    os.close(main)
    os.close(side)


def test_a_pipe_has_one_line(home: Path, program: Run) -> None:
    env = {"QMAIL_HOME": str(home)}
    assert program("qmail-password", *ACCOUNT, "joe", stdin=b"secret\r\nnot this\n", env=env).returncode == 0
    assert file_of(home).check(b"joe", b"secret")
    assert program("qmail-password", "joe", stdin=b"", env=env).returncode == 100
    assert program("qmail-password", "joe", stdin=b"x" * 256 + b"\n", env=env).returncode == 100
    assert file_of(home).check(b"joe", b"secret")


def test_a_login_keeps_its_account_and_home_until_others_are_given(home: Path, program: Run) -> None:
    env = {"QMAIL_HOME": str(home)}
    program("qmail-password", *ACCOUNT, "-d", "mail", "joe", stdin=b"one\n", env=env)
    program("qmail-password", "joe", stdin=b"two\n", env=env)
    login = file_of(home).check(b"joe", b"two")
    assert login is not None and (login.account, login.home) == (b"nobody", b"mail")
    program("qmail-password", "-d", "/other", "joe", stdin=b"two\n", env=env)
    login = file_of(home).check(b"joe", b"two")
    assert login is not None and (login.account, login.home) == (b"nobody", b"/other")


def test_remarks_and_others_stay_as_they_are(home: Path, program: Run) -> None:
    path = home / "users/passwords"
    path.write_text("# mine\nann:x:nobody\n\njoe:old:nobody\n# end\n")
    path.chmod(0o600)
    assert program("qmail-password", "joe", stdin=b"new\n", env={"QMAIL_HOME": str(home)}).returncode == 0
    lines = path.read_text().split("\n")
    assert [*lines[:3], *lines[4:]] == ["# mine", "ann:x:nobody", "", "# end", ""]
    assert program("qmail-password", "-r", "joe", env={"QMAIL_HOME": str(home)}).returncode == 0
    assert path.read_text() == "# mine\nann:x:nobody\n\n# end\n"
    assert program("qmail-password", "-r", "joe", env={"QMAIL_HOME": str(home)}).returncode == 100


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-x", "joe"],
        ["a", "b"],
        ["-r", "-a", "x", "joe"],
        ["a:b"],
        ["#a"],
        ["-a", "a:b", "joe"],
        ["-d", "/a:b", "j"],
    ],
)
def test_what_cannot_be_is_refused(home: Path, program: Run, words: list[str]) -> None:
    done = program("qmail-password", *words, stdin=b"secret\n", env={"QMAIL_HOME": str(home)})
    assert done.returncode == 100
    assert done.stderr.count(b"\n") == (2 if words[:1] == ["-x"] else 1)
    assert text_of(home) == b""


@needs_root
@pytest.mark.parametrize("words", [["no-such-account"], ["root"], ["-a", "root", "joe"], ["-a", "no-such", "joe"]])
def test_the_account_must_be_there_and_not_be_roots(home: Path, program: Run, words: list[str]) -> None:
    assert program("qmail-password", *words, stdin=b"secret\n", env={"QMAIL_HOME": str(home)}).returncode == 100
    assert text_of(home) == b""


def test_a_file_that_cannot_be_written_is_temporary(home: Path, program: Run) -> None:
    (home / "users/passwords.tmp").mkdir()
    done = program("qmail-password", *ACCOUNT, "joe", stdin=b"secret\n", env={"QMAIL_HOME": str(home)})
    assert (done.returncode, done.stderr.count(b"\n")) == (111, 1)


def test_a_new_file_has_a_seed(home: Path, program: Run) -> None:
    program("qmail-password", *ACCOUNT, "joe", stdin=b"secret\n", env={"QMAIL_HOME": str(home)})
    assert len(passwordfile.seed(text_of(home))) == 32
