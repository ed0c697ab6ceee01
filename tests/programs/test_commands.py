"""What lines of a .qmail file run."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import BIN, Run, needs_root
from keeping import Keeper

TEXT = b"Subject: t\n\nhello\n"
VARIABLES = {
    "SENDER": "s@a.example", "NEWSENDER": "ns@a.example", "USER": "joe", "HOST": "b.example",
    "DTLINE": "Delivered-To: joe@b.example\n", "RPLINE": "Return-Path: <s@a.example>\n",
    "UFLINE": "From s@a.example Thu Jan  1 00:00:00 1970\n",
}  # fmt: skip


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


Line = Callable[..., "tuple[int, bytes, bytes]"]


@pytest.fixture
def line(home: Path, keeper: Keeper, tmp_path: Path) -> Line:
    """Run a command as qmail-local does: the message a file on descriptor 0."""
    (home / "control/me").write_text("h.example\n")

    def run(*argv: str, text: bytes = TEXT, without: str = "", **more: str) -> tuple[int, bytes, bytes]:
        env = {"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path), **VARIABLES}
        env |= more
        env.pop(without, None)
        (tmp_path / "message").write_bytes(text)
        with open(tmp_path / "message", "rb") as message:
            done = subprocess.run(argv, stdin=message, capture_output=True, env=env, cwd=tmp_path, timeout=60)
        return done.returncode, done.stdout, done.stderr

    return run


def test_forward_sends_on(line: Line, keeper: Keeper) -> None:
    code, _, words = line("forward", "a b@c", "-d")
    assert code == 0
    assert words.startswith(b"forward: qp ")
    assert keeper.kept == [(b"Delivered-To: joe@b.example\n" + TEXT, b"Fns@a.example\0Ta b@c\0T-d\0\0")]


@pytest.mark.parametrize("variable", ["DTLINE", "NEWSENDER"])
def test_forward_needs_its_variables(line: Line, keeper: Keeper, variable: str) -> None:
    done = line("forward", "x", without=variable)
    assert done == (100, b"", f"forward: fatal: {variable} not set\n".encode())
    assert keeper.kept == []


def test_condredirect_sends_on_if_the_program_says_so(line: Line, keeper: Keeper) -> None:
    assert line("condredirect", "n@x", "sh", "-c", "cat >/dev/null")[0] == 99
    assert keeper.kept == [(b"Delivered-To: joe@b.example\n" + TEXT, b"Fs@a.example\0Tn@x\0\0")]


ANSWERS = [("exit 0", True), ("exit 1", False), ("exit 99", False), ("exit 100", False), ("nonexistent", False)]


@pytest.mark.parametrize(("script", "agrees"), ANSWERS)
def test_a_program_agrees_by_exit_code_zero(line: Line, script: str, agrees: bool) -> None:
    command = ["sh", "-c", script] if script.startswith("exit") else [script]
    assert line("condredirect", "n@x", *command)[0] == (99 if agrees else 0)
    assert line("except", *command)[0] == (100 if agrees else 0)
    assert line("bouncesaying", "no\nway", *command) == ((100, b"", b"no\nway\n") if agrees else (0, b"", b""))


@pytest.mark.parametrize(
    ("script", "words"), [("exit 111", b"temporary child error"), ("kill -9 $$", b"child crashed")]
)
@pytest.mark.parametrize("program", [["condredirect", "n@x"], ["bouncesaying", "no"], ["except"]])
def test_a_program_in_trouble_defers(line: Line, program: list[str], script: str, words: bytes) -> None:
    done = line(*program, "sh", "-c", script)
    assert done == (111, b"", program[0].encode() + b": fatal: " + words + b"\n")


@pytest.mark.parametrize(
    ("options", "head"), [([], "FRD"), (["-f"], "RD"), (["-r"], "FD"), (["-d"], "FR"), (["-dfr"], ""), (["--"], "FRD")]
)
def test_preline_puts_lines_in_front(line: Line, options: list[str], head: str) -> None:
    names = {"F": "UFLINE", "R": "RPLINE", "D": "DTLINE"}
    expected = "".join(VARIABLES[names[letter]] for letter in head).encode() + TEXT
    assert line("preline", *options, "cat") == (0, expected, b"")


def test_preline_exits_as_its_program(line: Line) -> None:
    assert line("preline", "sh", "-c", "cat >/dev/null; exit 99")[0] == 99
    assert line("preline", "sh", "-c", "kill -9 $$") == (111, b"", b"preline: fatal: child crashed\n")
    assert line("preline", "/none") == (100, b"", b"preline: fatal: unable to run /none: file does not exist\n")
    assert line("preline", "true", text=b"x" * 300_000)[0] == 111
    assert line("preline", "cat", without="UFLINE")[0] == 100


REQUEST = b"Notice-Requested-Upon-Delivery-To: "


@pytest.mark.parametrize(
    ("field", "answered"),
    [
        (b"joe@b.example", True),
        (b'x, "Joe B" <joe@b.example> (c)', True),
        (b"Joe@b.example", False),
        (b"joe@b.example.org", False),
    ],
)
def test_qreceipt_answers_who_asked(line: Line, keeper: Keeper, field: bytes, answered: bool) -> None:
    text = b"Message-ID: <m@x>\n" + REQUEST + field + b"\n\nbody\n"
    assert line("qreceipt", "joe@b.example", text=text) == (0, b"", b"")
    assert [envelope for _, envelope in keeper.kept] == [b"F\0Ts@a.example\0\0"] * answered
    if answered:
        assert keeper.kept[0][0].endswith(b"\nYour Message-ID: <m@x>\n")


@pytest.mark.parametrize("sender", ["", "#@[]"])
def test_qreceipt_never_answers_a_bounce(line: Line, keeper: Keeper, sender: str) -> None:
    assert line("qreceipt", "joe@b.example", text=REQUEST + b"joe@b.example\n", SENDER=sender)[0] == 0
    assert keeper.kept == []


def test_dot_forward_follows_the_first_file(line: Line, keeper: Keeper, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nothing\n")
    (tmp_path / ".forward").write_text('# mine\nbob@x.y, "a b" (c) @d\n"|cat; cat >/dev/null"\n')
    code, out, words = line("dot-forward", "none", "empty", ".forward")
    assert (code, out) == (99, b"".join(VARIABLES[n].encode() for n in ("UFLINE", "RPLINE", "DTLINE")) + TEXT)
    assert words.startswith(b"dot-forward: info: qp ")
    expected = b"Delivered-To: joe@b.example\n" + TEXT, b"Fns@a.example\0Tbob@x.y\0Ta b@d.h.example\0\0"
    assert keeper.kept == [expected]


@pytest.mark.parametrize(
    ("text", "code", "sent"),
    [
        ("joe\n", 0, 0),
        ("JOE@b.Example\n", 0, 0),
        ("bob, \\joe\n", 0, 1),
        ("bob\n", 99, 1),
        ("", 0, 0),
        ('"|exit 100"\nbob\n', 100, 0),
        ('"|exit 3"\nbob\n', 111, 0),
        ("/tmp/box\n", 111, 0),
        (":include:/tmp/list\n", 111, 0),
        ("(x\n", 111, 0),
        ("<@r,@s:bob@c>\n", 99, 1),
    ],
)
def test_dot_forward_knows_what_to_do(
    line: Line, keeper: Keeper, tmp_path: Path, text: str, code: int, sent: int
) -> None:
    (tmp_path / ".forward").write_text(text)
    assert line("dot-forward", ".forward")[0] == code
    assert len(keeper.kept) == sent


def test_dot_forward_shows_what_it_would_do(line: Line, tmp_path: Path, keeper: Keeper) -> None:
    (tmp_path / ".forward").write_text('bob, joe, "|x y"\n')
    done = line("dot-forward", "-n", ".forward")
    assert done == (0, b"pipe through x y\nforward bob@h.example\ndirect delivery\n", b"")
    assert keeper.kept == []


def test_qbiff_is_silent_without_a_terminal(program: Run) -> None:
    done = program("qbiff", stdin=TEXT)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def biff(tmp_path: Path, mode: int, user: str = "joe", uid: int = 0) -> bytes:
    """What qbiff shows, run as root, on a terminal with this mode and owner where `user` is logged in."""
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    os.fchmod(slave, mode)
    os.fchown(slave, uid, -1)
    record = struct.pack("<h2xi32s4s32s256s52x", 7, 1, name[5:].encode(), b"", user.encode(), b"")
    (tmp_path / "utmp").write_bytes(bytes(384) + record)
    script = f"mount -t tmpfs none /run && cp {tmp_path}/utmp /run/utmp && exec {BIN}/qbiff"
    text = b"From: ann\nSubject: \x1b[2Jlunch\n\none\ntwo\n"
    env = {"PATH": "/usr/bin:/bin:/sbin", "USER": "joe", "RECIPIENT": "joe@b.example", "SENDER": "s@a.example"}
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], input=text, env=env, timeout=60)
    assert done.returncode == 0
    os.set_blocking(master, False)
    try:
        return os.read(master, 4096)
    except BlockingIOError:
        return b""
    finally:
        os.close(slave)
        os.close(master)


@needs_root
def test_qbiff_writes_to_the_terminal(tmp_path: Path) -> None:
    shown = biff(tmp_path, 0o700)
    assert b"*** New mail for joe@b.example\r" in shown
    assert b"Subject: ?[2Jlunch\r" in shown
    assert b"two\r" in shown


@needs_root
def test_qbiff_disturbs_nobody_who_did_not_say_biff_y(tmp_path: Path) -> None:
    assert biff(tmp_path, 0o677) == b"", "the x bit of the owner is what biff sets"
    assert biff(tmp_path, 0o700, user="ann") == b""
    assert biff(tmp_path, 0o700, user="joey") == b""
    assert biff(tmp_path, 0o700, uid=4242) == b"", "a terminal that has another owner by now"


def test_a_program_is_given_no_variable_that_we_made_up(line: Line) -> None:
    _, out, _ = line("preline", "-dfr", "env")
    assert b"LC_CTYPE" not in out
